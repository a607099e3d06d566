//! How a leader takes proposals, commits, and keeps its followers and its office (thesis §3.5,
//! §3.6, §6.2).

use super::mutant::{Mutant, mutant};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::effect::{Effect, Effects, Nonsense, Refusal};
use super::event::IndexRange;
use super::preference::Succession;
use super::progress::{Progress, Replication};
use super::quorum;
use super::read::{Asked, Origin, Unconfirmed, Wish};
use super::reconfigure::CatchUp;
use super::shared::Shared;
use super::timer::Timer;
use crate::entry::{Entry, Sealed};
use crate::id::{Incarnation, LogId, LogIndex, NodeId, Term};
use crate::membership::Membership;
use crate::message::{Body, ReadId, Round};
use crate::time::{ClusterTime, Timestamp};

/// Leads one term.
#[derive(Clone, Debug, Hash)]
pub(super) struct Leader {
    /// The term it was elected in, and the only one it stamps entries with (RULE 3).
    pub(super) term: Term,
    /// Its first entry. Nothing is served before this is committed.
    pub(super) first: LogIndex,
    /// Nothing but the initial membership was in its log when it was elected.
    pub(super) founds: bool,
    pub(super) peers: BTreeMap<NodeId, Progress>,
    pub(super) round: Round,
    unconfirmed: Unconfirmed,
    /// Proposals not yet applied here: the last index and the bytes of each batch.
    unapplied: VecDeque<(LogIndex, usize)>,
    unapplied_bytes: usize,
    elected: Timestamp,
    time_at_election: ClusterTime,
    /// Until then a missing quorum is forgiven: this process was paused, not the others.
    grace: Timestamp,
    /// When each of the last rounds was sent, for the lease.
    pub(super) sent_rounds: VecDeque<(Round, Timestamp)>,
    /// It has ordered another node to campaign, so promises to it are void.
    pub(super) has_given_up_lease: bool,
    /// How those who are to get a vote catch up.
    pub(super) catching_up: BTreeMap<NodeId, CatchUp>,
    /// Who forwarded proposals, and the last entry of them.
    owed: BTreeMap<NodeId, LogIndex>,
    /// Who is wanted as leader more than this node.
    pub(super) succession: Succession,
    /// The last membership that was announced as reached.
    pub(super) settled: LogId,
    /// It has offered its office to another before it leaves the group.
    pub(super) has_tried_to_yield: bool,
    /// It has no vote any more, and has led to the end what took it.
    pub(super) retires: bool,
}

/// Whether a leader stays in office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    Stay,
    /// It cannot reach a quorum, or its disk stands still.
    StepDown,
}

impl Leader {
    /// Leads by the votes of these lives.
    pub(super) fn new(shared: &Shared, voters: &BTreeMap<NodeId, Incarnation>) -> Self {
        let next = shared.log.last().id.index.next();
        let peers = shared.peers().into_iter();
        let progress = |peer| {
            let recorded = shared.membership().incarnation(peer);
            let life = recorded.or(voters.get(&peer).copied());
            Progress::new(next, shared.now).about(life, Round::default())
        };
        Self {
            term: shared.term(),
            first: next,
            founds: shared.is_founding(),
            peers: peers.map(|peer| (peer, progress(peer))).collect(),
            round: Round::default(),
            unconfirmed: Unconfirmed::default(),
            unapplied: VecDeque::new(),
            unapplied_bytes: 0,
            elected: shared.now,
            time_at_election: shared.log.last_time(),
            grace: shared.now,
            sent_rounds: VecDeque::new(),
            has_given_up_lease: false,
            catching_up: BTreeMap::new(),
            owed: BTreeMap::new(),
            succession: Succession::new(next.previous()),
            settled: shared.memberships.current_at(),
            has_tried_to_yield: false,
            retires: false,
        }
    }

