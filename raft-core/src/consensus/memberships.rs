//! Which membership is in force where in the log. The newest counts, committed or not.

use std::sync::Arc;

use crate::id::{LogId, LogIndex};
use crate::membership::Membership;

/// The memberships in the log, the oldest first. A membership is in force from the moment its entry
/// is appended (thesis §4.1), so truncating the entry brings the one before back.
#[derive(Clone, Debug, Hash)]
pub(super) struct Memberships {
    history: Vec<(LogId, Arc<Membership>)>,
    /// In force before the first one.
    none: Arc<Membership>,
}

impl Memberships {
    /// A history that begins with what a snapshot says, if there is one.
    pub(super) fn new(base: Option<(LogId, Arc<Membership>)>) -> Self {
        Self {
            history: base.into_iter().collect(),
            none: Arc::new(Membership::nobody()),
        }
    }

    /// The membership in force. Without any it has no members, and elects nobody.
    pub(super) fn current(&self) -> &Arc<Membership> {
        self.history
            .last()
            .map_or(&self.none, |(_, membership)| membership)
    }

    /// Where the membership in force was appended.
    pub(super) fn current_at(&self) -> LogId {
        self.history.last().map_or(LogId::ORIGIN, |(at, _)| *at)
    }

    /// The newest membership, and those that are in force until it is committed. Who is voted out
    /// may be the only one that can commit it (thesis figure 4.6).
    pub(super) fn in_force(&self, committed: LogIndex) -> impl Iterator<Item = &Membership> {
        let in_force = self
            .history
            .partition_point(|(at, _)| at.index <= committed)
            .saturating_sub(1);
        let uncommitted = self.history.iter().skip(in_force);
        uncommitted.map(|(_, membership)| &**membership)
    }

    /// The newest that is committed.
    pub(super) fn committed(&self, committed: LogIndex) -> &Arc<Membership> {
        let count = self
            .history
            .partition_point(|(at, _)| at.index <= committed);
        let newest = count.checked_sub(1).and_then(|at| self.history.get(at));
        newest.map_or(self.current(), |(_, membership)| membership)
    }

    /// A new one was appended.
    pub(super) fn push(&mut self, at: LogId, membership: Arc<Membership>) {
        self.history.retain(|(known, _)| known.index < at.index);
        self.history.push((at, membership));
    }

    /// The entries at `from` and after are gone. Says whether another membership is in force now.
    pub(super) fn truncate(&mut self, from: LogIndex) -> bool {
        let before = self.history.len();
        self.history.retain(|(at, _)| at.index < from);
        self.history.len() != before
    }

    /// Nobody asks any more what was in force before `index`.
    pub(super) fn forget_before(&mut self, index: LogIndex) {
        let in_force = self.history.partition_point(|(at, _)| at.index <= index);
        self.history.drain(..in_force.saturating_sub(1));
    }

    /// A snapshot replaces the log.
    pub(super) fn reset(&mut self, at: LogId, membership: Arc<Membership>) {
        self.history = vec![(at, membership)];
    }
}
