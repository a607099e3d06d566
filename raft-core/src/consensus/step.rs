//! One step: an event in, effects out. The dispatch reads as a table; silence is explained.

use super::Raft;
use super::effect::{ChangeRefusal, Effect, Effects, Nonsense, TransferError};
use super::event::{Conditions, Event, Reader, Sequence};
use super::forward::Answer;
use super::incarnations::Life;
use super::invariants::{self, Mark};
use super::leader::{Leader, Tenure};
use super::mutant::{Mutant, mutant};
use super::pending::Deferred;
use super::read::Wish;
use super::role::Role;
use super::shared::Shared;
use super::timer::Timer;
use super::transfer::To;
use crate::change::MembershipChange;
use crate::id::{LogIndex, NodeId, Term};
use crate::message::{Body, Message, ReadId, Round};
use crate::time::Timestamp;

/// No sequence of elections leads this many terms further between two messages. A greater jump is
/// nonsense, and would bring the last term near (RULES 15).
const TERM_JUMP_MAX: u64 = 1 << 32;

impl Raft {
    /// Takes one event at `now`, which never goes back, and adds what must be done to `effects`, to
    /// be executed in order. After [`Effect::Halt`] nothing happens any more.
    pub fn step(&mut self, now: Timestamp, event: Event, effects: &mut Effects) {
        if self.shared.halted {
            return;
        }
        let before = Mark::of(self);
        let standing = self.standing();
        let first = effects.len();
        self.shared.now = self.shared.now.max(now);
        self.on_event(event, effects);
        if matches!(&self.role, Role::Leader(leader) if leader.retires) {
            self.become_follower(self.shared.term(), None, effects);
        }
        self.shared.notice_repair(effects);
        self.shared.issue_write(first, effects);
        if standing != self.standing() {
            effects.push(Effect::StatusChanged(self.standing()));
        }
        invariants::check_step(&before, self);
    }

    fn on_event(&mut self, event: Event, out: &mut Effects) {
        match event {
            Event::TimePassed => self.on_time_passed(out),
            Event::Received(message) => self.on_message(message, out),
            Event::Persisted(sequence) => self.on_persisted(sequence, out),
            Event::Proposed(batch) => self.on_proposed_under(Conditions::default(), batch, out),
            Event::ProposedUnder(conditions, batch) => {
                self.on_proposed_under(conditions, batch, out);
            }
            Event::ReadsRequested(reads) => {
                self.on_reads(reads, Wish::Linearizable, out);
            }
            Event::LeaseReadsRequested(reads) => self.on_reads(reads, Wish::Lease, out),
            Event::BoundedReadsRequested(reads, lag) => {
                self.on_reads(reads, Wish::Bounded(lag), out);
            }
            Event::AppliedAwaited(reads, index) => self.on_applied_awaited(reads, index, out),
            Event::Applied(index) => {
                self.shared.on_applied(index, out);
                self.lead(|leader, _| leader.on_applied(index));
            }
            Event::Fetched {
                reader,
                from: _,
                entries,
            } => match reader {
                Reader::StateMachine => self.shared.on_fetched_to_apply(entries, out),
                Reader::Peer(to) => {
                    self.lead(|leader, shared| leader.on_fetched(shared, to, entries, out));
                }
            },
            Event::FetchPurged { reader } => match reader {
                Reader::StateMachine => self.shared.on_fetch_to_apply_purged(out),
                Reader::Peer(to) => {
                    self.lead(|leader, shared| leader.on_fetch_purged(shared, to, out));
                }
            },
            Event::SnapshotTaken(meta) => {
                let needed = self.needed_after();
                self.shared.on_snapshot_taken(&meta, needed);
            }
            Event::SnapshotNotTaken => self.shared.on_snapshot_not_taken(),
            Event::SnapshotReceived { from, term, meta } => {
                self.on_snapshot_received(from, term, meta, out);
            }
            Event::SnapshotProgressed { to, term } => {
                self.lead_in(term, |leader, shared| {
                    leader.on_snapshot_progressed(shared, to);
                });
            }
            Event::SnapshotSent { to, term, last } => {
                self.lead_in(term, |leader, shared| {
                    leader.on_snapshot_sent(shared, to, last, out);
                });
            }
            Event::SnapshotNotSent { to, term } => {
                self.lead_in(term, |leader, shared| {
                    leader.on_snapshot_not_sent(shared, to);
                });
            }
            Event::SnapshotUnreadable { to, term } => self.on_snapshot_unreadable(to, term, out),
            Event::Unreachable(peer) => self.on_unreachable(peer),
            Event::ChangeRequested(change) => self.on_change_requested(&change, out),
            Event::TransferRequested(to) => self.on_transfer_requested(to, out),
            Event::CampaignRequested => self.on_campaign_requested(out),
        }
    }

    /// What concerns only a leader. Another role has forgotten what the event is about.
    fn lead(&mut self, act: impl FnOnce(&mut Leader, &mut Shared)) {
        if let Role::Leader(leader) = &mut self.role {
            act(leader, &mut self.shared);
        }
    }