    /// Takes office: a blank entry, and a heartbeat that does not wait for it.
    pub(super) fn begin(&mut self, shared: &mut Shared, out: &mut Effects) {
        let first = self.founding_payload(shared);
        let time = self.cluster_time(shared);
        let first = Entry::new(shared.log.last(), self.term, time, Sealed::new(first));
        if !mutant(Mutant::NoBlankEntry) {
            shared.append(&[first], out);
        }
        shared.timers.set(
            Timer::Heartbeat,
            shared.now + shared.config.heartbeat_interval,
        );
        let next = Round(self.round.0 + 1);
        for reads in shared.take_forwarded_reads() {
            self.unconfirmed
                .push(Origin::Local(reads), self.first, next);
        }
        self.start_round(shared, out);
        self.replicate_to_all(shared, out);
        self.confirm_reads(shared, out);
    }

    /// Appends commands. Each is answered in order: accepted, or refused with nothing done.
    pub(super) fn on_proposed(
        &mut self,
        shared: &mut Shared,
        batch: Vec<Sealed>,
        out: &mut Effects,
    ) {
        let mut accepted: Vec<Sealed> = Vec::with_capacity(batch.len());
        let next = shared.log.last().id.index.next();
        let (mut run, mut bytes) = (next..next, 0);
        for sealed in batch {
            let size = sealed.len();
            if let Some(reason) = self.refusal(shared, size, bytes) {
                self.accept(&mut run, out);
                out.push(Effect::Refused { count: 1, reason });
                continue;
            }
            run.end = run.end.next();
            bytes += size;
            accepted.push(sealed);
        }
        self.accept(&mut run, out);
        self.append_commands(shared, accepted, bytes, out);
    }

    /// Appends commands that were not refused.
    pub(super) fn append_commands(
        &mut self,
        shared: &mut Shared,
        commands: Vec<Sealed>,
        bytes: usize,
        out: &mut Effects,
    ) {
        if commands.is_empty() {
            return;
        }
        for time in commands.iter().filter_map(Sealed::not_before) {
            self.move_time_on(shared, time);
        }
        let time = self.cluster_time(shared);
        let mut last = shared.log.last();
        let place = |sealed| {
            let entry = Entry::new(last, self.term, time, sealed);
            last = entry.link();
            entry
        };
        let entries: Vec<Entry> = commands.into_iter().map(place).collect();
        self.unapplied.push_back((last.id.index, bytes));
        self.unapplied_bytes += bytes;
        shared.append(&entries, out);
        self.replicate_to_all(shared, out);
    }

    pub(super) fn refusal(&self, shared: &Shared, bytes: usize, before: usize) -> Option<Refusal> {
        let bytes_max = shared.config.entry_bytes_max;
        if bytes > bytes_max {
            return Some(Refusal::TooLarge { bytes, bytes_max });
        }
        if let Some(transfer) = shared.transfer
            && !mutant(Mutant::ProposalsDuringTransfer)
        {
            return Some(Refusal::Transferring(transfer.to));
        }
        // The first proposal always passes, however large (RULE 5).
        let waiting = self.unapplied_bytes + before;
        let is_full = waiting > 0
            && waiting + bytes > shared.config.unapplied_bytes_max
            && !mutant(Mutant::ProposalsUnlimited);
        is_full.then_some(Refusal::Overloaded)
    }

    fn accept(&self, run: &mut IndexRange, out: &mut Effects) {
        if run.start < run.end {
            out.push(Effect::Accepted {
                term: self.term,
                indexes: run.clone(),
            });
            run.start = run.end;
        }
    }

    /// A follower stores everything through `matched`.
    pub(super) fn on_accepted(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        matched: LogIndex,
        out: &mut Effects,
    ) {
        let Some(progress) = self.peers.get_mut(&from) else {
            return;
        };
        if matched > shared.log.last().id.index {
            let claim = "to store entries that were never sent";
            return shared.drop_nonsense(Nonsense::Impossible { from, claim }, out);
        }
        progress.heard = shared.now;
        if progress.accepted(matched) {
            progress.moved = shared.now;
            self.advance_commit(shared, out);
            self.drive_change(shared, out);
            self.continue_transfer(shared, out);
            self.tell_owed_commits(shared, out);
        }
        self.replicate_to(from, shared, out);
    }

