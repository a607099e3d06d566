//! The two stores, on the one file.

use std::ops::Range;
use std::sync::{Arc, Weak};

use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::store::{
    LogBounds, LogReader, LogStore, StableKey, StableStore, StoreError, Unsynced,
};

use super::database::Database;

/// Keeps calls in memory until the sync, which is one frame.
#[derive(Debug)]
pub(super) struct FileLog {
    database: Arc<Database>,
    unsynced: Unsynced,
}

impl FileLog {
    pub(super) fn new(database: Arc<Database>) -> Self {
        let unsynced = Unsynced::new(database.bounds());
        Self { database, unsynced }
    }
}

impl LogStore for FileLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        Ok(self.unsynced.bounds())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.unsynced.append(entries, self.database.place())
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        let link = |index| self.database.link(index);
        self.unsynced.truncate(from, link)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        let link = |index| self.database.link(index);
        self.unsynced.purge(through, link)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        self.database.commit_log(&self.unsynced)?;
        self.unsynced.committed();
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(FileReader(Arc::downgrade(&self.database))))
    }
}

/// Does not keep the file open: a reader that is forgotten somewhere holds nothing up.
#[derive(Debug)]
struct FileReader(Weak<Database>);

impl LogReader for FileReader {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(database) = self.0.upgrade() else {
            return Err(StoreError::Misuse {
                place: "log reader".to_owned(),
                detail: "the store was closed".to_owned(),
            });
        };
        database.read(range, bytes_max)
    }
}

/// Every set is a frame of its own, with all records.
#[derive(Debug)]
pub(super) struct FileStable(Arc<Database>);

impl FileStable {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self(database)
    }
}

impl StableStore for FileStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.stable_record(key.name()))
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        self.0.commit_stable(key.name(), value)
    }
}
