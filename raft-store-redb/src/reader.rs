//! Reads the log while another thread writes it.

use std::ops::Range;
use std::sync::{Arc, Weak};

use raft_core::entry::Entry;
use raft_core::id::LogIndex;
use raft_core::store::{LogReader, StoreError, StoredRange, stored_entry};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use crate::database::{self, Database};
use crate::error::Failure;
use crate::layout::{self, ENTRIES};

/// Reads each time from the latest commit, and holds nothing in between: a reader that is idle
/// keeps neither freed pages nor the database open.
#[derive(Debug)]
pub(crate) struct RedbReader {
    database: Weak<Database>,
}

impl RedbReader {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        Self {
            database: Arc::downgrade(database),
        }
    }
}

impl LogReader for RedbReader {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(database) = self.database.upgrade() else {
            return Err(StoreError::Misuse {
                place: "redb log reader".to_owned(),
                detail: "the store was closed".to_owned(),
            });
        };
        database.read("read entries", |transaction, place| {
            read_range(transaction, place, range, bytes_max)
        })
    }
}

pub(crate) fn read_range(
    transaction: &ReadTransaction,
    place: &str,
    range: Range<LogIndex>,
    bytes_max: usize,
) -> Result<Vec<Entry>, Failure> {
    let bounds = database::bounds(transaction, place)?;
    let from = layout::entry_key(range.start);
    let to = layout::entry_key(range.end);
    let mut read = StoredRange::new(place, bounds, range, bytes_max)?;
    let entries = transaction.open_table(ENTRIES)?;
    let mut stored = entries.range(from..to)?;
    while read.wants_more()? {
        let next = stored.next().transpose()?;
        let record = next.as_ref().map(|(key, record)| {
            let (_, index) = key.value();
            (LogIndex::new(index), record.value())
        });
        if !read.take(record)? {
            break;
        }
    }
    Ok(read.into_entries())
}

/// Reads an entry that must be there, and verifies it.
pub(crate) fn read_entry(
    entries: &ReadOnlyTable<(u64, u64), &'static [u8]>,
    place: &str,
    index: LogIndex,
) -> Result<Entry, Failure> {
    let record = ReadableTable::get(entries, layout::entry_key(index))?;
    let record = record.as_ref().map(redb::AccessGuard::value);
    Ok(stored_entry(place, index, record)?)
}
