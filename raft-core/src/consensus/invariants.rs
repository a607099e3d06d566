//! What must hold in every state, and across every step. Both run after every step of every test;
//! the second costs nothing to speak of and stays on in production.

use super::Raft;
use super::role::Role;
use crate::hard_state::HardState;
use crate::id::{ChainLink, LogId, LogIndex};

/// The few values of a state that the next one is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    hard_state: HardState,
    committed: LogIndex,
    applied: LogIndex,
    base: LogId,
    last: ChainLink,
    leads: bool,
}

impl Mark {
    pub(super) fn of(raft: &Raft) -> Self {
        let shared = &raft.shared;
        Self {
            hard_state: shared.hard_state,
            committed: shared.committed,
            applied: shared.apply.applied(),
            base: shared.log.base().id,
            last: shared.log.last(),
            leads: matches!(raft.role, Role::Leader(_)),
        }
    }
}

/// What holds across a step.
///
/// # Panics
/// If it does not: going on would lose data.
pub(super) fn check_step(before: &Mark, raft: &Raft) {
    let now = Mark::of(raft);
    let id = raft.shared.id;
    assert!(
        now.hard_state.term >= before.hard_state.term,
        "node {id} went back from {} to {}",
        before.hard_state,
        now.hard_state
    );
    if let Some(vote) = before.hard_state.vote
        && before.hard_state.term == now.hard_state.term
    {
        // Election safety (thesis §3.4).
        assert_eq!(
            now.hard_state.vote,
            Some(vote),
            "node {id} changed its vote in a term"
        );
    }
    assert!(
        now.committed >= before.committed,
        "node {id} took its commit index back from {} to {}",
        before.committed,
        now.committed
    );
    assert!(
        now.applied >= before.applied,
        "node {id} took its applied index back from {} to {}",
        before.applied,
        now.applied
    );
    assert!(
        now.base.index >= before.base.index,
        "node {id} unpurged {}",
        before.base
    );
    if before.leads && now.leads && before.hard_state.term == now.hard_state.term {
        // Leader append-only (thesis §3.5): what it had is still there, or purged.
        let kept = raft.shared.log.link_at(before.last.id.index);
        let is_purged = now.base.index > before.last.id.index;
        assert!(
            is_purged || kept == Some(before.last),
            "leader {id} replaced its own entry {}",
            before.last
        );
    }
}

impl Raft {
    /// Checks what must hold in every state. For tests, simulators and fuzzers: it walks through
    /// the state and is not cheap.
    ///
    /// # Panics
    /// If it does not hold, with the values.
    pub fn check_state(&self) {
        let shared = &self.shared;
        shared.log.check();
        shared.pending.check();
        let last = shared.log.last().id;
        let committed = shared.committed;
        assert!(
            last.term <= shared.term(),
            "entry {last} is from after {}",
            shared.hard_state
        );
        assert!(
            committed <= last.index,
            "committed {committed} > last {last}"
        );
        assert!(
            shared.log.base().id.index <= committed,
            "purged what is not committed"
        );
        assert!(shared.apply.applied() <= shared.apply.handed());
        assert!(
            shared.apply.handed() <= committed,
            "handed {} > committed {committed}",
            shared.apply.handed()
        );
        if let Some(snapshot) = shared.compaction.snapshot {
            assert!(
                snapshot.index <= committed,
                "snapshot {snapshot} > committed {committed}"
            );
        }
        assert!(
            shared.memberships.current_at().index <= last.index,
            "membership beyond the log"
        );
        self.check_role(last);
    }

    fn check_role(&self, last: LogId) {
        let shared = &self.shared;
        match &self.role {
            Role::Leader(leader) => {
                assert_eq!(
                    leader.term,
                    shared.term(),
                    "a leader leads the term it was elected in"
                );
                // It voted for itself, durably, before anybody else's vote counted.
                assert_eq!(
                    shared.hard_state.vote,
                    Some(shared.id),
                    "a leader voted for itself"
                );
                assert!(
                    leader.first <= last.index,
                    "a leader begins with an entry of its term"
                );
                for (peer, progress) in &leader.peers {
                    assert!(
                        progress.matched < progress.next,
                        "peer {peer}: {progress:?}"
                    );
                    assert!(
                        progress.next <= last.index.next(),
                        "peer {peer}: {progress:?}"
                    );
                }
            }
            Role::Candidate(_) => {
                assert_eq!(
                    shared.hard_state.vote,
                    Some(shared.id),
                    "a candidate votes for itself"
                );
            }
            Role::Follower(follower) => {
                assert!(follower.verified <= last.index, "verified beyond the log");
                assert_ne!(
                    follower.leader,
                    Some(shared.id),
                    "a follower follows another node"
                );
            }
            Role::PreCandidate(_) => {} // Nothing but a question has been sent.
        }
    }
}
