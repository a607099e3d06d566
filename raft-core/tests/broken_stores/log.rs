//! A log store and its readers, broken in one way.

use std::collections::BTreeMap;
use std::ops::Range;

use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::store::{LogBounds, LogReader, LogStore, StoreError};

use crate::broken::{Fault, Remembered};

pub(crate) struct BrokenLog {
    inner: Box<dyn LogStore>,
    remembered: Remembered,
}

struct BrokenReader {
    inner: Box<dyn LogReader>,
    remembered: Remembered,
    seen: BTreeMap<LogIndex, Entry>,
}

impl BrokenLog {
    pub(crate) fn new(inner: Box<dyn LogStore>, remembered: Remembered) -> Self {
        Self { inner, remembered }
    }

    fn last(&self) -> ChainLink {
        self.inner.bounds().unwrap().last
    }

    fn entry(&self, index: LogIndex) -> Option<Entry> {
        let mut reader = self.inner.reader().unwrap();
        reader.read(index..index.next(), 0).ok()?.pop()
    }
}

impl LogStore for BrokenLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        let mut bounds = self.inner.bounds()?;
        let memory = self.remembered.get();
        match memory.fault {
            Some(Fault::NewLogBeginsSomewhere) if bounds.is_empty() => {
                bounds.last.id = LogId::new(Term::new(1), LogIndex::new(1));
            }
            Some(Fault::ForgetsThePurgeOnReopening) if memory.openings > 1 => {
                bounds.purged = ChainLink::ORIGIN;
            }
            Some(Fault::EmptyLogForgetsItsEnd) if memory.openings > 1 && bounds.is_empty() => {
                bounds = LogBounds::default();
            }
            Some(Fault::PurgeMovesBack) => {
                bounds.purged = memory.moved_back.unwrap_or(bounds.purged);
            }
            Some(Fault::BoundsIgnoreBufferedCalls) => bounds = memory.synced,
            _ => {}
        }
        Ok(bounds)
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut last = self.last();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(fault) = why_refused(last, entry) {
                if self.remembered.is(Fault::AppendsWhatStandsBeforeAGap) {
                    self.inner.append(&entries[..at])?;
                }
                if self.remembered.is(fault) {
                    return Ok(());
                }
            }
            last = entry.link();
        }
        self.inner.append(entries)?;
        let mut memory = self.remembered.get();
        memory.appended.extend(entries.iter().cloned());
        memory.is_dirty = true;
        Ok(())
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        let last = self.last().id.index;
        if self.remembered.is(Fault::ForgetsTruncationOnReopening) && from <= last {
            let removed = (from.get()..=last.get()).filter_map(|at| self.entry(LogIndex::new(at)));
            let removed = removed.collect();
            self.remembered.get().removed = removed;
        }
        if self.remembered.is(Fault::TruncatesTheLastEntryFromBeyond) {
            return self.inner.truncate_suffix(from.min(last));
        }
        self.remembered.get().is_dirty = true;
        match self.inner.truncate_suffix(from) {
            Err(StoreError::Purged { .. }) if self.remembered.is(Fault::TruncatesThePurged) => {
                Ok(())
            }
            done => done,
        }
    }

    fn purge_prefix(&mut self, mut through: ChainLink) -> Result<(), StoreError> {
        let bounds = self.inner.bounds()?;
        let index = through.id.index;
        let fault = self.remembered.get().fault;
        match fault {
            Some(Fault::PurgeBeyondTheEndDoesNothing) if index > bounds.last.id.index => {
                return Ok(());
            }
            Some(Fault::PurgeThroughAnotherEntryKeepsTheLog) => {
                through = self.entry(index).map_or(through, |entry| entry.link());
            }
            Some(Fault::PurgeMovesBack) if index < bounds.purged.id.index => {
                self.remembered.get().moved_back = Some(through);
            }
            _ => {}
        }
        self.inner.purge_prefix(through)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.remembered.is(Fault::SyncDoesNothing) {
            return Ok(());
        }
        self.inner.sync()?;
        let bounds = self.inner.bounds()?;
        let mut memory = self.remembered.get();
        (memory.synced, memory.is_dirty) = (bounds, false);
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(BrokenReader {
            inner: self.inner.reader()?,
            remembered: self.remembered.clone(),
            seen: BTreeMap::new(),
        }))
    }
}

