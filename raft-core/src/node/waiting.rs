//! Who waits for what: proposals by index and term, reads by id.
//!
//! Whatever happens to the node, every slot put in here is answered (RULE 6): by the state
//! machine's response, by a refusal, by a loss of leadership, by its deadline, or by the stop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::{Outcome, ProposeError, ReadError, StopReason};
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{IndexRange, Refusal};
use crate::id::{LogId, LogIndex, Term};
use crate::message::ReadId;
use crate::time::Timestamp;

/// A command was committed, and the local state machine has applied it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry of the command.
    pub id: LogId,
    /// What the state machine responded.
    pub response: Bytes,
}

pub(crate) type ProposeResult = Result<Applied, ProposeError>;
pub(crate) type ReadResult = Result<LogIndex, ReadError>;

/// Where the answer to one proposal goes. A caller that has gone away does not mind.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) reply: oneshot::Sender<ProposeResult>,
    /// When the caller stops waiting, if ever.
    pub(crate) deadline: Option<Timestamp>,
}

/// Everybody who waits for the event loop.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// The proposals of the step in progress, in order.
    proposed: VecDeque<Slot>,
    /// Proposals in the log, by rising index. A slot is gone once it was answered early.
    accepted: VecDeque<(LogId, Option<Slot>)>,
    /// The deadlines among `accepted`. An index stands for one slot: whatever waited there in an
    /// earlier term was answered when that term's leadership was lost.
    deadlines: BTreeSet<(Timestamp, LogIndex)>,
    /// What the state machine was given; committed, so it is answered by the machine alone.
    applying: LogIndex,
    reads: BTreeMap<ReadId, oneshot::Sender<ReadResult>>,
    next_read: u64,
}

impl Waiting {
    /// Proposals that wait to be applied.
    pub(super) fn proposals(&self) -> usize {
        self.accepted.len()
    }

    /// A proposal is about to be stepped; the step answers in the same order.
    pub(crate) fn propose(&mut self, slot: Slot) {
        self.proposed.push_back(slot);
    }

    /// The first of the proposed ones became these entries.
    pub(super) fn accepted(&mut self, term: Term, indexes: &IndexRange) {
        let mut index = indexes.start;
        while index < indexes.end {
            if let Some(slot) = self.proposed.pop_front() {
                if let Some(deadline) = slot.deadline {
                    self.deadlines.insert((deadline, index));
                }
                self.accepted
                    .push_back((LogId::new(term, index), Some(slot)));
            }
            index = index.next();
        }
    }

    /// The next `count` of the proposed ones are in no log.
    pub(super) fn refused(&mut self, count: usize, reason: &Refusal) {
        let count = count.min(self.proposed.len());
        for slot in self.proposed.drain(..count) {
            slot.answer(Err(ProposeError::refused(reason)));
        }
    }

    /// The next `count` of the proposed ones go another way.
    pub(super) fn take_proposed(&mut self, count: usize) -> impl Iterator<Item = Slot> {
        let count = count.min(self.proposed.len());
        self.proposed.drain(..count)
    }

    /// The state machine is given everything through `index`: it will answer, or the node stops.
    pub(super) fn applying(&mut self, index: LogIndex) {
        self.applying = self.applying.max(index);
    }

    /// The state machine has applied `id`.
    pub(super) fn applied(&mut self, id: LogId, response: Bytes) {
        while let Some((next, _)) = self.accepted.front()
            && next.index <= id.index
        {
            let Some((at, slot)) = self.accepted.pop_front() else {
                return;
            };
            let Some(slot) = slot else { continue };
            self.forget_deadline(&slot, at.index);
            if at == id {
                slot.answer(Ok(Applied { id, response }));
                return;
            }
            // Another entry stands where this one was: its leadership was lost unnoticed.
            slot.answer(Err(ProposeError::LeadershipLost { appended: at }));
        }
    }

    /// Leadership of `term` was lost: what was not yet committed may be, or may not.
    pub(super) fn leadership_lost(&mut self, term: Term) {
        let applying = self.applying;
        let mut kept = VecDeque::new();
        for (id, slot) in std::mem::take(&mut self.accepted) {
            if id.term > term || id.index <= applying {
                kept.push_back((id, slot));
            } else if let Some(slot) = slot {
                self.forget_deadline(&slot, id.index);
                slot.answer(Err(if mutant(Mutant::DeposedCallersRefused) {
                    ProposeError::Overwritten { appended: id }
                } else {
                    ProposeError::LeadershipLost { appended: id }
                }));
            }
        }
        self.accepted = kept;
    }

    /// A new read.
    pub(crate) fn read(&mut self, reply: oneshot::Sender<ReadResult>) -> ReadId {
        let id = ReadId(self.next_read);
        self.next_read = self.next_read.wrapping_add(1);
        self.reads.insert(id, reply);
        id
    }

    /// These reads may be served: everything through `index` was applied.
    pub(super) fn reads_ready(&mut self, reads: &[ReadId], index: LogIndex) {
        for reply in reads.iter().filter_map(|id| self.reads.remove(id)) {
            // The caller may have gone away.
            let _ = reply.send(Ok(index));
        }
    }

