//! The log in memory.

use std::collections::VecDeque;
use std::ops::Range;

use super::disk::{Handle, PLACE};
use crate::entry::Entry;
use crate::id::{ChainLink, LogIndex};
use crate::store::{LogBounds, LogReader, LogStore, StoreError};

/// What the log holds, and how to undo what was not synced.
#[derive(Default)]
pub(super) struct LogImage {
    purged: ChainLink,
    entries: VecDeque<Entry>,
    unsynced: Vec<Undo>,
}

/// The way back from one call.
enum Undo {
    Append {
        count: usize,
    },
    Truncate {
        removed: VecDeque<Entry>,
    },
    Purge {
        was: ChainLink,
        removed: VecDeque<Entry>,
    },
}

/// Implements [`LogStore`] and [`LogReader`] on the shared disk.
pub(super) struct MemoryLog {
    handle: Handle,
}

impl MemoryLog {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl LogStore for MemoryLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        Ok(self.handle.read()?.log.bounds())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.handle.write("append")?.log.append(entries)
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        self.handle.write("truncate")?.log.truncate(from)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        self.handle.write("purge")?.log.purge(through);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.handle.write("sync")?.log.unsynced.clear();
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(Self::new(self.handle.clone())))
    }

    fn may_block(&self) -> bool {
        false
    }
}

impl LogReader for MemoryLog {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        self.handle.read()?.log.read(range, bytes_max)
    }
}

impl LogImage {
    pub(super) fn bounds(&self) -> LogBounds {
        let purged = self.purged;
        let last = self.entries.back().map_or(purged, Entry::link);
        LogBounds { purged, last }
    }

    /// The power failed after the first `kept` of the unsynced calls had reached the disk.
    pub(super) fn lose_unsynced(&mut self, kept: usize) {
        let lost = self.unsynced.split_off(kept.min(self.unsynced.len()));
        self.unsynced.clear();
        for undo in lost.into_iter().rev() {
            match undo {
                Undo::Append { count } => self.entries.truncate(self.entries.len() - count),
                Undo::Truncate { mut removed } => self.entries.append(&mut removed),
                Undo::Purge { was, mut removed } => {
                    removed.append(&mut self.entries);
                    self.entries = removed;
                    self.purged = was;
                }
            }
        }
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.bounds().extended_by(entries, PLACE)?;
        self.entries.extend(entries.iter().cloned());
        let count = entries.len();
        self.unsynced.push(Undo::Append { count });
        Ok(())
    }

    fn truncate(&mut self, from: LogIndex) -> Result<(), StoreError> {
        let bounds = self.bounds();
        bounds.check_not_purged(from)?;
        if from <= bounds.last.id.index {
            let removed = self.entries.split_off(self.position(from));
            self.unsynced.push(Undo::Truncate { removed });
        }
        Ok(())
    }

    fn purge(&mut self, through: ChainLink) {
        let was = self.purged;
        if through.id.index <= was.id.index {
            return;
        }
        let at = self.position(through.id.index);
        let held = self
            .entries
            .get(at)
            .is_some_and(|entry| entry.link() == through);
        let rest = if held {
            self.entries.split_off(at + 1)
        } else {
            VecDeque::new()
        };
        let removed = std::mem::replace(&mut self.entries, rest);
        self.purged = through;
        self.unsynced.push(Undo::Purge { was, removed });
    }

    fn read(&self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let bounds = self.bounds();
        bounds.check_not_purged(range.start)?;
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        let mut next = range.start;
        while next < range.end {
            let Some(entry) = self.entries.get(self.position(next)) else {
                return Err(bounds.missing(next, PLACE));
            };
            bytes = bytes.saturating_add(entry.record_bytes());
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
            next = next.next();
        }
        Ok(found)
    }

    /// Where the entry `index`, which lies after the purged part, stands in `entries`.
    fn position(&self, index: LogIndex) -> usize {
        let distance = index.distance_from(self.purged.id.index).saturating_sub(1);
        usize::try_from(distance).unwrap_or(usize::MAX)
    }
}
