//! Reads the log while another thread writes it.

use std::ops::Range;
use std::sync::{Arc, Weak};

use raft_core::entry::Entry;
use raft_core::id::LogIndex;
use raft_core::store::{LogReader, StoreError, StoredRange, stored_entry};

use crate::database::{self, Database, ReadTransaction};
use crate::error::Failure;
use crate::layout;

/// Reads each time from the latest commit, and holds nothing in between: a reader that is idle
/// keeps neither table files nor the database open.
#[derive(Debug)]
pub(crate) struct RocksdbReader {
    database: Weak<Database>,
}

impl RocksdbReader {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        Self {
            database: Arc::downgrade(database),
        }
    }
}

impl LogReader for RocksdbReader {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(database) = self.database.upgrade() else {
            return Err(StoreError::Misuse {
                place: "rocksdb log reader".to_owned(),
                detail: "the store was closed".to_owned(),
            });
        };
        database.read("read entries", |transaction, place| {
            read_range(transaction, place, range, bytes_max)
        })
    }
}

fn read_range(
    transaction: &ReadTransaction<'_>,
    place: &str,
    range: Range<LogIndex>,
    bytes_max: usize,
) -> Result<Vec<Entry>, Failure> {
    let bounds = database::bounds(transaction, place)?;
    let start = range.start;
    let mut stored = transaction.entries(range.clone());
    // A purge drops whole tables, whatever views are open, and older versions of their entries may
    // come to light. The iterator keeps the tables that it has found; so if nothing was purged
    // after it was opened, it has found all.
    let purged = database::bounds(&transaction.latest(), place)?;
    purged.check_not_purged(start)?;
    let mut read = StoredRange::new(place, bounds, range, bytes_max)?;
    stored.seek(layout::entry_key(start));
    while read.wants_more()? {
        let next = stored.item();
        if next.is_none() {
            stored.status()?;
        }
        let record = next.and_then(|(key, record)| Some((layout::entry_index(key)?, record)));
        if !read.take(record)? {
            break;
        }
        stored.next();
    }
    Ok(read.into_entries())
}

/// Reads an entry that must be there, and verifies it.
pub(crate) fn read_entry(
    transaction: &ReadTransaction<'_>,
    place: &str,
    index: LogIndex,
) -> Result<Entry, Failure> {
    let record = transaction.entry(index)?;
    Ok(stored_entry(place, index, record.as_deref())?)
}