    /// A follower lacks the entry before those that were sent. Its hint may be old, so it only
    /// moves `next` down, never `matched` (RULES 32).
    pub(super) fn on_rejected(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        previous: LogIndex,
        hint: LogId,
        out: &mut Effects,
    ) {
        let Some(progress) = self.peers.get_mut(&from) else {
            return;
        };
        progress.heard = shared.now;
        let is_current = match &progress.state {
            // Who refuses what it has acknowledged has lost its disk: asking again would go round in
            // circles, so the next heartbeat does.
            Replication::Probe {
                awaiting_reply: true,
            } => previous == progress.next.previous() && previous > progress.matched,
            Replication::Replicate(_) => previous > progress.matched,
            Replication::Probe {
                awaiting_reply: false,
            }
            | Replication::Snapshot { .. } => false,
        };
        if !is_current && !mutant(Mutant::LateRejectionBelieved) {
            return; // Repeated or late (RULES 31).
        }
        // Of our log, nothing after the hint and nothing newer than it can match there: one probe
        // a term, not one an entry.
        let latest = hint.index.min(previous.previous());
        let agreed = if latest < shared.log.base().id.index {
            latest // Purged: a snapshot is needed.
        } else {
            shared.log.agreement_hint(latest, hint.term).index
        };
        if mutant(Mutant::HintBelievedAsMatch) {
            progress.accepted(agreed);
        }
        progress.become_probe(agreed.next());
        if mutant(Mutant::LeaderTruncates) && agreed.next() > shared.committed {
            shared.truncate(agreed.next(), out);
        }
        self.replicate_to(from, shared, out);
    }

    /// Commits what a quorum stores, counting replicas only for entries of this term: an older
    /// entry on a majority can still be overwritten (thesis §3.6.2, figure 3.7). This node counts
    /// when its own disk has the entry.
    pub(super) fn advance_commit(&mut self, shared: &mut Shared, out: &mut Effects) {
        let agreed = quorum::agreed(self.deciding(shared), |voter| {
            if voter == shared.id {
                return if mutant(Mutant::OwnDiskNotAwaited) {
                    shared.log.last().id.index
                } else {
                    shared.log.durable()
                };
            }
            self.counted(shared, voter)
                .map_or(LogIndex::ZERO, |progress| progress.matched)
        });
        let Some(agreed) = agreed else { return };
        let is_own = shared.log.term_at(agreed) == Some(self.term)
            || mutant(Mutant::OldTermCommittedByCount);
        if agreed <= shared.committed || !is_own {
            return;
        }
        shared.commit_through(agreed, out);
        self.tell_owed_commits(shared, out);
    }

    /// `node` waits for this entry: it is to learn at once that it is committed.
    pub(super) fn owe_commit(&mut self, node: NodeId, index: LogIndex) {
        self.owed.insert(node, index);
    }

    /// Tells those who wait for an entry, once it is committed and they store it, and not only with
    /// the next append or heartbeat.
    fn tell_owed_commits(&mut self, shared: &Shared, out: &mut Effects) {
        let (round, peers) = (self.round, &self.peers);
        self.owed.retain(|node, index| {
            let Some(progress) = peers.get(node) else {
                return false;
            };
            let commit = shared.committed.min(progress.matched);
            if commit >= *index {
                shared.send(*node, Body::Heartbeat { round, commit }, out);
            }
            commit < *index
        });
    }

    /// The state machine is done with everything through `applied`: there is room again. What is
    /// applied here is on this node's disk too, so neither a slow machine nor a slow disk can be
    /// overrun.
    pub(super) fn on_applied(&mut self, applied: LogIndex) {
        while let Some((_, bytes)) = self.unapplied.pop_front_if(|(last, _)| *last <= applied) {
            self.unapplied_bytes -= bytes;
        }
    }

