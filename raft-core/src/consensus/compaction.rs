//! When to take a snapshot, and how much of the log it replaces (thesis §5.1).

use super::effect::{Effect, Effects};
use super::mutant::{Mutant, mutant};
use super::shared::Shared;
use super::timer::Timer;
use crate::id::{LogId, LogIndex};
use crate::snapshot::SnapshotMeta;
use crate::time::Timestamp;

/// The newest snapshot, and whether another is being taken.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Compaction {
    /// The last entry of the newest snapshot.
    pub(super) snapshot: Option<LogId>,
    pub(super) is_taking: bool,
    /// What was applied when the last one failed.
    pub(super) failed_at: LogIndex,
    /// The newest one cannot be read: until then this node leaves the office to others.
    pub(super) abstains_until: Timestamp,
}

impl Compaction {
    /// Of a node that starts with this snapshot.
    pub(super) fn after(snapshot: Option<LogId>) -> Self {
        Self {
            snapshot,
            ..Self::default()
        }
    }
}

impl Shared {
    /// Asks for a snapshot when enough was applied since the last one, in entries or in bytes.
    pub(super) fn consider_snapshot(&mut self, out: &mut Effects) {
        let last = self.snapshot_end().max(self.compaction.failed_at);
        let entries = self.apply.applied().distance_from(last);
        let is_due = entries >= self.config.snapshot_entries
            || (entries > 0 && self.apply.bytes_since_snapshot >= self.config.snapshot_bytes);
        if is_due {
            self.ask_for_snapshot(out);
        }
        self.await_snapshot();
    }

    /// The oldest entry that is in no snapshot was applied long ago.
    pub(super) fn on_snapshot_due(&mut self, out: &mut Effects) {
        if self.apply.applied() > self.snapshot_end() {
            self.ask_for_snapshot(out);
        }
    }

    /// Unless one is on its way: the time is then counted anew from its end.
    pub(super) fn ask_for_snapshot(&mut self, out: &mut Effects) {
        if self.compaction.is_taking || self.apply.is_restoring() {
            return;
        }
        self.compaction.is_taking = true;
        if mutant(Mutant::PurgedBeforeSnapshot) {
            self.purge(self.apply.applied());
        }
        out.push(Effect::TakeSnapshot);
    }

    /// Counts the time from when something was applied that is in no snapshot.
    pub(super) fn await_snapshot(&mut self) {
        let Some(interval) = self.config.snapshot_interval else {
            return;
        };
        let is_wanted = self.apply.applied() > self.snapshot_end() && !self.compaction.is_taking;
        if is_wanted && self.timers.deadline(Timer::Snapshot).is_none() {
            self.timers.set(Timer::Snapshot, self.now + interval);
        }
    }

    fn snapshot_end(&self) -> LogIndex {
        let newest = self.compaction.snapshot;
        newest.map_or(LogIndex::ZERO, |last| last.index)
    }

    /// A snapshot is durable: purge what it replaces, but for a tail that spares followers that
    /// lag a little a whole snapshot. `needed_after` is kept for receivers of an earlier one
    /// (RULES 99).
    pub(super) fn on_snapshot_taken(&mut self, meta: &SnapshotMeta, needed_after: LogIndex) {
        self.compaction.is_taking = false;
        self.keep_snapshot(meta, needed_after);
        self.timers.stop(Timer::Snapshot);
        self.await_snapshot();
    }

    fn keep_snapshot(&mut self, meta: &SnapshotMeta, needed_after: LogIndex) {
        let newest = self.compaction.snapshot;
        if newest.is_none_or(|newest| newest.index <= meta.id().index) {
            // One that was unreadable is replaced.
            self.compaction.abstains_until = Timestamp::ZERO;
        }
        if newest.is_some_and(|newest| newest.index >= meta.id().index) {
            return; // One that was received meanwhile is newer.
        }
        self.compaction.snapshot = Some(meta.id());
        self.apply.bytes_since_snapshot = 0;
        let through = meta
            .id()
            .index
            .minus(self.config.trailing_entries)
            .min(needed_after);
        self.purge(through);
        self.memberships.forget_before(self.log.base().id.index);
    }

    fn purge(&mut self, through: LogIndex) {
        if through > self.log.base().id.index
            && let Some(link) = self.log.link_at(through)
        {
            self.log.purge(link);
            self.pending.stage_purge(link);
        }
    }

    /// It will be tried again after as many entries, or as much time, as a snapshot usually takes.
    pub(super) fn on_snapshot_not_taken(&mut self) {
        self.compaction.is_taking = false;
        self.compaction.failed_at = self.apply.applied();
        self.apply.bytes_since_snapshot = 0;
        self.timers.stop(Timer::Snapshot);
        self.await_snapshot();
    }
}
