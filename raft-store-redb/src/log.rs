//! The log store.

use std::sync::Arc;

use raft_core::entry::{Entry, HEADER_BYTES};
use raft_core::id::{ChainLink, LogIndex};
use raft_core::store::{CommitMark, LogBounds, LogReader, LogStore, StoreError, Unsynced, records};
use redb::WriteTransaction;

use crate::database::{self, Change, Database};
use crate::error::Failure;
use crate::layout::{self, ENTRIES, GROUP, RECORDS};
use crate::reader::{RedbReader, read_entry};

/// Keeps calls in memory until the sync, which is one commit.
#[derive(Debug)]
pub(crate) struct RedbLog {
    database: Arc<Database>,
    unsynced: Unsynced,
}

impl RedbLog {
    pub(crate) fn new(database: Arc<Database>) -> Result<Self, StoreError> {
        let bounds = database.read("read the bounds", database::bounds)?;
        Ok(Self {
            database,
            unsynced: Unsynced::new(bounds),
        })
    }
}

impl LogStore for RedbLog {
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
        self.unsynced.committed();
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(RedbReader::new(&self.database)))
    }
}

fn durable_link(database: &Database, index: LogIndex) -> Result<ChainLink, StoreError> {
    let entry = database.read("read an entry", |transaction, place| {
        read_entry(&transaction.open_table(ENTRIES)?, place, index)
    })?;
    Ok(entry.link())
}

fn apply(transaction: &WriteTransaction, unsynced: &Unsynced) -> Result<(), Failure> {
    let mut entries = transaction.open_table(ENTRIES)?;
    for removed in unsynced.removals() {
        if removed.is_empty() {
            continue;
        }
        let from = layout::entry_key(removed.start);
        let to = layout::entry_key(removed.end);
        entries.retain_in(from..to, |_, _| false)?;
    }
    for entry in unsynced.entries() {
        let key = layout::entry_key(entry.index());
        // Reserved, so that the payload is copied once, into the page.
        let mut record = entries.insert_reserve(key, entry.record_bytes())?;
        let (header, payload) = record.as_mut().split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&entry.header());
        payload.copy_from_slice(entry.payload().bytes());
    }
    drop(entries);
    let mut table = transaction.open_table(RECORDS)?;
    let log = records::encode_log(GROUP, unsynced.bounds());
    table.insert(records::log_name(GROUP).as_str(), log.as_slice())?;
    Ok(())
}
