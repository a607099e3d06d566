//! What outlives roles: term and vote, the log, what is committed, what waits.

use super::mutant::{Mutant, mutant};
use std::sync::Arc;

use super::apply::ApplyQueue;
use super::compaction::Compaction;
use super::effect::{Effect, Effects, Fault, Nonsense};
use super::forward::Forwards;
use super::lease::Promise;
use super::log_view::LogView;
use super::memberships::Memberships;
use super::pending::{Deferred, Pending};
use super::preference::Deference;
use super::read::Reads;
use super::repair::Repair;
use super::timer::{Timer, Timers};
use super::transfer::Transfer;
use crate::config::Config;
use crate::entry::{Entry, Payload};
use crate::hard_state::HardState;
use crate::id::{GroupId, Incarnation, LogId, LogIndex, NodeId, Term};
use crate::membership::Membership;
use crate::message::{Body, Message};
use crate::time::Timestamp;

/// The part of a node's state that no role owns.
#[derive(Clone, Debug, Hash)]
pub(super) struct Shared {
    pub(super) id: NodeId,
    pub(super) incarnation: Incarnation,
    /// Another life of this node votes in its place, as was announced.
    pub(super) displaced_by: Option<Incarnation>,
    /// Its stores were damaged and began anew, and the group has not counted this life yet.
    pub(super) repair: Option<Repair>,
    pub(super) group: GroupId,
    pub(super) config: Config,
    pub(super) hard_state: HardState,
    pub(super) log: LogView,
    pub(super) memberships: Memberships,
    pub(super) pending: Pending,
    pub(super) timers: Timers,
    /// Everything through here is committed, as far as this node knows.
    pub(super) committed: LogIndex,
    pub(super) apply: ApplyQueue,
    pub(super) compaction: Compaction,
    pub(super) reads: Reads,
    pub(super) forwards: Forwards,
    /// What binds this node, if the group reads by lease.
    pub(super) promise: Option<Promise>,
    /// How far this node has stood back for those who are wanted as leader more.
    pub(super) deference: Deference,
    /// A transfer of leadership that was begun here.
    pub(super) transfer: Option<Transfer>,
    /// The time of the current step.
    pub(super) now: Timestamp,
    /// How much nonsense was dropped.
    pub(super) dropped: u64,
    /// Continuing would lose data: nothing happens any more.
    pub(super) halted: bool,
}

impl Shared {
    pub(super) fn term(&self) -> Term {
        self.hard_state.term
    }

    pub(super) fn membership(&self) -> &Arc<Membership> {
        self.memberships.current()
    }

    /// Whether this node may ask for votes: a voter that is not being restored, with a disk that
    /// moves (RULE 7), and with a snapshot that can be read (RULES 60).
    pub(super) fn may_campaign(&self) -> bool {
        let votes = |membership: &Membership| self.has_vote_in(membership);
        let is_voter = if mutant(Mutant::VotedOutNeverCampaigns) {
            votes(self.membership())
        } else {
            self.memberships.in_force(self.committed).any(votes)
        };
        (is_voter || (mutant(Mutant::LearnersCampaign) && self.membership().contains(self.id)))
            && self.is_free_to_campaign()
    }

    /// Whether nothing but the want of a vote keeps this node from asking for others'.
    pub(super) fn is_free_to_campaign(&self) -> bool {
        !self.must_abstain()
            && !self.is_bound_against(self.id)
            && (!self.apply.is_restoring() || mutant(Mutant::CampaignsWhileRestoring))
            && !self.has_stalled_disk()
            && !self.abstains()
    }

    /// Whether the oldest write has been waiting for too long.
    pub(super) fn has_stalled_disk(&self) -> bool {
        self.pending
            .waiting_since()
            .is_some_and(|since| self.now.since(since) >= self.config.disk_stall_timeout)
    }

