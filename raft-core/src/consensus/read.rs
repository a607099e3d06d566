//! Linearizable reads by read index (thesis §6.4), on the leader and on every other member.
//!
//! A read waits for two things: that the leader was still the leader after the read was asked for,
//! which a round of heartbeats confirms, and that the state machine has applied what was committed
//! by then. Rounds are the node's own, ever-growing read positions: no caller chooses them.
//!
//! A read of bounded staleness asks for less: every such confirmation says as of when this node
//! holds everything, and one that is recent enough serves it. So a member asks the leader once for
//! all bounded reads within their lag, by its own clock alone.

use super::mutant::{Mutant, mutant};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::effect::{Effect, Effects, Refusal};
use super::shared::Shared;
use super::timer::Timer;
use crate::id::{LogIndex, NodeId};
use crate::message::{Body, ReadId, Round};
use crate::time::Timestamp;

/// Reads of this node that are past the leader's part, or with another node that leads.
#[derive(Clone, Debug, Hash)]
pub(super) struct Reads {
    /// Confirmed, and waiting for the state machine.
    confirmed: BTreeMap<LogIndex, Vec<Asked>>,
    /// Asked of the leader, by our own number.
    forwarded: BTreeMap<ReadId, Asked>,
    next_request: ReadId,
    count: usize,
    /// What this node has applied is all that any leader had committed by then.
    complete_as_of: Option<Timestamp>,
}

/// Reads that share their way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Asked {
    reads: Vec<ReadId>,
    pub(super) wish: Wish,
    /// When they were asked for.
    asked: Timestamp,
    /// Since when they have been in their stage.
    at: Timestamp,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wish {
    Linearizable,
    Lease,
    /// What was committed this long ago is enough.
    Bounded(Duration),
    /// An entry that is known already.
    Known,
}

/// Reads that a leader has not confirmed yet, the oldest first.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Unconfirmed {
    queue: VecDeque<Confirmable>,
}

/// Reads that one round of heartbeats confirms together.
#[derive(Clone, Debug, Hash)]
struct Confirmable {
    origin: Origin,
    /// What was committed when the reads were asked for, and at least the leader's first entry.
    index: LogIndex,
    /// A reply to this round was sent after the reads were asked for.
    round: Round,
}

/// Where reads were asked for.
#[derive(Clone, Debug, Hash)]
pub(super) enum Origin {
    /// Here.
    Local(Asked),
    /// At another member.
    Remote(NodeId, ReadId),
}

/// How much longer than for the leader's answer a read waits for the state machine.
const APPLY_PATIENCE: u32 = 10;

impl Reads {
    /// `first_request` should differ from what an earlier life of the node used, so that a late
    /// reply to it cannot be taken for a reply to a read of this life.
    pub(super) fn new(first_request: u64) -> Self {
        Self {
            confirmed: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            next_request: ReadId(first_request),
            count: 0,
            complete_as_of: None,
        }
    }

    /// How many reads wait, in every stage.
    pub(super) fn waiting(&self) -> usize {
        self.count
    }
}