    /// What concerns only the leader of this very term.
    pub(super) fn lead_in(&mut self, term: Term, act: impl FnOnce(&mut Leader, &mut Shared)) {
        self.lead(|leader, shared| {
            if leader.term == term {
                act(leader, shared);
            }
        });
    }

    /// An answer to a leader: of the life of the sender that it knows, or of a later one.
    pub(super) fn answered(
        &mut self,
        sender: Life,
        round: Option<Round>,
        act: impl FnOnce(&mut Leader, &mut Shared),
    ) {
        self.lead(|leader, shared| {
            if leader.meet(shared, sender, round) {
                act(leader, shared);
            }
        });
    }

    /// Entries after this index must not be purged.
    fn needed_after(&self) -> LogIndex {
        match &self.role {
            Role::Leader(leader) => leader.needed_after(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                LogIndex::new(u64::MAX)
            }
        }
    }

    fn on_time_passed(&mut self, out: &mut Effects) {
        let now = self.shared.now;
        if let Some(deadline) = self.shared.timers.take_due(Timer::Election, now) {
            self.on_election_timeout(deadline, out);
        }
        if let Some(deadline) = self.shared.timers.take_due(Timer::Heartbeat, now)
            && let Role::Leader(leader) = &mut self.role
            && leader.on_heartbeat_due(&mut self.shared, deadline, out) == Tenure::StepDown
        {
            self.become_follower(self.shared.term(), None, out);
        }
        if self.shared.timers.take_due(Timer::Transfer, now).is_some() {
            self.on_transfer_timeout(out);
        }
        if self.shared.timers.take_due(Timer::Reads, now).is_some() {
            let leader = self.leader();
            self.shared.retry_reads(leader, out);
        }
        if self.shared.timers.take_due(Timer::Forwards, now).is_some() {
            self.shared.expire_forwards(out);
        }
        if self.shared.timers.take_due(Timer::Snapshot, now).is_some() {
            self.shared.on_snapshot_due(out);
        }
    }

    /// The gate: addressee, plausible term, then the rule of terms, then the role's part.
    fn on_message(&mut self, message: Message, out: &mut Effects) {
        let shared = &mut self.shared;
        let from = message.from;
        let is_foreign = message.group != shared.group && !mutant(Mutant::OtherGroupAccepted);
        if message.to != shared.id || is_foreign || from == shared.id {
            return shared.drop_nonsense(Nonsense::WrongAddressee { from }, out);
        }
        if is_term_too_far(shared.term(), message.term) {
            let term = message.term;
            return shared.drop_nonsense(Nonsense::TermTooFar { from, term }, out);
        }
        match message.body {
            // Only a question: no term changes hands.
            Body::PreVote { last } => {
                if mutant(Mutant::PreVoteRaisesTerm) {
                    self.observe_term(message.term, out);
                }
                return self.on_pre_vote(&message, last, out);
            }
            Body::PreVoteReply { granted: true } => {
                if message.term == self.shared.term().next() {
                    self.count_pre_vote((from, message.incarnation), true, out);
                }
                return;
            }
            Body::Vote {
                transfer: false, ..
            } if !mutant(Mutant::VoteUnderLeader) && self.hears_a_leader_other_than(from) => return,
            _ => self.observe_term(message.term, out),
        }
        let message = match message.body {
            Body::Propose { forward, commands } => {
                return self.on_forwarded((from, message.term), forward, commands, out);
            }
            Body::ProposeReply {
                forward,
                first,
                count,
                refused,
            } => {
                let answer = Answer {
                    forward,
                    first,
                    count,
                    refused,
                };
                let of = (from, message.term);
                return self.shared.on_forward_answer(of, answer, out);
            }
            body => Message { body, ..message },
        };
        if message.term < self.shared.term() && !counts_all_the_same(&message.body) {
            return self.on_outdated(from, &message.body, out);
        }
        self.on_current((from, message.incarnation), message.body, out);
    }

    /// A message from an earlier term. Whoever thinks it leads, or could, is told the term; or a
    /// node with a higher one would be cut off for ever (RULES 49).
    fn on_outdated(&mut self, from: NodeId, body: &Body, out: &mut Effects) {
        if mutant(Mutant::OutdatedNotTold) {
            return;
        }
        let shared = &self.shared;
        let answer = match body {
            Body::Vote { .. } => Body::VoteReply { granted: false },
            Body::Append { .. } | Body::Heartbeat { .. } => Body::HeartbeatReply {
                round: Round::default(),
                verified: LogIndex::ZERO,
                supersedes: None,
            },
            Body::ReadIndex { read, .. } => Body::ReadIndexReply {
                read: *read,
                index: None,
            },
            // Answers to what an earlier term asked, and orders of its leader (RULES 12).
            Body::PreVote { .. }
            | Body::PreVoteReply { .. }
            | Body::VoteReply { .. }
            | Body::AppendAccepted { .. }
            | Body::AppendRejected { .. }
            | Body::HeartbeatReply { .. }
            | Body::SnapshotInstalled { .. }
            | Body::TimeoutNow
            | Body::ReadIndexReply { .. }
            | Body::Propose { .. }
            | Body::ProposeReply { .. } => return,
        };
        shared.send(from, answer, out);
    }