    /// Everyone else.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        self.membership()
            .members()
            .keys()
            .copied()
            .filter(|peer| *peer != self.id)
            .collect()
    }

    pub(super) fn message(&self, to: NodeId, body: Body) -> Message {
        Message {
            group: self.group,
            from: self.id,
            incarnation: self.incarnation,
            to,
            term: self.term(),
            body,
        }
    }

    /// Sends at once. Only for what promises nothing about the disk (RULE 2).
    pub(super) fn send(&self, to: NodeId, body: Body, out: &mut Effects) {
        out.push(Effect::Send(self.message(to, body)));
    }

    /// Sends once everything staged or on its way to the disk is there.
    pub(super) fn send_when_durable(&mut self, to: NodeId, body: Body, out: &mut Effects) {
        let message = self.message(to, body);
        let is_vote = matches!(message.body, Body::VoteReply { .. });
        if (is_vote && mutant(Mutant::VoteNotPersisted))
            || (!is_vote && mutant(Mutant::AcknowledgedBeforeSync))
        {
            out.push(Effect::Send(message));
            return;
        }
        if let Some(Deferred::Send(message)) = self.pending.defer(Deferred::Send(message)) {
            out.push(Effect::Send(message));
        }
    }

    /// Term and vote change together, and reach the disk as one record.
    pub(super) fn set_hard_state(&mut self, term: Term, vote: Option<NodeId>) {
        self.hard_state = HardState { term, vote };
        if !mutant(Mutant::HardStateForgotten) {
            self.pending.stage_hard_state(self.hard_state);
        }
    }

    /// Appends entries that follow the last one. A membership among them is in force at once.
    pub(super) fn append(&mut self, entries: &[Entry], out: &mut Effects) {
        for entry in entries {
            self.log.push(entry.clone());
            if let Payload::Membership { membership, .. } = entry.payload() {
                self.memberships.push(entry.id(), Arc::clone(membership));
                self.announce_membership(out);
            }
        }
        self.pending.stage_append(entries);
    }

    /// Removes a suffix that the leader does not have. Never anything committed (RULE 3).
    pub(super) fn truncate(&mut self, from: LogIndex, out: &mut Effects) {
        assert!(
            from > self.committed,
            "entry {from} is committed (through {}), it cannot be truncated",
            self.committed
        );
        self.log.truncate(from);
        self.pending.stage_truncate(from);
        if !mutant(Mutant::MembershipNotRolledBack) && self.memberships.truncate(from) {
            self.announce_membership(out);
        }
    }

    pub(super) fn announce_membership(&self, out: &mut Effects) {
        out.push(Effect::MembershipChanged {
            at: self.memberships.current_at(),
            membership: Arc::clone(self.membership()),
        });
    }

    /// Everything through `index` is committed. Going back is no news.
    pub(super) fn commit_through(&mut self, index: LogIndex, out: &mut Effects) {
        assert!(
            index <= self.log.last().id.index,
            "commit {index} is past the last entry {}",
            self.log.last()
        );
        if index > self.committed {
            self.committed = index;
            self.pump_apply(out);
        }
    }

    /// Whether a candidate whose log ends with `last` has at least what this node has (thesis
    /// §3.6.1).
    pub(super) fn is_up_to_date(&self, last: LogId) -> bool {
        let own = self.log.last().id;
        if mutant(Mutant::VotesForAnyLog) {
            return true;
        }
        if mutant(Mutant::UpToDateByIndex) {
            return last.index >= own.index;
        }
        if mutant(Mutant::UpToDateByTerm) {
            return last.term >= own.term;
        }
        last >= own
    }

    /// Waits a random time for a leader, from now on.
    pub(super) fn restart_election_timer(&mut self) {
        let wait = if mutant(Mutant::TimersNotRandom) {
            self.config.election_timeout
        } else {
            self.timers.randomised(self.config.election_timeout)
        };
        self.timers.set(Timer::Election, self.now + wait);
    }

    pub(super) fn drop_nonsense(&mut self, nonsense: Nonsense, out: &mut Effects) {
        self.dropped += 1;
        out.push(Effect::Dropped(nonsense));
    }

    pub(super) fn halt(&mut self, fault: Fault, out: &mut Effects) {
        self.halted = true;
        out.push(Effect::Halt(fault));
    }

    /// Ends a step: what was staged becomes one write, before the effects that the step has
    /// added since `first`, so that the disk starts while messages are being sent.
    pub(super) fn issue_write(&mut self, first: usize, out: &mut Effects) {
        if let Some(write) = self.pending.issue(self.now) {
            out.insert(first, Effect::Persist(write));
        }
    }
}
