//! The log store.

use std::sync::Arc;

use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::store::{CommitMark, LogBounds, LogReader, LogStore, StoreError, Unsynced, records};

use crate::database::{self, Change, Database, WriteTransaction};
use crate::layout::GROUP;
use crate::reader::{RocksdbReader, read_entry};

/// Keeps calls in memory until the sync, which is one commit.
#[derive(Debug)]
pub(crate) struct RocksdbLog {
    database: Arc<Database>,
    unsynced: Unsynced,
}

impl RocksdbLog {
    pub(crate) fn new(database: Arc<Database>) -> Result<Self, StoreError> {
        let bounds = database.read("read the bounds", database::bounds)?;
        Ok(Self {
            database,
            unsynced: Unsynced::new(bounds),
        })
    }
}

impl LogStore for RocksdbLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        Ok(self.unsynced.bounds())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.unsynced.append(entries, self.database.place())
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        let durable_link = |index| durable_link(&self.database, index);
        self.unsynced.truncate(from, durable_link)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        let durable_link = |index| durable_link(&self.database, index);
        self.unsynced.purge(through, durable_link)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let change = Change {
            apply: &|transaction| apply(transaction, &self.unsynced),
            mark: CommitMark {
                last: Some(self.unsynced.bounds().last),
                sync_floor: self.unsynced.purges(),
            },
        };
        self.database.commit("sync the log", &change)?;
        if self.unsynced.purges() {
            let purged = self.unsynced.bounds().purged.id.index;
            self.database.drop_tables(purged)?;
        }
        self.unsynced.committed();
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(RocksdbReader::new(&self.database)))
    }
}

fn durable_link(database: &Database, index: LogIndex) -> Result<ChainLink, StoreError> {
    let entry = database.read("read an entry", |transaction, place| {
        read_entry(transaction, place, index)
    })?;
    Ok(entry.link())
}

fn apply(transaction: &mut WriteTransaction<'_>, unsynced: &Unsynced) {
    // First, so that they leave alone what is put in the same commit.
    for removed in unsynced.removals() {
        if !removed.is_empty() {
            transaction.remove_entries(removed);
        }
    }
    for entry in unsynced.entries() {
        transaction.put_entry(entry);
    }
    let log = records::encode_log(GROUP, unsynced.bounds());
    transaction.put_record(&records::log_name(GROUP), &log);
}