    /// These reads cannot be served.
    pub(super) fn reads_failed(&mut self, reads: &[ReadId], reason: &Refusal) {
        for reply in reads.iter().filter_map(|id| self.reads.remove(id)) {
            // The caller may have gone away.
            let _ = reply.send(Err(ReadError::refused(reason)));
        }
    }

    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Answers everybody whose deadline has passed.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((deadline, index)) = self.deadlines.first().copied()
            && deadline <= now
            && !mutant(Mutant::DeadlineIgnored)
        {
            self.deadlines.pop_first();
            let found = self
                .accepted
                .binary_search_by_key(&index, |(id, _)| id.index);
            let Some((id, slot)) = found.ok().and_then(|at| self.accepted.get_mut(at)) else {
                continue;
            };
            let appended = Some(*id);
            if let Some(slot) = slot.take() {
                slot.answer(Err(ProposeError::TimedOut { appended }));
            }
        }
    }

    /// The node stops: answers everybody.
    pub(super) fn fail_all(&mut self, reason: &StopReason) {
        let accepted = self.accepted.drain(..).filter_map(|(_, slot)| slot);
        for slot in self.proposed.drain(..).chain(accepted) {
            slot.answer(Err(ProposeError::Stopped {
                reason: reason.clone(),
                outcome: Outcome::Unknown,
            }));
        }
        self.deadlines.clear();
        if mutant(Mutant::StopForgetsReaders) {
            return;
        }
        for (_, reply) in std::mem::take(&mut self.reads) {
            // The caller may have gone away.
            let _ = reply.send(Err(ReadError::Stopped(reason.clone())));
        }
    }

    fn forget_deadline(&mut self, slot: &Slot, index: LogIndex) {
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, index));
        }
    }
}

impl Slot {
    /// Sends the answer.
    pub(super) fn answer(self, result: ProposeResult) {
        // The caller may have gone away.
        let _ = self.reply.send(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<ProposeResult>;

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    fn range(start: u64, end: u64) -> IndexRange {
        LogIndex::new(start)..LogIndex::new(end)
    }

    fn propose(waiting: &mut Waiting, deadline: Option<u64>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let deadline = deadline.map(Timestamp::from_millis);
        waiting.propose(Slot { reply, deadline });
        answer
    }

    fn three_accepted(deadline: Option<u64>) -> (Waiting, Vec<Answer>) {
        let mut waiting = Waiting::default();
        let answers = (0..3).map(|_| propose(&mut waiting, deadline)).collect();
        waiting.accepted(Term::new(2), &range(5, 8));
        (waiting, answers)
    }

    #[test]
    fn the_first_are_accepted_and_the_rest_refused() {
        let mut waiting = Waiting::default();
        let mut answers: Vec<Answer> = (0..3).map(|_| propose(&mut waiting, None)).collect();
        waiting.accepted(Term::new(2), &range(5, 6));
        waiting.refused(2, &Refusal::Overloaded);
        assert!(answers[0].try_recv().is_err(), "answered before it applied");
        for answer in &mut answers[1..] {
            let error = answer.try_recv().unwrap().unwrap_err();
            assert!(matches!(error, ProposeError::Overloaded));
            assert_eq!(error.outcome(), Outcome::NeverApplied);
        }
        waiting.applied(id(5, 2), Bytes::from_static(b"done"));
        assert_eq!(answers[0].try_recv().unwrap().unwrap().id, id(5, 2));
    }

    #[test]
    fn entries_of_others_between_ours_change_nothing() {
        let (mut waiting, mut answers) = three_accepted(None);
        waiting.applied(id(4, 1), Bytes::new());
        waiting.applied(id(6, 2), Bytes::from_static(b"six"));
        let error = answers[0].try_recv().unwrap().unwrap_err();
        assert!(matches!(error, ProposeError::LeadershipLost { appended } if appended == id(5, 2)));
        assert_eq!(answers[1].try_recv().unwrap().unwrap().response, "six");
        assert_eq!(waiting.proposals(), 1);
    }

    #[test]
    fn lost_leadership_leaves_the_outcome_unknown_unless_the_entry_is_being_applied() {
        let (mut waiting, mut answers) = three_accepted(Some(9));
        waiting.applying(LogIndex::new(5));
        waiting.leadership_lost(Term::new(2));
        assert!(
            answers[0].try_recv().is_err(),
            "committed, so it is answered by the machine"
        );
        let error = answers[1].try_recv().unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        waiting.applied(id(5, 2), Bytes::new());
        assert!(answers[0].try_recv().unwrap().is_ok());
        assert_eq!(waiting.deadline(), None);
    }

    #[test]
    fn a_passed_deadline_names_the_entry_and_leaves_the_others_waiting() {
        let (mut waiting, mut answers) = three_accepted(None);
        let mut late = propose(&mut waiting, Some(20));
        waiting.accepted(Term::new(2), &range(9, 10));
        waiting.expire(Timestamp::from_millis(19));
        assert!(late.try_recv().is_err());
        waiting.expire(Timestamp::from_millis(20));
        let error = late.try_recv().unwrap().unwrap_err();
        assert!(matches!(error, ProposeError::TimedOut { appended } if appended == Some(id(9, 2))));
        waiting.applied(id(7, 2), Bytes::new());
        assert!(answers[2].try_recv().unwrap().is_ok());
        waiting.applied(id(9, 2), Bytes::new());
        assert_eq!(waiting.proposals(), 0);
    }

    #[test]
    fn a_stop_answers_everybody() {
        let (mut waiting, mut answers) = three_accepted(Some(9));
        answers.push(propose(&mut waiting, None));
        let (reply, mut read) = oneshot::channel();
        waiting.read(reply);
        waiting.fail_all(&StopReason::Shutdown);
        for answer in &mut answers {
            let error = answer.try_recv().unwrap().unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unknown);
        }
        assert!(matches!(read.try_recv(), Ok(Err(ReadError::Stopped(_)))));
        assert_eq!((waiting.proposals(), waiting.reads.len()), (0, 0));
    }
}