/// The fault that would accept the entry after `last`, if it must be refused.
fn why_refused(last: ChainLink, entry: &Entry) -> Option<Fault> {
    if entry.index() != last.id.index.next() {
        Some(Fault::AcceptsAGap)
    } else if entry.term() < last.id.term {
        Some(Fault::AcceptsAFallingTerm)
    } else {
        (!entry.follows(last)).then_some(Fault::AcceptsABrokenChain)
    }
}

impl LogReader for BrokenReader {
    fn read(
        &mut self,
        mut range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let fault = self.remembered.get().fault;
        if fault == Some(Fault::CountsIndexesInSixteenBits) && range.start.get() > 0xffff {
            range = range.start.minus(0x1_0000).next()..range.end.minus(0x1_0000).next();
        }
        let read = self.inner.read(range.clone(), bytes_max);
        let mut found = match (fault, read) {
            (Some(Fault::ReturnsPurgedEntries), Err(StoreError::Purged { .. })) => {
                let appended = self.remembered.get().appended.clone();
                appended
                    .into_iter()
                    .filter(|entry| range.contains(&entry.index()))
                    .collect()
            }
            (Some(Fault::EndsInSilence), Err(StoreError::Misuse { .. })) => {
                let indexes = (range.start.get()..range.end.get()).map(LogIndex::new);
                let mut each = indexes.map(|index| self.inner.read(index..index.next(), 0));
                std::iter::from_fn(|| each.next()?.ok()).flatten().collect()
            }
            (_, read) => read?,
        };
        match fault {
            Some(Fault::GivesNothingOverTheLimit)
                if found
                    .first()
                    .is_some_and(|entry| entry.record_bytes() > bytes_max) =>
            {
                found.clear();
            }
            Some(Fault::GivesOneEntryTooFew) if found.len() > 1 => drop(found.pop()),
            Some(Fault::ReadsPastTheRange) => {
                let more = range.end..range.end.next();
                found.extend(self.inner.read(more, 0).unwrap_or_default());
            }
            Some(Fault::RemembersWhatItRead) => {
                for entry in &mut found {
                    *entry = self
                        .seen
                        .entry(entry.index())
                        .or_insert(entry.clone())
                        .clone();
                }
            }
            _ => {}
        }
        let is_dirty = self.remembered.get().is_dirty;
        Ok(found
            .into_iter()
            .map(|entry| alter(entry, fault, is_dirty))
            .collect())
    }
}

fn alter(entry: Entry, fault: Option<Fault>, is_dirty: bool) -> Entry {
    let replace = |payload: Vec<u8>| {
        let id = LogId::new(entry.term(), entry.index().previous());
        let previous = ChainLink {
            id,
            checksum: entry.previous_checksum(),
        };
        Entry::new(
            previous,
            entry.term(),
            entry.time(),
            Sealed::command(payload),
        )
    };
    match (fault, entry.payload()) {
        (Some(Fault::BlankBecomesCommand), Payload::Blank) => replace(Vec::new()),
        (Some(Fault::AltersAPayload), _) if entry.index().get() == 50 => replace(b"x".to_vec()),
        (Some(Fault::CutsLargeEntries), Payload::Command(bytes)) if bytes.len() > 1 << 20 => {
            replace(bytes[..1 << 20].to_vec())
        }
        (Some(Fault::ShowsGarbageUntilTheSync), _) if is_dirty => replace(b"garbage".to_vec()),
        _ => entry,
    }
}
