//! The log calls since the last sync, folded into one change.

use std::collections::VecDeque;
use std::ops::Range;

use super::{LogBounds, StoreError};
use crate::entry::Entry;
use crate::id::{ChainLink, LogIndex};

/// Keeps a log store's calls in memory until it syncs, and then says what to do in one atomic
/// commit: remove [two ranges](Unsynced::removals), insert [entries](Unsynced::entries), record
/// [the bounds](Unsynced::bounds).
///
/// ```text
///  durable log     first ............................ last
///  becomes             purged | .... kept |
///                                         | entries ... | the new last
/// ```
///
/// The calls are those of [`super::LogStore`]; a store that buffers has only to read links from
/// its medium and to commit.
#[derive(Debug)]
pub struct Unsynced {
    durable: LogBounds,
    purged: ChainLink,
    /// The last durable entry that stays; the purged one if none does.
    kept: LogIndex,
    entries: VecDeque<Entry>,
    last: ChainLink,
}

impl Unsynced {
    /// Nothing to do, on a durable log with these bounds.
    pub fn new(durable: LogBounds) -> Self {
        Self {
            durable,
            purged: durable.purged,
            kept: durable.last.id.index,
            entries: VecDeque::new(),
            last: durable.last,
        }
    }

    /// Where the log begins and ends once this is committed.
    pub fn bounds(&self) -> LogBounds {
        LogBounds {
            purged: self.purged,
            last: self.last,
        }
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.bounds() == self.durable
    }

    /// Whether something is purged.
    pub fn purges(&self) -> bool {
        self.purged != self.durable.purged
    }

    /// The entries to insert, after the removals.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The durable entries to remove: at the beginning, and at the end. Either may be empty.
    pub fn removals(&self) -> [Range<LogIndex>; 2] {
        let Range { start, end } = self.durable.range();
        let purged = self.purged.id.index.next().clamp(start, end);
        let kept = self.kept.next().clamp(start, end);
        [start..purged, kept.max(purged)..end]
    }

    /// Everything is durable now.
    pub fn committed(&mut self) {
        *self = Self::new(self.bounds());
    }

    /// As [`super::LogStore::append`].
    ///
    /// # Errors
    /// [`StoreError::Misuse`].
    pub fn append(&mut self, entries: &[Entry], place: &str) -> Result<(), StoreError> {
        self.last = self.bounds().extended_by(entries, place)?;
        self.entries.extend(entries.iter().cloned());
        Ok(())
    }

    /// As [`super::LogStore::truncate_suffix`]. `durable_link` reads the link of a durable entry.
    ///
    /// # Errors
    /// [`StoreError::Purged`], and those of `durable_link`.
    pub fn truncate(
        &mut self,
        from: LogIndex,
        durable_link: impl FnOnce(LogIndex) -> Result<ChainLink, StoreError>,
    ) -> Result<(), StoreError> {
        self.bounds().check_not_purged(from)?;
        if from > self.last.id.index {
            return Ok(());
        }
        let last = from.previous();
        if last == self.purged.id.index {
            self.last = self.purged;
        } else if last <= self.kept {
            self.last = durable_link(last)?;
        }
        self.entries.truncate(self.position(from));
        self.kept = self.kept.min(last);
        self.last = self.entries.back().map_or(self.last, Entry::link);
        Ok(())
    }

    /// As [`super::LogStore::purge_prefix`]. `durable_link` reads the link of a durable entry.
    ///
    /// # Errors
    /// Those of `durable_link`.
    pub fn purge(
        &mut self,
        through: ChainLink,
        durable_link: impl FnOnce(LogIndex) -> Result<ChainLink, StoreError>,
    ) -> Result<(), StoreError> {
        let index = through.id.index;
        if index <= self.purged.id.index {
            return Ok(());
        }
        let held = if index > self.last.id.index {
            None
        } else if index <= self.kept {
            Some(durable_link(index)?)
        } else {
            let at = self.position(index);
            self.entries.get(at).map(Entry::link)
        };
        if held == Some(through) {
            self.entries.drain(..self.position(index.next()));
        } else {
            self.entries.clear();
            self.kept = index;
            self.last = through;
        }
        self.kept = self.kept.max(index);
        self.purged = through;
        Ok(())
    }

    /// Where the entry `index` stands in `entries`, or would; zero if it is durable.
    fn position(&self, index: LogIndex) -> usize {
        let distance = index.distance_from(self.kept.next());
        usize::try_from(distance).map_or(self.entries.len(), |at| at.min(self.entries.len()))
    }
}
