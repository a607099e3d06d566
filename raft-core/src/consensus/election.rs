//! Elections: pre-vote, vote, and who may ask for either (thesis §3.4, §3.6.1, §4.2.3, §9.6).

use super::Raft;
use super::effect::{Effect, Effects};
use super::incarnations::Life;
use super::mutant::{Mutant, mutant};
use super::pending::Deferred;
use super::quorum;
use super::role::{Ballot, Role};
use super::shared::Shared;
use super::timer::Timer;
use crate::id::{LogId, NodeId, Term};
use crate::message::{Body, Message};
use crate::time::Timestamp;

/// Followers that lose their leader at the same moment look at random times within this part of a
/// heartbeat interval. The first to ask is in the next term before the others do.
const HINT_HURRY: u32 = 5;

impl Raft {
    /// No leader was heard for too long.
    pub(super) fn on_election_timeout(&mut self, deadline: Timestamp, out: &mut Effects) {
        let now = self.shared.now;
        // After a pause of the process the leader's heartbeats lie in the inbox: hear them first
        // (RULES 55).
        let overslept = now.since(deadline) >= self.shared.config.election_timeout
            && !mutant(Mutant::OversleptCampaigns);
        if overslept || !self.shared.may_campaign() {
            if let (Role::Follower(follower), false) = (&mut self.role, overslept) {
                follower.leader = None;
            }
            return self.shared.restart_election_timer();
        }
        if self.defers_to_others() {
            return;
        }
        match &self.role {
            // Our own vote is still on its way to the disk: another term would not get there
            // sooner.
            Role::Candidate(ballot) if !ballot.granted.contains_key(&self.shared.id) => {
                self.shared.restart_election_timer();
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.become_pre_candidate(out);
            }
            Role::Leader(_) => {} // A leader has no election timer.
        }
    }

