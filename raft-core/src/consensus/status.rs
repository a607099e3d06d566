//! What the core knows, as one consistent value.

use std::sync::Arc;
use std::time::Duration;

use super::Raft;
use super::effect::Standing;
use super::repair::Repair;
use super::role::Role;
use crate::former_lives::FormerLives;
use crate::hard_state::HardState;
use crate::id::{Incarnation, LogId, LogIndex, NodeId, Term};
use crate::membership::Membership;

/// The state of a node's core at one moment.
#[derive(Clone, Debug)]
pub struct RaftStatus {
    /// Which node.
    pub id: NodeId,
    /// Role, term and leader.
    pub standing: Standing,
    /// Term and vote.
    pub hard_state: HardState,
    /// The last entry of the log.
    pub last: LogId,
    /// The log is on this node's disk through here.
    pub durable: LogIndex,
    /// Known to be committed through here.
    pub committed: LogIndex,
    /// The state machine has applied through here.
    pub applied: LogIndex,
    /// The log is purged through here.
    pub purged: LogIndex,
    /// The last entry of the newest snapshot.
    pub snapshot: Option<LogId>,
    /// Which life of the node this is.
    pub incarnation: Incarnation,
    /// The life that votes in its place, if that is another: then this node abstains from
    /// everything until it is removed from the group and added again.
    pub displaced_by: Option<Incarnation>,
    /// The stores were damaged and have begun anew, and the group does not count this life yet: it
    /// abstains, gets what it lost from the leader, and is a voter again without an operator.
    pub repairing: Option<FormerLives>,
    /// The membership in force.
    pub membership: Arc<Membership>,
    /// Where it was appended.
    pub membership_at: LogId,
    /// Messages dropped because they made no sense.
    pub dropped: u64,
    /// Read barriers that wait.
    pub reads_waiting: usize,
    /// Bytes of the entries kept in memory.
    pub cached_bytes: usize,
    /// On a leader: bytes of proposals that are not applied yet.
    pub unapplied_bytes: usize,
    /// On a leader: every follower and learner.
    pub peers: Vec<PeerStatus>,
}

/// A follower, seen from its leader.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Which node.
    pub id: NodeId,
    /// `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
    /// Its log equals the leader's through here, durably.
    pub matched: LogIndex,
    /// The next entry that it will be sent.
    pub next: LogIndex,
    /// Appends on their way to it.
    pub in_flight_messages: usize,
    /// Bytes of the entries in them.
    pub in_flight_bytes: usize,
    /// How long ago it was heard of.
    pub heard: Duration,
    /// Which life of it was heard last.
    pub incarnation: Option<Incarnation>,
    /// It votes, and is the life that the membership tells: what it says counts.
    pub counts: bool,
}

/// A few values of [`RaftStatus`], cheap to take.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brief {
    pub(crate) committed: LogIndex,
    pub(crate) term: Term,
    pub(crate) is_leader: bool,
    pub(crate) role: super::effect::RoleName,
    pub(crate) last: LogId,
    /// In the membership in force.
    pub(crate) is_voter: bool,
    pub(crate) is_member: bool,
    pub(crate) is_joint: bool,
    pub(crate) is_stalled: bool,
    pub(crate) is_transferring: bool,
}

impl Raft {
    /// Whether leadership is being handed over: no proposal is taken meanwhile.
    pub fn is_transferring(&self) -> bool {
        self.shared.transfer.is_some()
    }

    /// On a leader: bytes of proposals that are not applied yet.
    pub fn unapplied_bytes(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.unapplied_bytes(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => 0,
        }
    }

    /// What the core knows.
    pub fn status(&self) -> RaftStatus {
        let shared = &self.shared;
        let leader = match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        };
        let peers = leader.iter().flat_map(|leader| &leader.peers);
        let peers = peers.map(|(id, progress)| {
            let (in_flight_messages, in_flight_bytes) = progress.in_flight();
            PeerStatus {
                id: *id,
                state: progress.state.name(),
                matched: progress.matched,
                next: progress.next,
                in_flight_messages,
                in_flight_bytes,
                heard: shared.now.since(progress.heard),
                incarnation: progress.life,
                counts: leader.is_some_and(|leader| leader.counted(shared, *id).is_some()),
            }
        });
        RaftStatus {
            id: shared.id,
            standing: self.standing(),
            hard_state: shared.hard_state,
            last: shared.log.last().id,
            durable: shared.log.durable(),
            committed: shared.committed,
            applied: shared.apply.applied(),
            purged: shared.log.base().id.index,
            snapshot: shared.compaction.snapshot,
            incarnation: shared.incarnation,
            displaced_by: shared.other_life(),
            repairing: shared.repair.as_ref().and_then(Repair::under_way).cloned(),
            membership: Arc::clone(shared.membership()),
            membership_at: shared.memberships.current_at(),
            dropped: shared.dropped,
            reads_waiting: shared.reads.waiting(),
            cached_bytes: shared.log.cached_bytes(),
            unapplied_bytes: self.unapplied_bytes(),
            peers: peers.collect(),
        }
    }

    /// Whether its stores began anew, and it is not what it was before yet.
    #[cfg(feature = "sim")]
    pub(crate) fn is_repairing(&self) -> bool {
        let repair = self.shared.repair.as_ref();
        repair.and_then(Repair::under_way).is_some()
    }

    /// Whether its stores began anew, and it was no voter since: a learner may be what it was, and is
    /// to remember.
    #[cfg(feature = "sim")]
    pub(crate) fn remembers_damage(&self) -> bool {
        self.shared.repair.is_some()
    }

    /// The current term, and how far the log is committed.
    pub fn horizon(&self) -> (Term, LogIndex) {
        (self.shared.term(), self.shared.committed)
    }

    /// Identity and checksum of an entry that is not purged.
    #[cfg(feature = "sim")]
    pub(crate) fn link_at(&self, index: LogIndex) -> Option<crate::id::ChainLink> {
        self.shared.log.link_at(index)
    }

    /// The log is purged through here.
    #[cfg(feature = "sim")]
    pub(crate) fn purged(&self) -> LogIndex {
        self.shared.log.base().id.index
    }

    /// The last entry.
    #[cfg(feature = "sim")]
    pub(crate) fn last_index(&self) -> LogIndex {
        self.shared.log.last().id.index
    }

    /// The membership in force.
    #[cfg(feature = "sim")]
    pub(crate) fn membership(&self) -> Arc<Membership> {
        Arc::clone(self.shared.membership())
    }

    /// What a checker compares before and after every step.
    #[cfg(feature = "sim")]
    pub(crate) fn status_brief(&self) -> Brief {
        Brief {
            committed: self.shared.committed,
            term: self.shared.term(),
            is_leader: matches!(self.role, Role::Leader(_)),
            role: self.role.name(),
            last: self.shared.log.last().id,
            is_voter: self.shared.membership().is_voter(self.shared.id),
            is_member: self.shared.membership().contains(self.shared.id),
            is_joint: self.shared.membership().is_joint(),
            is_stalled: self.shared.has_stalled_disk(),
            is_transferring: self.shared.transfer.is_some(),
        }
    }

    /// Term and index of every entry that is not purged, for tests and inspection.
    pub fn log_ids(&self) -> Vec<LogId> {
        let log = &self.shared.log;
        let (base, last) = (log.base().id.index, log.last().id.index);
        let indexes = base.get() + 1..=last.get();
        indexes
            .map(LogIndex::new)
            .filter_map(|index| Some(LogId::new(log.term_at(index)?, index)))
            .collect()
    }
}
