//! Where everything lies, in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use raft_core::id::LogIndex;
use raft_core::store::{LogBounds, StoreError};

/// What the file says, as of the last commit.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) file: Arc<File>,
    pub(super) bounds: LogBounds,
    pub(super) stable: StableRecords,
    entries: BTreeMap<LogIndex, Place>,
    entry_bytes: u64,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) bytes: u32,
}

/// Where entries lie, in their order.
pub(super) type Places = Vec<(LogIndex, Place)>;

/// Stable records by the names of their keys.
pub(super) type StableRecords = BTreeMap<String, Vec<u8>>;

impl Index {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self {
            file,
            bounds: LogBounds::default(),
            stable: BTreeMap::new(),
            entries: BTreeMap::new(),
            entry_bytes: 0,
        }
    }

    /// The log has these bounds now, and ends with the entries that lie at `places`.
    pub(super) fn apply(&mut self, bounds: LogBounds, places: Vec<Place>) {
        let count = places.len() as u64;
        let end = bounds.last.id.index.next();
        let from = LogIndex::new(end.get().saturating_sub(count));
        while let Some(entry) = self
            .entries
            .last_entry()
            .filter(|entry| *entry.key() >= from)
        {
            self.entry_bytes -= u64::from(entry.remove().bytes);
        }
        let purged = bounds.purged.id.index;
        while let Some(entry) = self
            .entries
            .first_entry()
            .filter(|entry| *entry.key() <= purged)
        {
            self.entry_bytes -= u64::from(entry.remove().bytes);
        }
        for (index, place) in (from.get()..).map(LogIndex::new).zip(places) {
            self.entry_bytes += u64::from(place.bytes);
            self.entries.insert(index, place);
        }
        self.bounds = bounds;
    }

    /// Whether the entries between the bounds are there, and no others.
    pub(super) fn is_whole(&self) -> bool {
        let range = self.bounds.range();
        let expected = range.end.get().checked_sub(range.start.get());
        expected == Some(self.entries.len() as u64)
            && self.entries.keys().all(|index| range.contains(index))
    }

    /// Whether most of a file that ends at `end` counts no more.
    pub(super) fn is_mostly_left_behind(&self, end: u64) -> bool {
        end > ANEW_MIN && end / 2 > self.entry_bytes
    }

    /// Where the entries of `range` lie: at least one, then as many as fit into `bytes_max`.
    pub(super) fn places(
        &self,
        range: Range<LogIndex>,
        bytes_max: usize,
        name: &str,
    ) -> Result<(Arc<File>, Places), StoreError> {
        self.bounds.check_not_purged(range.start)?;
        let mut places = Vec::new();
        let mut bytes = 0_usize;
        for index in (range.start.get()..range.end.get()).map(LogIndex::new) {
            let Some(place) = self.entries.get(&index) else {
                return Err(self.bounds.missing(index, name));
            };
            bytes = bytes.saturating_add(place.bytes as usize);
            if bytes > bytes_max && !places.is_empty() {
                break;
            }
            places.push((index, *place));
        }
        Ok((Arc::clone(&self.file), places))
    }
}

/// A file smaller than this is not worth the trouble.
const ANEW_MIN: u64 = 1 << 20;
