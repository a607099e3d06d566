//! What the core knows of the log without reading it: bounds, terms, checksums, the newest entries.

use std::collections::VecDeque;

use super::event::IndexRange;
use crate::entry::Entry;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::time::ClusterTime;

/// The log in memory. Of old entries only term and checksum are kept (four bytes an entry), of the
/// newest everything, up to a number of bytes.
#[derive(Clone, Debug, Hash)]
pub(super) struct LogView {
    base: ChainLink,
    last: ChainLink,
    last_time: ClusterTime,
    /// Where each term begins, after `base`.
    terms: VecDeque<(LogIndex, Term)>,
    /// The checksum of each entry after `base`.
    checksums: VecDeque<u32>,
    tail: VecDeque<Entry>,
    tail_bytes: usize,
    tail_bytes_max: usize,
    durable: LogIndex,
}

impl LogView {
    /// An empty log that continues after `base`.
    pub(super) fn new(base: ChainLink, time: ClusterTime, tail_bytes_max: usize) -> Self {
        Self {
            base,
            last: base,
            last_time: time,
            terms: VecDeque::new(),
            checksums: VecDeque::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_bytes_max,
            durable: base.id.index,
        }
    }

    /// The last purged entry.
    pub(super) fn base(&self) -> ChainLink {
        self.base
    }

    /// The last entry.
    pub(super) fn last(&self) -> ChainLink {
        self.last
    }

    /// No entry has a later time.
    pub(super) fn last_time(&self) -> ClusterTime {
        self.last_time
    }

    /// The entries through here are on disk, as they are in this log.
    pub(super) fn durable(&self) -> LogIndex {
        self.durable
    }

    pub(super) fn set_durable(&mut self, through: LogIndex) {
        assert!(
            through <= self.last.id.index,
            "the disk cannot hold entry {through} of a log that ends at {}",
            self.last
        );
        self.durable = through;
        self.evict();
    }