    fn on_current(&mut self, sender: Life, body: Body, out: &mut Effects) {
        let (from, _) = sender;
        match body {
            // Answered at the gate.
            Body::PreVote { .. } | Body::Propose { .. } | Body::ProposeReply { .. } => {}
            Body::PreVoteReply { granted } => self.count_pre_vote(sender, granted, out),
            Body::Vote { last, transfer: _ } => self.on_vote(from, last, out),
            Body::VoteReply { granted } => self.count_vote(sender, granted, out),
            Body::Append {
                previous,
                entries,
                commit,
            } => {
                if let Some((follower, shared)) = self.follow(from, out) {
                    follower.on_append(shared, from, previous, &entries, commit, out);
                }
            }
            Body::Heartbeat { round, commit } => {
                if let Some((follower, shared)) = self.follow(from, out) {
                    follower.on_heartbeat(shared, from, round, commit, out);
                }
            }
            Body::AppendAccepted { matched } | Body::SnapshotInstalled { through: matched } => {
                self.answered(sender, None, |leader, shared| {
                    leader.on_accepted(shared, from, matched, out);
                });
            }
            Body::AppendRejected { previous, hint } => {
                self.answered(sender, None, |leader, shared| {
                    leader.on_rejected(shared, from, previous, hint, out);
                });
            }
            Body::HeartbeatReply {
                round,
                verified,
                supersedes,
            } => self.answered(sender, Some(round), |leader, shared| {
                leader.on_heartbeat_reply(shared, from, round, verified, out);
                leader.on_superseded(shared, from, supersedes, out);
            }),
            Body::TimeoutNow => self.on_timeout_now(from, out),
            Body::ReadIndex { read, lease } => self.on_read_index(from, read, lease, out),
            Body::ReadIndexReply { read, index } => {
                self.shared.on_read_index_reply(read, index, out);
            }
        }
    }

    fn on_persisted(&mut self, sequence: Sequence, out: &mut Effects) {
        let released = self.shared.pending.persisted(sequence);
        if let Some(log_end) = released.log_end {
            self.shared.log.set_durable(log_end);
            self.shared.pump_apply(out);
        }
        for deferred in released.deferred {
            match deferred {
                Deferred::Send(message) => out.push(Effect::Send(message)),
                Deferred::SolicitVotes(term) => self.solicit_votes(term, out),
            }
        }
        self.lead(|leader, shared| {
            leader.advance_commit(shared, out);
            leader.drive_change(shared, out);
        });
    }

    fn on_change_requested(&mut self, change: &MembershipChange, out: &mut Effects) {
        let leader = self.leader();
        match &mut self.role {
            Role::Leader(role) => role.on_change(&mut self.shared, change, out),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                let refusal = ChangeRefusal::NotLeader(leader);
                out.push(Effect::ChangeAnswered(Err(refusal)));
            }
        }
    }

    fn on_transfer_requested(&mut self, to: To, out: &mut Effects) {
        let leader = self.leader();
        match &mut self.role {
            Role::Leader(role) => role.on_transfer(&mut self.shared, to, out),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                let error = TransferError::NotLeader(leader);
                out.push(Effect::TransferEnded(Err(error)));
            }
        }
    }

    fn on_reads(&mut self, reads: Vec<ReadId>, wish: Wish, out: &mut Effects) {
        let leader = self.leader();
        let Some(reads) = self.shared.admit_reads(reads, wish, out) else {
            return;
        };
        match &mut self.role {
            Role::Leader(role) => role.on_reads(&mut self.shared, reads, out),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.shared.forward_reads(reads, leader, out);
            }
        }
    }

    fn on_applied_awaited(&mut self, reads: Vec<ReadId>, index: LogIndex, out: &mut Effects) {
        let index = if mutant(Mutant::AwaitedEntryIgnored) {
            index.min(self.shared.committed)
        } else {
            index
        };
        if let Some(reads) = self.shared.admit_reads(reads, Wish::Known, out) {
            self.shared.await_applied(reads, index);
            self.shared.release_reads(out);
        }
    }

    fn on_read_index(&mut self, from: NodeId, read: ReadId, lease: bool, out: &mut Effects) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_read_index(&mut self.shared, from, read, lease, out),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                self.shared
                    .send(from, Body::ReadIndexReply { read, index: None }, out);
            }
        }
    }
}

/// Whether no elections can have led from `own` to `asserted`.
pub(super) fn is_term_too_far(own: Term, asserted: Term) -> bool {
    asserted.get().saturating_sub(own.get()) > TERM_JUMP_MAX
}

/// Whether a message of an earlier term is taken for one of this term: only by a planted fault.
fn counts_all_the_same(body: &Body) -> bool {
    match body {
        Body::VoteReply { .. } => mutant(Mutant::OldVotesCount),
        Body::Append { .. } | Body::Heartbeat { .. } => mutant(Mutant::OldTermAccepted),
        Body::AppendAccepted { .. } => mutant(Mutant::OldAcknowledgementsCount),
        Body::TimeoutNow => mutant(Mutant::OldTimeoutNowFollowed),
        _ => false,
    }
}
