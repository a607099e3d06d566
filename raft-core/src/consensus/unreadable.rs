//! A node whose newest snapshot cannot be read takes another, and leaves the office to others
//! meanwhile (RULES 60).

use std::collections::BTreeSet;

use super::Raft;
use super::effect::Effects;
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::progress::Replication;
use super::shared::Shared;
use crate::id::{NodeId, Term};

/// So many election timeouts a node does not campaign whose snapshot is unreadable, unless it has
/// taken another before. Not for ever: it may be the only one that can lead.
const ABSTINENCE_TIMEOUTS: u32 = 10;

impl Raft {
    /// A snapshot that was to be sent in `term` is damaged, or gone.
    pub(super) fn on_snapshot_unreadable(&mut self, to: NodeId, term: Term, out: &mut Effects) {
        self.shared.replace_unreadable_snapshot(out);
        self.lead_in(term, |leader, shared| {
            leader.on_snapshot_unreadable(shared, to, out);
        });
    }
}

impl Shared {
    /// Takes a snapshot in place of the newest one, and does not campaign until it is there.
    fn replace_unreadable_snapshot(&mut self, out: &mut Effects) {
        if mutant(Mutant::UnreadableSnapshotKept) {
            return;
        }
        self.compaction.abstains_until =
            self.now + ABSTINENCE_TIMEOUTS * self.config.election_timeout;
        self.ask_for_snapshot(out);
    }

    /// Whether this node leaves the office to others for a while.
    pub(super) fn abstains(&self) -> bool {
        self.now < self.compaction.abstains_until
    }
}

impl Leader {
    /// What a follower needs cannot be read here. Another voter may have it: hand over to the best
    /// that keeps up. If there is none, nobody could do it better: go on with the snapshot that is
    /// being taken.
    fn on_snapshot_unreadable(&mut self, shared: &mut Shared, to: NodeId, out: &mut Effects) {
        self.on_snapshot_not_sent(shared, to);
        let keeps_up = |peer: &NodeId| {
            self.counted(shared, *peer).is_some_and(|progress| {
                matches!(progress.state, Replication::Replicate(_))
                    && shared.now.since(progress.heard) < shared.config.election_timeout
            })
        };
        let voters = shared.membership().voters().iter().copied();
        let heirs: BTreeSet<NodeId> = voters.filter(keeps_up).collect();
        if !mutant(Mutant::UnreadableSnapshotKept) {
            self.yield_to(shared, &heirs, out);
        }
    }
}
