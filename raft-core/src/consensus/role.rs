//! The roles, what each owns, and the only functions that change them.

use super::mutant::{Mutant, mutant};
use std::collections::{BTreeMap, BTreeSet};

use super::Raft;
use super::effect::{Effects, RoleName, Standing};
use super::leader::Leader;
use super::timer::Timer;
use crate::id::{Incarnation, LogIndex, NodeId, Term};
use crate::time::Timestamp;

/// A node's role. Leaving it drops what only it knew.
#[derive(Clone, Debug, Hash)]
pub(super) enum Role {
    Follower(Follower),
    /// Asks whether an election could be won, before it disturbs anybody (thesis §9.6).
    PreCandidate(Ballot),
    Candidate(Ballot),
    Leader(Box<Leader>),
}

/// Follows a leader, or waits for one.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Follower {
    /// The leader of this term, once it was heard.
    pub(super) leader: Option<NodeId>,
    /// When it was last heard.
    pub(super) heard: Option<Timestamp>,
    /// The log was found equal to that leader's through here. Not necessarily on disk.
    pub(super) verified: LogIndex,
}

/// The answers to a candidate, or to a pre-candidate. Each node counts once.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Ballot {
    /// Who says yes, and which life of it.
    pub(super) granted: BTreeMap<NodeId, Incarnation>,
    pub(super) refused: BTreeSet<NodeId>,
    /// The leader asked for this election.
    pub(super) transfer: bool,
}

impl Role {
    pub(super) fn name(&self) -> RoleName {
        match self {
            Self::Follower(_) => RoleName::Follower,
            Self::PreCandidate(_) => RoleName::PreCandidate,
            Self::Candidate(_) => RoleName::Candidate,
            Self::Leader(_) => RoleName::Leader,
        }
    }
}

impl Raft {
    /// The leader of this term, if known.
    pub(super) fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.shared.id),
        }
    }

    /// Role, term and known leader.
    pub fn standing(&self) -> Standing {
        Standing {
            role: self.role.name(),
            term: self.shared.term(),
            leader: self.leader(),
        }
    }

    /// A greater term makes any node a follower of it (thesis §3.3). Two messages never get here:
    /// a pre-vote only asks about a term (§9.6), and a vote request heard under a live leader is
    /// ignored (§4.2.3).
    pub(super) fn observe_term(&mut self, asserted: Term, out: &mut Effects) {
        let is_deaf = mutant(Mutant::HigherTermIgnored) && matches!(self.role, Role::Leader(_));
        if asserted > self.shared.term() && !is_deaf {
            self.become_follower(asserted, None, out);
        }
    }

    /// Follows `term`, which is not lower than ours, and its leader, if known.
    ///
    /// A follower's election timer runs on: only a leader, or a vote that is given, buys time
    /// (RULES 53).
    pub(super) fn become_follower(
        &mut self,
        term: Term,
        leader: Option<NodeId>,
        out: &mut Effects,
    ) {
        assert!(
            term >= self.shared.term(),
            "term {term} is behind {}",
            self.shared.term()
        );
        if term > self.shared.term() {
            // A new term has no vote yet. Within a term the vote stays (RULES 4).
            let kept = self.shared.hard_state.vote;
            let vote = kept.filter(|_| mutant(Mutant::VoteKeptIntoNewTerm));
            self.shared.set_hard_state(term, vote);
        }
        let follower = Follower {
            leader,
            ..Follower::default()
        };
        match std::mem::replace(&mut self.role, Role::Follower(follower)) {
            Role::Leader(leader) => {
                self.shared.timers.stop(Timer::Heartbeat);
                leader.resign(&mut self.shared, out);
                self.shared.restart_election_timer();
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    /// Asks every voter whether it would vote for us in the next term. Nothing changes for anybody
    /// until a quorum would.
    pub(super) fn become_pre_candidate(&mut self, out: &mut Effects) {
        assert!(
            !matches!(self.role, Role::Leader(_)),
            "a leader does not campaign in term {}",
            self.shared.term()
        );
        if mutant(Mutant::PreVoteSkipped) {
            return self.become_candidate(false, out);
        }
        self.shared.restart_election_timer();
        self.role = Role::PreCandidate(Ballot::default());
        self.solicit_pre_votes(out);
    }

    /// Begins a term of our own. Nothing leaves before {term, vote} is durable: else a restart
    /// could forget it, and lead the same term twice with two logs (RULES 2).
    pub(super) fn become_candidate(&mut self, transfer: bool, out: &mut Effects) {
        assert!(
            !matches!(self.role, Role::Leader(_)),
            "a leader does not campaign in term {}",
            self.shared.term()
        );
        let (term, id) = (self.shared.term().next(), self.shared.id);
        self.shared.set_hard_state(term, Some(id));
        self.shared.restart_election_timer();
        self.role = Role::Candidate(Ballot {
            transfer,
            ..Ballot::default()
        });
        self.solicit_votes_when_durable(out);
    }

    /// Leads the term of our candidacy, and begins with an entry of it: by committing that, a
    /// leader commits all it inherited (thesis §3.6.2, §6.4).
    pub(super) fn become_leader(&mut self, out: &mut Effects) {
        assert!(
            matches!(self.role, Role::Candidate(_)),
            "only a candidate becomes leader, not a {}",
            self.role.name().as_str()
        );
        let voters = match &self.role {
            Role::Candidate(ballot) => ballot.granted.clone(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Leader(_) => BTreeMap::new(),
        };
        self.shared.timers.stop(Timer::Election);
        self.shared.note_leader(self.shared.id);
        self.shared.forwards.begin_term(self.shared.term());
        self.shared.resolve_transfer(self.shared.id, out);
        let mut leader = Leader::new(&self.shared, &voters);
        leader.begin(&mut self.shared, out);
        self.role = Role::Leader(Box::new(leader));
    }
}
