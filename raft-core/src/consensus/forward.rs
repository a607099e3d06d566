//! Proposals that are made at one node and appended by its leader.
//!
//! The leader is asked once, in its own term, and answers where in the log the commands stand. They
//! are never sent on, nor sent again: a question that is lost, and an answer that is, leave the
//! outcome unknown. Nor are they appended twice, however often the network repeats the question: a
//! leader knows which of its term it has taken, and when it leads no more it refuses only those
//! that it has not, for good.
//!
//! No incarnations are compared: a node that was wiped has led no term, so it denies nothing that its
//! former self took; and each life of a node begins its questions at another number, so an answer to
//! its former self answers nothing.

use std::collections::BTreeMap;

use super::Raft;
use super::effect::{Effect, Effects, Nonsense, Refusal};
use super::event::Conditions;
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::role::Role;
use super::seen::Seen;
use super::shared::Shared;
use super::timer::Timer;
use crate::entry::{HEADER_BYTES, Sealed};
use crate::id::{LogIndex, NodeId, Term};
use crate::message::{Body, ForwardId, Rejection};
use crate::time::Timestamp;

/// Both ends of what this node forwards, or takes from others.
#[derive(Clone, Debug, Hash)]
pub(super) struct Forwards {
    next: ForwardId,
    /// Not answered yet, the oldest first.
    waiting: BTreeMap<ForwardId, Sent>,
    waiting_bytes: usize,
    /// The last term that this node has led.
    led: Term,
    /// What it was asked in that term, by whom.
    taken: BTreeMap<NodeId, Seen>,
}

/// A message with commands, on its way to a leader or back.
#[derive(Clone, Copy, Debug, Hash)]
struct Sent {
    to: NodeId,
    count: u32,
    bytes: usize,
    at: Timestamp,
}

/// An answer of the leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) forward: ForwardId,
    /// Where the first command stands.
    pub(super) first: LogIndex,
    /// So many were appended.
    pub(super) count: u32,
    /// Why the others were not.
    pub(super) refused: Option<Rejection>,
}

/// Commands that one message takes at most, whatever their size.
const COMMANDS_MAX: usize = 1_024;

impl Forwards {
    /// `first` should differ from what an earlier life of the node used.
    pub(super) fn new(first: u64) -> Self {
        Self {
            next: ForwardId(first),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            led: Term::default(),
            taken: BTreeMap::new(),
        }
    }

    /// This node leads a term, in which it was asked for nothing yet.
    pub(super) fn begin_term(&mut self, term: Term) {
        self.led = term;
        self.taken.clear();
    }

    /// Notes that `from` asked in `term`. Whether this node can tell that it was not asked before.
    fn is_first_time(&mut self, term: Term, from: NodeId, forward: ForwardId) -> bool {
        let is_new = term == self.led && self.taken.entry(from).or_default().insert(forward.0);
        is_new || mutant(Mutant::ForwardTakenTwice)
    }
}

impl Raft {
    /// Commands were proposed here, under conditions.
    pub(super) fn on_proposed_under(
        &mut self,
        conditions: Conditions,
        batch: Vec<Sealed>,
        out: &mut Effects,
    ) {
        let leader = self.leader();
        let current = self.shared.term();
        let refuse = |reason, out: &mut Effects| {
            let count = batch.len();
            out.push(Effect::Refused { count, reason });
        };
        let other_term = |expected: &Term| *expected != current;
        let may_be_here = matches!(self.role, Role::Leader(_)) || conditions.forward;
        match conditions.expected_term.filter(other_term) {
            Some(expected) if may_be_here => {
                refuse(Refusal::TermChanged { expected, current }, out);
            }
            Some(_) | None => match (&mut self.role, leader) {
                (Role::Leader(role), _) => role.on_proposed(&mut self.shared, batch, out),
                (_, Some(leader)) if conditions.forward => {
                    self.shared.forward(leader, batch, out);
                }
                (_, leader) => refuse(Refusal::NotLeader(leader), out),
            },
        }
    }

    /// Another node asks the leader of `term` to append. This may be an earlier term than ours.
    pub(super) fn on_forwarded(
        &mut self,
        (from, term): (NodeId, Term),
        forward: ForwardId,
        commands: Vec<Sealed>,
        out: &mut Effects,
    ) {
        let leader = self.leader();
        if !self.shared.membership().contains(from)
            || !self.shared.forwards.is_first_time(term, from, forward)
        {
            return; // Its outcome is not for this node to tell.
        }
        match &mut self.role {
            Role::Leader(role) if role.term == term => {
                role.take_forwarded(&mut self.shared, (from, forward), commands, out);
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => {
                let answer = Answer {
                    forward,
                    first: LogIndex::ZERO,
                    count: 0,
                    refused: Some(Rejection::NotLeader(leader)),
                };
                self.shared.send(from, answer.into(), out);
            }
        }
    }
}

impl Leader {
    /// Appends the commands before the first that is refused, and tells who forwarded them.
    fn take_forwarded(
        &mut self,
        shared: &mut Shared,
        (from, forward): (NodeId, ForwardId),
        mut commands: Vec<Sealed>,
        out: &mut Effects,
    ) {
        let (mut bytes, mut count, mut refused) = (0, 0_u32, None);
        for command in &commands {
            if let Some(reason) = self.refusal(shared, command.len(), bytes) {
                refused = Some(rejection(&reason));
                break;
            }
            bytes += command.len();
            count += 1;
        }
        commands.truncate(count as usize);
        let answer = Answer {
            forward,
            first: shared.log.last().id.index.next(),
            count,
            refused,
        };
        // Before the entries, so that it is not overtaken by them.
        shared.send(from, answer.into(), out);
        self.append_commands(shared, commands, bytes, out);
        self.owe_commit(from, shared.log.last().id.index);
    }
}

impl Shared {
    /// Sends commands to the leader, in as few messages as its appends would take.
    fn forward(&mut self, leader: NodeId, batch: Vec<Sealed>, out: &mut Effects) {
        let mut commands: Vec<Sealed> = Vec::new();
        let mut bytes = 0;
        for sealed in batch {
            let size = sealed.len();
            let bytes_max = self.config.entry_bytes_max;
            let headers = (commands.len() + 1) * HEADER_BYTES;
            let is_full = headers + bytes + size > self.config.append_bytes_max
                || commands.len() == COMMANDS_MAX
                || size > bytes_max;
            if is_full && !commands.is_empty() {
                let full = std::mem::take(&mut commands);
                self.send_commands(leader, full, bytes, out);
                bytes = 0;
            }
            if size > bytes_max {
                let (count, bytes) = (1, size);
                let reason = Refusal::TooLarge { bytes, bytes_max };
                out.push(Effect::Refused { count, reason });
                continue;
            }
            bytes += size;
            commands.push(sealed);
        }
        if !commands.is_empty() {
            self.send_commands(leader, commands, bytes, out);
        }
    }

