//! Hands committed entries to the state machine: in order, each once, a bounded amount at a time.

use super::mutant::{Mutant, mutant};
use std::collections::VecDeque;

use super::effect::{Effect, Effects};
use super::event::Reader;
use super::shared::Shared;
use crate::entry::Entry;
use crate::id::LogIndex;
use crate::snapshot::SnapshotMeta;

/// What the state machine has, and what is on its way to it.
#[derive(Clone, Debug, Hash)]
pub(super) struct ApplyQueue {
    /// Handed over through here.
    handed: LogIndex,
    /// Applied through here.
    applied: LogIndex,
    outstanding: VecDeque<(LogIndex, usize)>,
    outstanding_bytes: usize,
    fetching: bool,
    restoring: Option<LogIndex>,
    /// Bytes applied since the last snapshot.
    pub(super) bytes_since_snapshot: u64,
}

impl ApplyQueue {
    pub(super) fn new(applied: LogIndex) -> Self {
        Self {
            handed: applied,
            applied,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            fetching: false,
            restoring: None,
            bytes_since_snapshot: 0,
        }
    }

    pub(super) fn applied(&self) -> LogIndex {
        self.applied
    }

    pub(super) fn handed(&self) -> LogIndex {
        self.handed
    }

    /// Whether a snapshot is being restored: until then the node must not campaign (RULES 97).
    pub(super) fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    /// The state machine reports. Late reports, from before a restore, change nothing.
    fn applied_through(&mut self, index: LogIndex) {
        assert!(
            index <= self.handed,
            "the state machine reports {index}, but was given entries only through {}",
            self.handed
        );
        self.applied = self.applied.max(index);
        while let Some((_, bytes)) = self.outstanding.pop_front_if(|(last, _)| *last <= index) {
            self.outstanding_bytes -= bytes;
            self.bytes_since_snapshot += bytes as u64;
        }
        self.restoring = self.restoring.filter(|last| *last > index);
    }

    fn hand_over(&mut self, entries: Vec<Entry>, out: &mut Effects) {
        let Some(last) = entries.last().map(Entry::index) else {
            return;
        };
        let bytes = entries.iter().map(Entry::record_bytes).sum();
        self.handed = last;
        self.outstanding.push_back((last, bytes));
        self.outstanding_bytes += bytes;
        out.push(Effect::Apply(entries));
    }
}

impl Shared {
    /// Hands over what is committed, and durable here: so a state machine never holds the effect
    /// of an entry that this node could still lose (RULES 39).
    pub(super) fn pump_apply(&mut self, out: &mut Effects) {
        let through = if mutant(Mutant::AppliedBeforeSync) {
            self.committed
        } else if mutant(Mutant::AppliedBeforeCommit) {
            self.log.durable()
        } else {
            self.committed.min(self.log.durable())
        };
        while !self.apply.is_restoring() && self.apply.handed < through {
            let room = self
                .config
                .applying_bytes_max
                .saturating_sub(self.apply.outstanding_bytes);
            if room == 0 && !self.apply.outstanding.is_empty() {
                return; // Goes on when the state machine reports.
            }
            let range = self.apply.handed.next()..through.next();
            let entries = self.log.cached(range.clone(), room);
            if entries.is_empty() {
                if !self.apply.fetching {
                    self.apply.fetching = true;
                    out.push(Effect::Fetch {
                        reader: Reader::StateMachine,
                        range,
                        bytes_max: room.max(1),
                    });
                }
                return;
            }
            self.apply.hand_over(entries, out);
        }
    }

    /// Entries for the state machine came from the disk. A snapshot may have overtaken them.
    pub(super) fn on_fetched_to_apply(&mut self, mut entries: Vec<Entry>, out: &mut Effects) {
        self.apply.fetching = false;
        let next = self.apply.handed.next();
        let through = self.committed.min(self.log.durable());
        entries.retain(|entry| entry.index() <= through);
        let is_next = entries.first().is_some_and(|first| first.index() == next);
        if !self.apply.is_restoring() && (is_next || mutant(Mutant::EntriesSkippedAfterFetch)) {
            self.apply.hand_over(entries, out);
        }
        self.pump_apply(out);
    }

    /// They were purged: a snapshot has overtaken the state machine, or is about to.
    pub(super) fn on_fetch_to_apply_purged(&mut self, out: &mut Effects) {
        self.apply.fetching = false;
        self.pump_apply(out);
    }

    /// The state machine is to begin anew from a received snapshot.
    pub(super) fn restore(&mut self, meta: SnapshotMeta, out: &mut Effects) {
        let last = meta.id().index;
        self.apply.handed = last;
        self.apply.restoring = Some(last);
        out.push(Effect::Restore(meta));
    }

    pub(super) fn on_applied(&mut self, index: LogIndex, out: &mut Effects) {
        self.apply.applied_through(index);
        self.release_reads(out);
        self.pump_apply(out);
        self.consider_snapshot(out);
    }
}