impl Unconfirmed {
    pub(super) fn push(&mut self, origin: Origin, index: LogIndex, round: Round) {
        self.queue.push_back(Confirmable {
            origin,
            index,
            round,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The latest round that any of them waits for.
    pub(super) fn newest_round(&self) -> Option<Round> {
        self.queue.back().map(|newest| newest.round)
    }

    /// A quorum has answered `round`, so this node was the leader when it began.
    pub(super) fn confirm(&mut self, round: Round, shared: &mut Shared, out: &mut Effects) {
        while let Some(read) = self.queue.pop_front_if(|read| read.round <= round) {
            match read.origin {
                Origin::Local(reads) => shared.await_applied(reads, read.index),
                Origin::Remote(node, id) => {
                    let body = Body::ReadIndexReply {
                        read: id,
                        index: Some(read.index),
                    };
                    shared.send(node, body, out);
                }
            }
        }
        shared.release_reads(out);
    }

    /// This node leads no more.
    pub(super) fn fail(self, shared: &mut Shared, out: &mut Effects) {
        for read in self.queue {
            match read.origin {
                Origin::Local(reads) => shared.find_no_leader(reads, out),
                Origin::Remote(node, id) => {
                    let body = Body::ReadIndexReply {
                        read: id,
                        index: None,
                    };
                    shared.send(node, body, out);
                }
            }
        }
    }
}

impl Shared {
    /// Admits reads, or refuses all of them as overload. Those that can be served at once are.
    pub(super) fn admit_reads(
        &mut self,
        reads: Vec<ReadId>,
        wish: Wish,
        out: &mut Effects,
    ) -> Option<Asked> {
        if let Wish::Bounded(lag) = wish
            && self.is_complete_within(lag)
        {
            let index = self.apply.applied();
            out.push(Effect::ReadReady { reads, index });
            return None;
        }
        if self.reads.count + reads.len() > self.config.reads_max {
            out.push(Effect::ReadFailed {
                reads,
                reason: Refusal::Overloaded,
            });
            return None;
        }
        self.reads.count += reads.len();
        Some(Asked {
            reads,
            wish,
            asked: self.now,
            at: self.now,
        })
    }

    /// Whether this node holds all that was committed this long ago.
    fn is_complete_within(&self, lag: Duration) -> bool {
        let complete = self.reads.complete_as_of;
        complete.is_some_and(|as_of| {
            self.now.since(as_of) <= lag || mutant(Mutant::BoundedReadsIgnoreAge)
        })
    }

    /// Asks the leader, once for all of them.
    pub(super) fn forward_reads(
        &mut self,
        reads: Asked,
        leader: Option<NodeId>,
        out: &mut Effects,
    ) {
        let Some(leader) = leader else {
            return self.find_no_leader(reads, out);
        };
        if reads.wish == Wish::Lease && mutant(Mutant::LeaseNotAskedOfLeader) {
            self.await_applied(reads, self.committed);
            return self.release_reads(out);
        }
        let lease = reads.wish == Wish::Lease;
        let read = self.keep_forwarded(reads);
        self.send(leader, Body::ReadIndex { read, lease }, out);
    }

    /// Nobody can be asked. Only bounded reads wait for a leader: the others want to know who leads
    /// now.
    fn find_no_leader(&mut self, reads: Asked, out: &mut Effects) {
        if matches!(reads.wish, Wish::Bounded(_)) {
            self.keep_forwarded(reads);
        } else {
            self.fail_reads(reads.reads, Refusal::NotLeader(None), out);
        }
    }

    fn keep_forwarded(&mut self, reads: Asked) -> ReadId {
        let request = self.reads.next_request;
        self.reads.next_request = ReadId(request.0.wrapping_add(1));
        self.reads.forwarded.insert(request, reads);
        if self.timers.deadline(Timer::Reads).is_none() {
            self.restart_reads_timer();
        }
        request
    }

    /// The leader, as it thinks, answered a forwarded read.
    pub(super) fn on_read_index_reply(
        &mut self,
        read: ReadId,
        index: Option<LogIndex>,
        out: &mut Effects,
    ) {
        let read = match self.reads.forwarded.first_key_value() {
            Some((first, _)) if mutant(Mutant::ReadAnswersSwapped) => *first,
            _ => read,
        };
        let Some(forwarded) = self.reads.forwarded.remove(&read) else {
            return; // A repeated answer, or to a read that was given up.
        };
        match index {
            Some(index) => self.await_applied(forwarded, index),
            None => self.find_no_leader(forwarded, out),
        }
        self.release_reads(out);
    }

    /// Sends forwarded reads again: the request or its answer was lost, or the leader changed.
    /// Gives up what has waited for too long, so that every read ends.
    pub(super) fn retry_reads(&mut self, leader: Option<NodeId>, out: &mut Effects) {
        if mutant(Mutant::ForwardedReadsNotRetried) {
            return;
        }
        let patience = 2 * self.config.election_timeout;
        let now = self.now;
        let mut expired = Vec::new();
        self.reads.forwarded.retain(|_, asked| {
            let waits = now.since(asked.at) < patience;
            if !waits {
                expired.push((asked.wish, std::mem::take(&mut asked.reads)));
            }
            waits
        });
        // A state machine may take its time over what is committed already.
        for queue in self.reads.confirmed.values_mut() {
            queue.retain_mut(|asked| {
                let waits = now.since(asked.at) < APPLY_PATIENCE * patience
                    || mutant(Mutant::AwaitedForEver);
                if !waits {
                    expired.push((asked.wish, std::mem::take(&mut asked.reads)));
                }
                waits
            });
        }
        self.reads.confirmed.retain(|_, queue| !queue.is_empty());
        for (wish, reads) in expired {
            self.fail_reads(reads, self.too_late(wish), out);
        }
        if let Some(leader) = leader {
            for (read, asked) in &self.reads.forwarded {
                let (read, lease) = (*read, asked.wish == Wish::Lease);
                self.send(leader, Body::ReadIndex { read, lease }, out);
            }
        }
        if !self.reads.forwarded.is_empty() || !self.reads.confirmed.is_empty() {
            self.restart_reads_timer();
        }
    }

    /// What a read is told that has waited for too long.
    fn too_late(&self, wish: Wish) -> Refusal {
        let Wish::Bounded(lag) = wish else {
            return Refusal::TimedOut;
        };
        let complete = self.reads.complete_as_of;
        let behind = complete.map(|as_of| self.now.since(as_of));
        Refusal::TooStale { lag, behind }
    }

    /// Takes back what was asked of another leader: this node leads now.
    pub(super) fn take_forwarded_reads(&mut self) -> impl Iterator<Item = Asked> {
        std::mem::take(&mut self.reads.forwarded).into_values()
    }

    /// Serves the confirmed reads whose index has been applied.
    pub(super) fn release_reads(&mut self, out: &mut Effects) {
        let applied = self.apply.applied();
        let mut ready = Vec::new();
        while let Some(first) = self.reads.confirmed.first_entry() {
            if *first.key() > applied && !mutant(Mutant::ReadsBeforeApplied) {
                break;
            }
            for asked in first.remove() {
                if matches!(asked.wish, Wish::Linearizable | Wish::Bounded(_)) {
                    let complete = self.reads.complete_as_of.max(Some(asked.asked));
                    self.reads.complete_as_of = complete;
                }
                ready.extend(asked.reads);
            }
        }
        if !ready.is_empty() {
            self.reads.count -= ready.len();
            out.push(Effect::ReadReady {
                reads: ready,
                index: applied,
            });
        }
    }

    pub(super) fn await_applied(&mut self, mut asked: Asked, index: LogIndex) {
        asked.at = self.now;
        self.reads.confirmed.entry(index).or_default().push(asked);
        if index > self.apply.applied() && self.timers.deadline(Timer::Reads).is_none() {
            self.restart_reads_timer();
        }
    }

    fn fail_reads(&mut self, reads: Vec<ReadId>, reason: Refusal, out: &mut Effects) {
        self.reads.count -= reads.len();
        out.push(Effect::ReadFailed { reads, reason });
    }

    fn restart_reads_timer(&mut self) {
        let again = self.now + 2 * self.config.heartbeat_interval;
        self.timers.set(Timer::Reads, again);
    }
}