    /// The connection to a peer broke. A leader may have died with it: look soon, instead of after
    /// a whole election timeout. If it has not, this does no harm: whoever still hears it refuses
    /// the pre-vote, and its next heartbeat is followed.
    pub(super) fn on_unreachable(&mut self, peer: NodeId) {
        let shared = &mut self.shared;
        match &mut self.role {
            Role::Leader(leader) => leader.on_unreachable(peer),
            Role::Follower(follower) if follower.leader == Some(peer) => {
                // A promise is not forgotten with a connection.
                if !shared.config.lease_reads && follower.heard.take().is_some() {
                    let most = shared.config.heartbeat_interval / HINT_HURRY;
                    let soon = shared.now + shared.timers.within(most);
                    shared.timers.hasten(Timer::Election, soon);
                }
            }
            // Not heard of by these anyway.
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    pub(super) fn solicit_pre_votes(&mut self, out: &mut Effects) {
        let last = self.shared.log.last().id;
        let term = self.shared.term().next();
        for peer in self.voting_peers() {
            let message = Message {
                term,
                ..self.shared.message(peer, Body::PreVote { last })
            };
            out.push(Effect::Send(message));
        }
        self.count_pre_vote(self.shared.own(), true, out);
    }

    pub(super) fn solicit_votes_when_durable(&mut self, out: &mut Effects) {
        let solicit = Deferred::SolicitVotes(self.shared.term());
        if mutant(Mutant::CandidacyNotPersisted) || self.shared.pending.defer(solicit).is_some() {
            self.solicit_votes(self.shared.term(), out);
        }
    }

    /// {term, vote = self} is durable. If that is still our candidacy, ask the others, and count
    /// ourselves.
    pub(super) fn solicit_votes(&mut self, term: Term, out: &mut Effects) {
        let Role::Candidate(Ballot { transfer, .. }) = self.role else {
            return;
        };
        if term != self.shared.term() {
            return;
        }
        let last = self.shared.log.last().id;
        for peer in self.voting_peers() {
            self.shared.send(peer, Body::Vote { last, transfer }, out);
        }
        self.count_vote(self.shared.own(), true, out);
    }

    /// Answers whether we would vote, and changes nothing. A refusal is sent too, with our term: a
    /// node that is behind must learn it (RULES 49, 50).
    pub(super) fn on_pre_vote(&mut self, message: &Message, last: LogId, out: &mut Effects) {
        let is_new = message.term > self.shared.term();
        let granted = is_new
            && !self.shared.must_abstain()
            && (!self.hears_a_leader_other_than(message.from)
                || mutant(Mutant::PreVoteUnderLeader))
            && (self.shared.is_up_to_date(last) || mutant(Mutant::PreVoteForAnyLog));
        if is_new && !granted && !self.hears_a_leader_other_than(message.from) {
            self.campaign_instead();
        }
        let reply = self
            .shared
            .message(message.from, Body::PreVoteReply { granted });
        // A grant carries the term that was asked about, for it says nothing about ours.
        let term = if granted {
            message.term
        } else {
            self.shared.term()
        };
        out.push(Effect::Send(Message { term, ..reply }));
    }

    /// Another node misses its leader, and so do we, but its log is behind ours: it cannot win, and
    /// we could. Do not wait for a whole election timeout.
    fn campaign_instead(&mut self) {
        if !matches!(self.role, Role::Candidate(_)) && self.shared.may_campaign() {
            self.shared.stand_forward();
            let most = self.shared.config.heartbeat_interval / HINT_HURRY;
            let soon = self.shared.now + self.shared.timers.within(most);
            self.shared.timers.hasten(Timer::Election, soon);
        }
    }

    /// Votes at most once a term, for a candidate whose log is at least as complete, and not while
    /// this term has a leader already (RULES 6). The vote leaves when it is durable (thesis §3.8).
    pub(super) fn on_vote(&mut self, from: NodeId, last: LogId, out: &mut Effects) {
        let is_free = match self.shared.hard_state.vote {
            Some(candidate) => candidate == from || mutant(Mutant::VotesTwice),
            None => self.leader().is_none_or(|leader| leader == from),
        };
        if !is_free || self.shared.must_abstain() || !self.shared.is_up_to_date(last) {
            return self
                .shared
                .send(from, Body::VoteReply { granted: false }, out);
        }
        if self.shared.hard_state.vote.is_none() || mutant(Mutant::VotesTwice) {
            self.shared.set_hard_state(self.shared.term(), Some(from));
        }
        self.shared.restart_election_timer();
        self.shared
            .send_when_durable(from, Body::VoteReply { granted: true }, out);
    }

    /// Whether a vote request is ignored, term and all: this node has heard a leader within the
    /// least election timeout, so the candidate is cut off, or removed (thesis §4.2.3). The leader
    /// itself may ask: it has lost its term, we have not noticed yet.
    pub(super) fn hears_a_leader_other_than(&self, candidate: NodeId) -> bool {
        if self.shared.is_bound_against(candidate) {
            return true;
        }
        match &self.role {
            Role::Leader(_) => true, // A leader without a quorum steps down by itself.
            Role::Follower(follower) => {
                follower.leader != Some(candidate)
                    && follower.heard.is_some_and(|heard| {
                        self.shared.now.since(heard) < self.shared.config.election_timeout
                    })
            }
            Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }

    pub(super) fn count_pre_vote(&mut self, from: Life, granted: bool, out: &mut Effects) {
        let Role::PreCandidate(ballot) = &mut self.role else {
            return;
        };
        ballot.count(&self.shared, from, granted);
        match ballot.outcome(self.shared.membership()) {
            // Its disk may have come to stand still since it asked.
            Some(true) if self.shared.may_campaign() => self.become_candidate(false, out),
            Some(_) => self.become_follower(self.shared.term(), None, out),
            None => {}
        }
    }

    pub(super) fn count_vote(&mut self, from: Life, granted: bool, out: &mut Effects) {
        let own = self.shared.id;
        let Role::Candidate(ballot) = &mut self.role else {
            // It comes too late to elect, and tells who gives it.
            return self.answered(from, None, |leader, shared| {
                leader.drive_change(shared, out);
            });
        };
        let granted = granted || mutant(Mutant::RefusalsCountAsVotes);
        ballot.count(&self.shared, from, granted);
        match ballot.outcome(self.shared.membership()) {
            // Foreign votes may come before our own is durable; then they wait for it (RULES 2).
            Some(true) if ballot.granted.contains_key(&own) => self.become_leader(out),
            Some(false) => self.become_follower(self.shared.term(), None, out),
            Some(true) | None => {}
        }
    }

    /// The leader wants us to lead at once (thesis §3.10). Only a voter can (RULES 14).
    pub(super) fn on_timeout_now(&mut self, from: NodeId, out: &mut Effects) {
        let is_leader = self.leader() == Some(from)
            || (mutant(Mutant::TimeoutNowFromAnyone) || mutant(Mutant::OldTimeoutNowFollowed))
                && !matches!(self.role, Role::Leader(_));
        if !is_leader || from == self.shared.id {
            return;
        }
        // With the order the leader gives up its lease, and so the promises that others made it.
        let promise = self.shared.promise.take();
        if self.shared.may_campaign() || mutant(Mutant::TimeoutNowWithoutVote) {
            self.become_candidate(true, out);
        } else {
            self.shared.promise = promise;
        }
    }

    /// Somebody asks for an election now. Pre-vote still decides whether it makes sense.
    pub(super) fn on_campaign_requested(&mut self, out: &mut Effects) {
        if !matches!(self.role, Role::Leader(_)) && self.shared.may_campaign() {
            self.shared.timers.stop(Timer::Election);
            self.become_pre_candidate(out);
        }
    }

    fn voting_peers(&self) -> Vec<NodeId> {
        let membership = self.shared.membership();
        self.shared
            .peers()
            .into_iter()
            .filter(|peer| membership.is_voter(*peer))
            .collect()
    }
}

impl Ballot {
    /// Only the life that the group has admitted has a vote (RULES 18).
    fn count(&mut self, shared: &Shared, (from, life): Life, granted: bool) {
        if !granted {
            self.refused.insert(from);
        } else if shared.may_count_vote(from, life) {
            self.granted.insert(from, life);
        }
    }

    /// Won, lost, or open. Only members of the current configuration count (RULES 8).
    fn outcome(&self, membership: &crate::membership::Membership) -> Option<bool> {
        if quorum::has_majority(membership, |voter| self.granted.contains_key(&voter)) {
            return Some(true);
        }
        let may_be_won = quorum::has_majority(membership, |voter| !self.refused.contains(&voter));
        if may_be_won { None } else { Some(false) }
    }
}
