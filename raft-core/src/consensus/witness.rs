//! What the simulator's checkers compare with the world: cheap looks into a core, one question each.

use super::Raft;
use super::leader::Leader;
use super::role::Role;
use super::timer::Timer;
use crate::id::{Incarnation, LogId, LogIndex, NodeId, Term};
use crate::time::Timestamp;

/// What a leader believes of one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Belief {
    /// Which life of it that is, if it has answered.
    pub(crate) life: Option<Incarnation>,
    /// Stored there, durably, through here.
    pub(crate) matched: LogIndex,
    /// What it will be sent next.
    pub(crate) next: LogIndex,
    /// Messages and bytes of appends on their way.
    pub(crate) in_flight: (usize, usize),
}

impl Raft {
    /// The log is on this node's disk through here, as the core believes.
    pub(crate) fn durable(&self) -> LogIndex {
        self.shared.log.durable()
    }

    /// The term of an entry that is not purged.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.shared.log.term_at(index)
    }

    /// Whom this node has voted for in its term.
    pub(crate) fn vote(&self) -> Option<NodeId> {
        self.shared.hard_state.vote
    }

    /// Where the membership in force was appended.
    pub(crate) fn membership_at(&self) -> LogId {
        self.shared.memberships.current_at()
    }

    /// Whether this node votes in the newest membership it has, or in one that is in force until
    /// that is committed.
    pub(crate) fn has_any_vote(&self) -> bool {
        let shared = &self.shared;
        let mut in_force = shared.memberships.in_force(shared.committed);
        in_force.any(|membership| shared.has_vote_in(membership))
    }

    /// Whether this node has to campaign when it has heard no leader for long enough, if it has a
    /// vote.
    pub(crate) fn is_free_to_campaign(&self) -> bool {
        self.shared.is_free_to_campaign()
    }

    /// What a leader believes of `peer`.
    pub(crate) fn belief(&self, peer: NodeId) -> Option<Belief> {
        let progress = self.as_leader()?.peers.get(&peer)?;
        Some(Belief {
            life: progress.life,
            matched: progress.matched,
            next: progress.next,
            in_flight: progress.in_flight(),
        })
    }

    /// The bytes of a leader's proposals that are not applied yet.
    pub(crate) fn unapplied(&self) -> usize {
        self.as_leader().map_or(0, Leader::unapplied_bytes)
    }

    /// Whether a leader would answer reads by its lease, if it was `now`.
    pub(crate) fn has_lease_at(&self, now: Timestamp) -> bool {
        self.as_leader()
            .is_some_and(|leader| leader.has_lease_at(&self.shared, now))
    }

    /// When this node stops waiting for a leader.
    pub(crate) fn election_deadline(&self) -> Option<Timestamp> {
        self.shared.timers.deadline(Timer::Election)
    }

    fn as_leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }
}
