//! Reads entries' records out of a database, and trusts none of them.

use std::ops::Range;

use bytes::Bytes;

use super::{LogBounds, StoreError};
use crate::entry::Entry;
use crate::id::{ChainLink, LogIndex};

/// The entry `index`, which must be there, from the record that the database has for it.
///
/// # Errors
/// [`StoreError::Damaged`] if there is none, if its checksums fail, or if it is another entry's.
pub fn stored_entry(
    place: &str,
    index: LogIndex,
    record: Option<&[u8]>,
) -> Result<Entry, StoreError> {
    let Some(record) = record else {
        return Err(missing(place, index));
    };
    let entry = Entry::decode(&Bytes::copy_from_slice(record))
        .map_err(|error| StoreError::damaged(place, name(index), &error))?;
    if entry.index() == index {
        return Ok(entry);
    }
    let detail = format!("entry {} stands there", entry.id());
    Err(StoreError::damaged(place, name(index), &detail))
}

/// Checks that the log lies where its bounds say. `entry` reads one of it.
///
/// # Errors
/// [`StoreError::Damaged`] if the first or the last entry is not there or is another one, and
/// those of `entry`.
pub fn check_ends<E: From<StoreError>>(
    place: &str,
    what: &str,
    bounds: &LogBounds,
    entry: impl Fn(LogIndex) -> Result<Entry, E>,
) -> Result<(), E> {
    if bounds.is_empty() {
        return Ok(());
    }
    let first = entry(bounds.range().start)?;
    let last = entry(bounds.last.id.index)?;
    if first.follows(bounds.purged) && last.link() == bounds.last {
        return Ok(());
    }
    let detail = format!(
        "it begins with {} and ends with {}, expected after {} and through {}",
        first.link(),
        last.link(),
        bounds.purged,
        bounds.last
    );
    Err(StoreError::damaged(place, what, &detail).into())
}

/// Collects what a [`super::LogReader`] returns, record by record.
///
/// ```text
/// while stored.wants_more()? {
///     if !stored.take(the database's next record)? { break }
/// }
/// ```
#[derive(Debug)]
pub struct StoredRange<'a> {
    place: &'a str,
    bounds: LogBounds,
    next: LogIndex,
    end: LogIndex,
    bytes: usize,
    bytes_max: usize,
    found: Vec<Entry>,
}

impl<'a> StoredRange<'a> {
    /// Nothing yet, of the entries in `range` of the log within `bounds`.
    ///
    /// # Errors
    /// [`StoreError::Purged`].
    pub fn new(
        place: &'a str,
        bounds: LogBounds,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Self, StoreError> {
        bounds.check_not_purged(range.start)?;
        Ok(Self {
            place,
            bounds,
            next: range.start,
            end: range.end,
            bytes: 0,
            bytes_max,
            found: Vec::new(),
        })
    }

    /// Whether an entry is missing yet.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if it lies beyond the log's end.
    pub fn wants_more(&self) -> Result<bool, StoreError> {
        let wants = self.next < self.end;
        if wants && self.next > self.bounds.last.id.index {
            return Err(self.bounds.missing(self.next, self.place));
        }
        Ok(wants)
    }

    /// Takes the database's next record, with the index that it stands under. Returns false,
    /// without taking it, if there is no room for it: the first one always has room.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is none, not the expected one, or does not follow the one
    /// before it.
    pub fn take(&mut self, stored: Option<(LogIndex, &[u8])>) -> Result<bool, StoreError> {
        let index = self.next;
        let record = stored.filter(|(at, _)| *at == index);
        let length = record.map_or(0, |(_, record)| record.len());
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.bytes_max && !self.found.is_empty() {
            return Ok(false);
        }
        let entry = stored_entry(self.place, index, record.map(|(_, record)| record))?;
        let previous = self.found.last().map(Entry::link);
        check_chain(self.place, previous, &entry)?;
        self.found.push(entry);
        self.next = index.next();
        Ok(true)
    }

    /// What was taken.
    pub fn into_entries(self) -> Vec<Entry> {
        self.found
    }
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