    /// The membership that decides over commits: the newest, but for a planted fault.
    fn deciding<'a>(&self, shared: &'a Shared) -> &'a Membership {
        if mutant(Mutant::MembershipOnCommit) {
            shared.memberships.committed(shared.committed)
        } else {
            shared.membership()
        }
    }

    /// Time to be heard again, and to ask whether the office is still ours.
    pub(super) fn on_heartbeat_due(
        &mut self,
        shared: &mut Shared,
        deadline: Timestamp,
        out: &mut Effects,
    ) -> Tenure {
        if shared.has_stalled_disk() && !mutant(Mutant::StalledDiskLeads) {
            return Tenure::StepDown; // RULE 7
        }
        let is_late = shared.now.since(deadline) > shared.config.heartbeat_interval;
        // Once: a process that is always late would never notice that nobody answers.
        if is_late && self.quorum_heard(shared) >= Some(self.grace) {
            self.grace = shared.now + shared.config.election_timeout;
        }
        if shared.now >= self.grace
            && !mutant(Mutant::NeverStepsDown)
            && self.has_lost_its_quorum(shared)
        {
            return Tenure::StepDown;
        }
        shared.timers.set(
            Timer::Heartbeat,
            shared.now + shared.config.heartbeat_interval,
        );
        self.start_round(shared, out);
        for progress in self.peers.values_mut() {
            if let Replication::Probe { awaiting_reply } = &mut progress.state
                && !mutant(Mutant::ProbeNotRepeated)
            {
                *awaiting_reply = false; // One probe a heartbeat: it may have been lost.
            }
        }
        self.take_leave(shared);
        self.replicate_to_all(shared, out);
        self.repeat_transfer(shared, out);
        self.drive_change(shared, out);
        self.yield_to_preferred(shared, out);
        self.confirm_reads(shared, out);
        Tenure::Stay
    }

    /// No quorum of voters was heard within an election timeout (thesis §6.2).
    fn has_lost_its_quorum(&self, shared: &Shared) -> bool {
        if mutant(Mutant::CountsItselfTwice) {
            return self.has_lost_it_counting_itself_twice(shared);
        }
        self.quorum_heard(shared)
            .is_some_and(|heard| shared.now.since(heard) >= shared.config.election_timeout)
    }

    /// As a planted fault has it: one answer too few is enough.
    fn has_lost_it_counting_itself_twice(&self, shared: &Shared) -> bool {
        let voters = shared.membership().voters();
        let others = voters.iter().filter(|voter| **voter != shared.id);
        let heard = others.filter(|voter| {
            let progress = self.peers.get(voter);
            progress.is_some_and(|progress| {
                shared.now.since(progress.heard) < shared.config.election_timeout
            })
        });
        (heard.count() + 2) * 2 <= voters.len()
    }

    /// When a quorum was last in contact.
    pub(super) fn quorum_heard(&self, shared: &Shared) -> Option<Timestamp> {
        quorum::agreed(shared.membership(), |voter| {
            if voter == shared.id {
                return shared.now;
            }
            self.counted(shared, voter)
                .map_or(Timestamp::ZERO, |progress| progress.heard)
        })
    }

    pub(super) fn on_heartbeat_reply(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        round: Round,
        verified: LogIndex,
        out: &mut Effects,
    ) {
        let Some(progress) = self.peers.get_mut(&from) else {
            return;
        };
        if round > self.round || verified > shared.log.last().id.index {
            let claim = "to answer what was never sent";
            return shared.drop_nonsense(Nonsense::Impossible { from, claim }, out);
        }
        if progress.answered(round, shared.now) && shared.membership().incarnation(from).is_none() {
            self.drive_change(shared, out); // Now it can be written down which life it is.
        }
        if !mutant(Mutant::LostAppendNotResent) {
            self.look_after_overdue(shared, from, verified, out);
        }
        self.replicate_to(from, shared, out);
        self.confirm_reads(shared, out);
    }

    /// Reads that were asked for here. Without a lease, those that may be served by lease take the
    /// usual way.
    pub(super) fn on_reads(&mut self, shared: &mut Shared, reads: Asked, out: &mut Effects) {
        if reads.wish == Wish::Lease && self.has_lease(shared) {
            shared.await_applied(reads, shared.committed);
            shared.release_reads(out);
        } else {
            self.await_round(shared, Origin::Local(reads), out);
        }
    }

    /// A read that was asked for at another member.
    pub(super) fn on_read_index(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        read: ReadId,
        lease: bool,
        out: &mut Effects,
    ) {
        if lease && self.has_lease(shared) {
            let index = Some(shared.committed);
            return shared.send(from, Body::ReadIndexReply { read, index }, out);
        }
        if self.unconfirmed.len() >= shared.config.reads_max {
            return; // Overload: the follower asks again.
        }
        self.await_round(shared, Origin::Remote(from, read), out);
    }

    /// One round confirms all reads that were queued before it began: reads that come while one is
    /// on its way share the next (thesis §6.4).
    fn await_round(&mut self, shared: &mut Shared, origin: Origin, out: &mut Effects) {
        // An entry of this term must be committed first, or the commit index may be behind what
        // an earlier leader has answered: waiting for `first` to be applied includes that.
        let index = if mutant(Mutant::ReadsBeforeOwnEntry) {
            shared.committed
        } else {
            shared.committed.max(self.first)
        };
        let is_idle = self.unconfirmed.is_empty();
        let round = if mutant(Mutant::ReadsWithoutRound) {
            Round::default()
        } else if mutant(Mutant::ReadsJoinRunningRound) {
            self.round
        } else {
            Round(self.round.0 + 1)
        };
        self.unconfirmed.push(origin, index, round);
        if is_idle {
            self.start_round(shared, out);
            self.confirm_reads(shared, out); // A single voter needs nobody's answer.
        }
    }

    /// The latest round that a quorum has answered: nobody else led when it began.
    pub(super) fn answered_round(&self, shared: &Shared) -> Option<Round> {
        quorum::agreed(shared.membership(), |voter| {
            if voter == shared.id {
                return self.round;
            }
            self.counted(shared, voter)
                .map_or(Round::default(), |progress| progress.round)
        })
    }

    fn confirm_reads(&mut self, shared: &mut Shared, out: &mut Effects) {
        let Some(confirmed) = self.answered_round(shared) else {
            return;
        };
        self.unconfirmed.confirm(confirmed, shared, out);
        if self
            .unconfirmed
            .newest_round()
            .is_some_and(|round| round > self.round)
        {
            self.start_round(shared, out);
        }
    }

    /// Heartbeats to everyone. A follower learns of commits as far as it is known to match
    /// (RULES 28).
    fn start_round(&mut self, shared: &mut Shared, out: &mut Effects) {
        self.round = Round(self.round.0 + 1);
        self.note_round(shared);
        for (peer, progress) in &self.peers {
            if mutant(Mutant::NoHeartbeats) {
                continue;
            }
            let commit = if mutant(Mutant::HeartbeatCommitNotCapped) {
                shared.committed
            } else {
                shared.committed.min(progress.matched)
            };
            shared.send(
                *peer,
                Body::Heartbeat {
                    round: self.round,
                    commit,
                },
                out,
            );
        }
    }

    /// Leaves office: nobody who waits may wait for ever (RULE 6).
    pub(super) fn resign(self, shared: &mut Shared, out: &mut Effects) {
        out.push(Effect::LeadershipLost { term: self.term });
        if !mutant(Mutant::ReadsLostAtDeposition) {
            self.unconfirmed.fail(shared, out);
        }
    }

    /// The group's time: goes on from where the log left it, by this node's monotonic clock.
    pub(super) fn cluster_time(&self, shared: &Shared) -> ClusterTime {
        let now = self.time_at_election.plus(shared.now.since(self.elected));
        now.max(shared.log.last_time())
    }

    /// A state of a later time takes the place of the group's: its time goes on from there, or
    /// time would stand still for as long as the two are apart.
    fn move_time_on(&mut self, shared: &Shared, to: ClusterTime) {
        let own = self.time_at_election.plus(shared.now.since(self.elected));
        let behind = to.as_micros().saturating_sub(own.as_micros());
        self.time_at_election = self.time_at_election.plus(Duration::from_micros(behind));
    }

    /// Bytes of proposals that are not applied yet.
    pub(super) fn unapplied_bytes(&self) -> usize {
        self.unapplied_bytes
    }
}