    /// The term of the entry at `index`, the base included. `None` if it was purged or is not
    /// there yet.
    pub(super) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.id.index {
            return Some(self.base.id.term);
        }
        if index < self.base.id.index || index > self.last.id.index {
            return None;
        }
        let run = self.terms.partition_point(|(first, _)| *first <= index);
        self.terms.get(run.checked_sub(1)?).map(|(_, term)| *term)
    }

    /// Identity and checksum of the entry at `index`, the base included.
    pub(super) fn link_at(&self, index: LogIndex) -> Option<ChainLink> {
        if index == self.base.id.index {
            return Some(self.base);
        }
        let term = self.term_at(index)?;
        let offset = index.distance_from(self.base.id.index) - 1;
        let checksum = *self.checksums.get(usize::try_from(offset).ok()?)?;
        Some(ChainLink {
            id: LogId::new(term, index),
            checksum,
        })
    }

    /// The last entry at or before `index` whose term is at most `term`: where two logs may agree,
    /// given that one of them has `term` at `index` (thesis §3.5, the faster search).
    ///
    /// The base counts: what it stands for is committed.
    pub(super) fn agreement_hint(&self, index: LogIndex, term: Term) -> LogId {
        let index = index.min(self.last.id.index);
        // Runs that begin at or before `index`, then those of them that are not too new.
        let begun = self.terms.partition_point(|(first, _)| *first <= index);
        let old_enough = self
            .terms
            .partition_point(|(_, run)| *run <= term)
            .min(begun);
        let Some((_, found)) = old_enough
            .checked_sub(1)
            .and_then(|run| self.terms.get(run))
        else {
            return self.base.id;
        };
        let run_end = self.terms.get(old_enough).map(|(next, _)| next.previous());
        LogId::new(*found, run_end.map_or(index, |end| end.min(index)))
    }

    /// Adds an entry at the end.
    ///
    /// # Panics
    /// If it does not follow the last one: whoever calls has checked it.
    pub(super) fn push(&mut self, entry: Entry) {
        assert!(
            entry.follows(self.last),
            "entry {entry:?} does not follow {}",
            self.last
        );
        if entry.term() != self.last.id.term || self.terms.is_empty() {
            self.terms.push_back((entry.index(), entry.term()));
        }
        self.last = entry.link();
        self.last_time = self.last_time.max(entry.time());
        self.checksums.push_back(entry.link().checksum);
        self.tail_bytes += entry.record_bytes();
        self.tail.push_back(entry);
    }

    /// Removes the entries at `from` and after.
    pub(super) fn truncate(&mut self, from: LogIndex) {
        assert!(
            from > self.base.id.index,
            "entry {from} is purged, it cannot be truncated"
        );
        let keep = from.previous();
        let Some(last) = self.link_at(keep) else {
            return; // Beyond the end: nothing to remove.
        };
        while let Some(entry) = self.tail.pop_back_if(|entry| entry.index() >= from) {
            self.tail_bytes -= entry.record_bytes();
        }
        let kept = usize::try_from(keep.distance_from(self.base.id.index)).unwrap_or(usize::MAX);
        self.checksums.truncate(kept);
        while self
            .terms
            .pop_back_if(|(first, _)| *first >= from)
            .is_some()
        {}
        self.last = last;
        self.durable = self.durable.min(keep);
    }

    /// Forgets the entries through `through`, which is in the log.
    pub(super) fn purge(&mut self, through: ChainLink) {
        debug_assert_eq!(
            self.link_at(through.id.index),
            Some(through),
            "purge of another entry"
        );
        let count = through.id.index.distance_from(self.base.id.index);
        self.checksums
            .drain(..usize::try_from(count).unwrap_or(usize::MAX));
        while self
            .tail
            .front()
            .is_some_and(|entry| entry.index() <= through.id.index)
        {
            self.pop_oldest();
        }
        let first = through.id.index.next();
        while self.terms.get(1).is_some_and(|(next, _)| *next <= first) {
            self.terms.pop_front();
        }
        match self.terms.front_mut() {
            Some(run) if first <= self.last.id.index => run.0 = run.0.max(first),
            Some(_) | None => self.terms.clear(),
        }
        self.base = through;
    }

    /// Forgets everything: the log continues after `base`, which a snapshot contains. Not durable
    /// until that is written.
    pub(super) fn reset(&mut self, base: ChainLink, time: ClusterTime) {
        let time = self.last_time.max(time);
        *self = Self::new(base, time, self.tail_bytes_max);
        self.durable = LogIndex::ZERO;
    }

    /// Whether the entry at `index` is in memory.
    pub(super) fn is_cached(&self, index: LogIndex) -> bool {
        self.tail
            .front()
            .is_some_and(|first| first.index() <= index)
            && index <= self.last.id.index
    }

    /// Entries in `range` that are in memory, from its start on: as many as fit into `bytes_max`,
    /// and at least one if the first is there at all.
    pub(super) fn cached(&self, range: IndexRange, bytes_max: usize) -> Vec<Entry> {
        let Some(first) = self.tail.front().map(Entry::index) else {
            return Vec::new();
        };
        if range.start < first {
            return Vec::new();
        }
        let skip = usize::try_from(range.start.distance_from(first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        self.tail
            .range(skip.min(self.tail.len())..)
            .take_while(|entry| {
                let fits = bytes == 0 || bytes + entry.record_bytes() <= bytes_max;
                bytes += entry.record_bytes();
                fits && entry.index() < range.end
            })
            .cloned()
            .collect()
    }

    /// Bytes of the entries in memory.
    pub(super) fn cached_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// Lets go of the oldest entries over the limit. What is not on disk stays: it could not be
    /// read back.
    fn evict(&mut self) {
        while self.tail_bytes > self.tail_bytes_max
            && self
                .tail
                .front()
                .is_some_and(|entry| entry.index() <= self.durable)
        {
            self.pop_oldest();
        }
    }

    fn pop_oldest(&mut self) {
        if let Some(entry) = self.tail.pop_front() {
            self.tail_bytes -= entry.record_bytes();
        }
    }

    /// What must hold between the parts.
    pub(super) fn check(&self) {
        let entries = self.last.id.index.distance_from(self.base.id.index);
        assert_eq!(
            self.checksums.len() as u64,
            entries,
            "one checksum an entry"
        );
        assert!(
            self.durable <= self.last.id.index,
            "durable {} > {}",
            self.durable,
            self.last
        );
        assert_eq!(
            self.terms.is_empty(),
            entries == 0,
            "terms are known for every entry"
        );
        if let Some((first, _)) = self.terms.front() {
            assert_eq!(
                *first,
                self.base.id.index.next(),
                "the first term begins after the base"
            );
        }
        let rises = self
            .terms
            .iter()
            .zip(self.terms.iter().skip(1))
            .all(|(a, b)| a < b && a.1 < b.1);
        assert!(rises, "terms rise: {:?}", self.terms);
        if let Some(newest) = self.tail.back() {
            assert_eq!(
                newest.link(),
                self.last,
                "the newest entry is in memory or none is"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Sealed;

    fn log(terms: &[u64]) -> LogView {
        let mut log = LogView::new(ChainLink::ORIGIN, ClusterTime::ZERO, usize::MAX);
        for term in terms {
            let sealed = Sealed::command(vec![7; 10]);
            log.push(Entry::new(
                log.last(),
                Term::new(*term),
                ClusterTime::ZERO,
                sealed,
            ));
        }
        log.check();
        log
    }

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    #[test]
    fn the_hint_is_the_last_entry_neither_behind_nor_newer() {
        let log = log(&[1, 1, 2, 4, 4]);
        for (index, term, hint) in [
            (5, 4, id(5, 4)),
            (9, 4, id(5, 4)),
            (5, 3, id(3, 2)),
            (4, 2, id(3, 2)),
            (2, 9, id(2, 1)),
            (5, 1, id(2, 1)),
            (3, 0, LogId::ORIGIN),
        ] {
            let found = log.agreement_hint(LogIndex::new(index), Term::new(term));
            assert_eq!(found, hint, "for {index}.{term}");
        }
    }

    #[test]
    fn truncation_forgets_terms_checksums_and_durability() {
        let mut log = log(&[1, 1, 2, 4, 4]);
        log.set_durable(LogIndex::new(5));
        log.truncate(LogIndex::new(3));
        log.check();
        assert_eq!(log.last().id, id(2, 1));
        assert_eq!(log.durable(), LogIndex::new(2));
        assert_eq!(log.term_at(LogIndex::new(3)), None);
        log.truncate(LogIndex::new(9));
        assert_eq!(log.last().id, id(2, 1));
    }

    #[test]
    fn a_purge_keeps_the_term_of_the_last_purged_entry() {
        for purged in 1..=5 {
            let mut log = log(&[1, 1, 2, 4, 4]);
            let link = log.link_at(LogIndex::new(purged)).unwrap();
            let after = log.link_at(LogIndex::new(purged + 1));
            log.purge(link);
            log.check();
            assert_eq!(log.link_at(LogIndex::new(purged)), Some(link));
            assert_eq!(log.link_at(LogIndex::new(purged + 1)), after);
            assert_eq!(log.term_at(LogIndex::new(purged - 1)), None);
        }
    }

    #[test]
    fn only_durable_entries_leave_the_cache() {
        let mut log = log(&[1, 1, 1]);
        log.tail_bytes_max = 1;
        log.set_durable(LogIndex::new(2));
        log.check();
        assert!(!log.is_cached(LogIndex::new(2)));
        assert!(log.is_cached(LogIndex::new(3)));
        assert_eq!(log.cached(LogIndex::new(3)..LogIndex::new(9), 1).len(), 1);
        assert!(log.cached(LogIndex::new(2)..LogIndex::new(9), 1).is_empty());
    }
}
