//! Reads the log while another thread writes it.

use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::store::{LogReader, StoreError};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use crate::database::{self, Database, GROUP};
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
    bounds.check_not_purged(range.start)?;
    let entries = transaction.open_table(ENTRIES)?;
    let from = layout::entry_key(GROUP, range.start);
    let to = layout::entry_key(GROUP, range.end);
    let mut stored = entries.range(from..to)?;
    let mut found: Vec<Entry> = Vec::new();
    let mut bytes = 0_usize;
    let mut next = range.start;
    while next < range.end {
        if next > bounds.last.id.index {
            return Err(bounds.missing(next, place).into());
        }
        let Some((key, record)) = stored.next().transpose()? else {
            return Err(missing(place, next).into());
        };
        if key.value() != layout::entry_key(GROUP, next) {
            return Err(missing(place, next).into());
        }
        bytes = bytes.saturating_add(record.value().len());
        if bytes > bytes_max && !found.is_empty() {
            break;
        }
        let entry = decode(place, next, record.value())?;
        check_chain(place, found.last().map(Entry::link), &entry)?;
        found.push(entry);
        next = next.next();
    }
    Ok(found)
}

/// Reads an entry that must be there, and verifies it.
pub(crate) fn read_entry(
    entries: &ReadOnlyTable<(u64, u64), &'static [u8]>,
    place: &str,
    index: LogIndex,
) -> Result<Entry, Failure> {
    let Some(record) = ReadableTable::get(entries, layout::entry_key(GROUP, index))? else {
        return Err(missing(place, index).into());
    };
    Ok(decode(place, index, record.value())?)
}

/// The record names its index, so that one which stands in another's place is noticed.
fn decode(place: &str, index: LogIndex, record: &[u8]) -> Result<Entry, StoreError> {
    let entry = Entry::decode(&Bytes::copy_from_slice(record))
        .map_err(|error| StoreError::damaged(place, name(index), &error))?;
    if entry.index() == index {
        return Ok(entry);
    }
    let detail = format!("entry {} stands there", entry.id());
    Err(StoreError::damaged(place, name(index), &detail))
}

fn check_chain(place: &str, previous: Option<ChainLink>, entry: &Entry) -> Result<(), StoreError> {
    match previous {
        Some(previous) if !entry.follows(previous) => {
            let detail = format!("it does not follow {previous}");
            Err(StoreError::damaged(place, name(entry.index()), &detail))
        }
        Some(_) | None => Ok(()),
    }
}

fn missing(place: &str, index: LogIndex) -> StoreError {
    StoreError::damaged(place, name(index), &"the record is missing")
}

fn name(index: LogIndex) -> String {
    format!("entry {index}")
}