    fn send_commands(
        &mut self,
        to: NodeId,
        commands: Vec<Sealed>,
        bytes: usize,
        out: &mut Effects,
    ) {
        let count = commands.len();
        let forwards = &mut self.forwards;
        let is_full = forwards.waiting_bytes + bytes > self.config.unapplied_bytes_max;
        if is_full && !forwards.waiting.is_empty() {
            let reason = Refusal::Overloaded;
            return out.push(Effect::Refused { count, reason });
        }
        let forward = forwards.next;
        forwards.next = ForwardId(forward.0.wrapping_add(1));
        forwards.waiting_bytes += bytes;
        let sent = Sent {
            to,
            // A message takes far fewer.
            count: u32::try_from(count).unwrap_or(u32::MAX),
            bytes,
            at: self.now,
        };
        forwards.waiting.insert(forward, sent);
        out.push(Effect::Forwarded { forward, count });
        let body = Body::Propose { forward, commands };
        self.send(to, body, out);
        if self.timers.deadline(Timer::Forwards).is_none() {
            self.set_forwards_timer();
        }
    }

    /// The leader of `term` has answered. What it says of that term stays true in every later one.
    pub(super) fn on_forward_answer(
        &mut self,
        (from, term): (NodeId, Term),
        answer: Answer,
        out: &mut Effects,
    ) {
        let forward = match self.forwards.waiting.first_key_value() {
            Some((first, _)) if mutant(Mutant::ForwardAnswersSwapped) => *first,
            _ => answer.forward,
        };
        let Some(sent) = self.forwards.waiting.get(&forward).copied() else {
            return; // A repeated answer, or to what was given up.
        };
        let Answer {
            first,
            count,
            refused,
            ..
        } = answer;
        let end = first.get().checked_add(u64::from(count));
        let all = count == sent.count;
        let (Some(end), true) = (
            end,
            sent.to == from && count <= sent.count && all != refused.is_some(),
        ) else {
            let claim = "to have taken proposals that it was not sent";
            return self.drop_nonsense(Nonsense::Impossible { from, claim }, out);
        };
        self.forwards.waiting.remove(&forward);
        self.forwards.waiting_bytes -= sent.bytes;
        let term = if mutant(Mutant::ForwardAnswerOfAnyTerm) {
            self.term()
        } else {
            term
        };
        out.push(Effect::ForwardAnswered {
            forward,
            term,
            indexes: first..LogIndex::new(end),
            refused: refused.map(refusal),
        });
    }

    /// Gives up what was not answered for too long.
    pub(super) fn expire_forwards(&mut self, out: &mut Effects) {
        let patience = 2 * self.config.election_timeout;
        while let Some((forward, sent)) = self.forwards.waiting.first_key_value()
            && self.now.since(sent.at) >= patience
        {
            let forward = *forward;
            self.forwards.waiting_bytes -= sent.bytes;
            self.forwards.waiting.remove(&forward);
            out.push(Effect::ForwardLost { forward });
        }
        self.set_forwards_timer();
    }

    fn set_forwards_timer(&mut self) {
        if let Some((_, oldest)) = self.forwards.waiting.first_key_value() {
            let patience = 2 * self.config.election_timeout;
            self.timers.set(Timer::Forwards, oldest.at + patience);
        }
    }
}

impl From<Answer> for Body {
    fn from(answer: Answer) -> Self {
        Self::ProposeReply {
            forward: answer.forward,
            first: answer.first,
            count: answer.count,
            refused: answer.refused,
        }
    }
}

/// What a leader's refusal is in a message.
fn rejection(reason: &Refusal) -> Rejection {
    match *reason {
        Refusal::NotLeader(leader) => Rejection::NotLeader(leader),
        Refusal::TooLarge { bytes, bytes_max } => Rejection::TooLarge {
            bytes: bytes as u64,
            bytes_max: bytes_max as u64,
        },
        Refusal::Transferring(to) => Rejection::Transferring(to),
        // A leader refuses no proposal of its own term for another reason.
        Refusal::Overloaded
        | Refusal::TermChanged { .. }
        | Refusal::TimedOut
        | Refusal::TooStale { .. } => Rejection::Overloaded,
    }
}

fn refusal(reason: Rejection) -> Refusal {
    match reason {
        Rejection::NotLeader(leader) => Refusal::NotLeader(leader),
        Rejection::Overloaded => Refusal::Overloaded,
        Rejection::TooLarge { bytes, bytes_max } => Refusal::TooLarge {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        },
        Rejection::Transferring(to) => Refusal::Transferring(to),
    }
}
