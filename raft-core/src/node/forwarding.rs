//! Who waits for proposals that the leader appends and this node answers.
//!
//! A slot is first in a message to the leader, then at the place in the log that the leader named.
//! It is answered by what this node's own state machine responds there. Whatever is applied at or
//! beyond a place and is not its entry proves that the entry will never be (thesis §3.5: terms never
//! fall along the log).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::error::{Outcome, ProposeError, StopReason};
use super::waiting::{Applied, Slot};
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{IndexRange, Refusal};
use crate::id::{LogId, LogIndex, Term};
use crate::message::ForwardId;
use crate::time::Timestamp;

/// The slots, by numbers of their own.
#[derive(Debug)]
pub(crate) struct Forwarding {
    next: u64,
    slots: BTreeMap<u64, (Slot, Option<LogId>)>,
    /// On their way to the leader, or the answer back.
    sent: BTreeMap<ForwardId, Vec<u64>>,
    /// In the log, as the leader says.
    placed: BTreeMap<LogId, u64>,
    deadlines: BTreeSet<(Timestamp, u64)>,
    /// What was applied lately, for answers of the leader that are late.
    recent: VecDeque<(LogId, Bytes)>,
    recent_bytes: usize,
    applied: LogIndex,
    /// No leader is known since then.
    leaderless: Option<Timestamp>,
    patience: Duration,
}

/// Responses kept for late answers.
const RECENT_MAX: usize = 4_096;
/// Bytes of them.
const RECENT_BYTES_MAX: usize = 1 << 20;

impl Forwarding {
    /// What is placed waits for so long without a leader.
    pub(super) fn new(patience: Duration, applied: LogIndex) -> Self {
        Self {
            next: 0,
            slots: BTreeMap::new(),
            sent: BTreeMap::new(),
            placed: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            applied,
            leaderless: None,
            patience,
        }
    }

    /// Proposals that wait.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// These are on their way to the leader.
    pub(super) fn sent(&mut self, forward: ForwardId, slots: impl Iterator<Item = Slot>) {
        let mut numbers = Vec::new();
        for slot in slots {
            let number = self.next;
            self.next += 1;
            if let Some(deadline) = slot.deadline {
                self.deadlines.insert((deadline, number));
            }
            self.slots.insert(number, (slot, None));
            numbers.push(number);
        }
        self.sent.insert(forward, numbers);
    }

    /// The leader says where the first of them stand, and why the others do not.
    pub(super) fn answered(
        &mut self,
        forward: ForwardId,
        term: Term,
        indexes: &IndexRange,
        refused: Option<&Refusal>,
    ) {
        let numbers = self.sent.remove(&forward).unwrap_or_default();
        let mut index = indexes.start;
        for number in numbers {
            if index >= indexes.end {
                let reason = refused.unwrap_or(&Refusal::Overloaded);
                self.answer(number, Err(ProposeError::refused(reason)));
                continue;
            }
            let id = LogId::new(term, index);
            index = index.next();
            if id.index <= self.applied && !mutant(Mutant::ForwardAnsweredLateLost) {
                let response = self.recent.iter().find(|(recent, _)| *recent == id);
                let result = match response.map(|(_, response)| response.clone()) {
                    Some(response) => Ok(Applied { id, response }),
                    None => Err(ProposeError::ResponseLost { appended: id }),
                };
                self.answer(number, result);
            } else if let Some((_, place)) = self.slots.get_mut(&number) {
                *place = Some(id);
                self.placed.insert(id, number);
            }
        }
        self.forget_recent();
    }

    /// Nobody knows what has become of them.
    pub(super) fn lost(&mut self, forward: ForwardId) {
        for number in self.sent.remove(&forward).unwrap_or_default() {
            self.answer(number, Err(ProposeError::ForwardLost));
        }
        self.forget_recent();
    }

    /// The state machine has applied `id`.
    pub(super) fn applied(&mut self, id: LogId, response: &Bytes) {
        if let Some(number) = self.placed.remove(&id) {
            let response = response.clone();
            self.answer(number, Ok(Applied { id, response }));
        } else if !self.sent.is_empty() {
            self.recent_bytes += response.len();
            self.recent.push_back((id, response.clone()));
            while self.recent.len() > RECENT_MAX || self.recent_bytes > RECENT_BYTES_MAX {
                let Some((_, oldest)) = self.recent.pop_front() else {
                    return;
                };
                self.recent_bytes -= oldest.len();
            }
        }
    }

    /// Everything through `last` was applied, one by one or, if `restored`, within a snapshot: then
    /// the response to an entry is nowhere to be had.
    pub(super) fn applied_through(&mut self, last: LogId, restored: bool) {
        self.applied = self.applied.max(last.index);
        while let Some(first) = self.placed.first_entry()
            && *first.key() <= last
            && !mutant(Mutant::ForwardReplacedNotTold)
        {
            let (appended, number) = first.remove_entry();
            let error = if restored && !mutant(Mutant::ForwardInSnapshotRefused) {
                ProposeError::ResponseLost { appended }
            } else {
                ProposeError::Overwritten { appended }
            };
            self.answer(number, Err(error));
        }
    }

    /// A leader is known, or none is any more.
    pub(super) fn leader_known(&mut self, is_known: bool, now: Timestamp) {
        let since = self.leaderless.unwrap_or(now);
        self.leaderless = (!is_known).then_some(since);
    }

    /// When [`Forwarding::expire`] is to be called.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let caller = self.deadlines.first().map(|(deadline, _)| *deadline);
        caller.into_iter().chain(self.lonely_deadline()).min()
    }

    fn lonely_deadline(&self) -> Option<Timestamp> {
        let is_awaited = !self.placed.is_empty() && !mutant(Mutant::ForwardWaitsAlone);
        let since = self.leaderless.filter(|_| is_awaited);
        since.map(|since| since + self.patience)
    }

    /// Answers whoever has waited for long enough.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((deadline, number)) = self.deadlines.first().copied()
            && deadline <= now
        {
            let place = self.slots.get(&number).and_then(|(_, place)| *place);
            let error = match place {
                Some(_) => ProposeError::TimedOut { appended: place },
                None => ProposeError::ForwardLost,
            };
            self.deadlines.pop_first();
            self.answer(number, Err(error));
        }
        if self
            .lonely_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            for (appended, number) in std::mem::take(&mut self.placed) {
                self.answer(number, Err(ProposeError::LeadershipLost { appended }));
            }
        }
    }

    /// The node stops: answers everybody.
    pub(super) fn fail_all(&mut self, reason: &StopReason) {
        for (slot, _) in std::mem::take(&mut self.slots).into_values() {
            slot.answer(Err(ProposeError::Stopped {
                reason: reason.clone(),
                outcome: Outcome::Unknown,
            }));
        }
    }

    /// Answers a slot, unless that was done before.
    fn answer(&mut self, number: u64, result: super::waiting::ProposeResult) {
        let Some((slot, place)) = self.slots.remove(&number) else {
            return;
        };
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        if let Some(place) = place {
            self.placed.remove(&place);
        }
        slot.answer(result);
    }

    fn forget_recent(&mut self) {
        if self.sent.is_empty() {
            self.recent.clear();
            self.recent_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    type Answer = oneshot::Receiver<super::super::waiting::ProposeResult>;

    const FORWARD: ForwardId = ForwardId(7);

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    fn range(start: u64, end: u64) -> IndexRange {
        LogIndex::new(start)..LogIndex::new(end)
    }

    fn sent(count: usize, deadline: Option<u64>) -> (Forwarding, Vec<Answer>) {
        let mut forwarding = Forwarding::new(Duration::from_millis(100), LogIndex::new(4));
        let (slots, answers): (Vec<Slot>, Vec<Answer>) = (0..count)
            .map(|_| {
                let (reply, answer) = oneshot::channel();
                let deadline = deadline.map(Timestamp::from_millis);
                (Slot { reply, deadline }, answer)
            })
            .unzip();
        forwarding.sent(FORWARD, slots.into_iter());
        (forwarding, answers)
    }

    fn error(answer: &mut Answer) -> ProposeError {
        answer.try_recv().unwrap().unwrap_err()
    }

    #[test]
    fn the_first_are_placed_and_the_rest_refused() {
        let (mut forwarding, mut answers) = sent(3, None);
        let full = Some(&Refusal::Overloaded);
        forwarding.answered(FORWARD, Term::new(2), &range(5, 7), full);
        assert!(matches!(error(&mut answers[2]), ProposeError::Overloaded));
        forwarding.applied(id(5, 2), &Bytes::from_static(b"five"));
        forwarding.applied(id(6, 2), &Bytes::from_static(b"six"));
        assert_eq!(answers[0].try_recv().unwrap().unwrap().response, "five");
        assert_eq!(answers[1].try_recv().unwrap().unwrap().id, id(6, 2));
        assert_eq!(forwarding.count(), 0);
    }

    #[test]
    fn another_entry_at_the_index_or_a_later_term_before_it_proves_that_it_never_applies() {
        let (mut forwarding, mut answers) = sent(2, None);
        forwarding.answered(FORWARD, Term::new(2), &range(5, 7), None);
        forwarding.applied(id(5, 3), &Bytes::from_static(b"another"));
        forwarding.applied_through(id(5, 3), false);
        for answer in &mut answers {
            assert_eq!(error(answer).outcome(), Outcome::NeverApplied);
        }
    }

    #[test]
    fn an_answer_after_the_entry_was_applied_finds_its_response() {
        let (mut forwarding, mut answers) = sent(2, None);
        forwarding.applied(id(5, 2), &Bytes::from_static(b"five"));
        forwarding.applied_through(id(5, 2), false);
        forwarding.applied_through(id(9, 3), true);
        forwarding.answered(FORWARD, Term::new(2), &range(5, 7), None);
        assert_eq!(answers[0].try_recv().unwrap().unwrap().response, "five");
        let lost = error(&mut answers[1]);
        assert!(matches!(lost, ProposeError::ResponseLost { appended } if appended == id(6, 2)));
        assert_eq!(lost.outcome(), Outcome::Unknown);
        assert!(forwarding.recent.is_empty());
    }

    #[test]
    fn a_snapshot_that_may_hold_the_entry_leaves_the_outcome_unknown() {
        let (mut forwarding, mut answers) = sent(1, None);
        forwarding.answered(FORWARD, Term::new(2), &range(5, 6), None);
        forwarding.applied_through(id(9, 2), true);
        assert_eq!(error(&mut answers[0]).outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_deadline_leaves_the_outcome_unknown_wherever_the_proposal_is() {
        let (mut forwarding, mut answers) = sent(1, Some(20));
        forwarding.expire(Timestamp::from_millis(20));
        let lost = error(&mut answers[0]);
        assert!(matches!(lost, ProposeError::ForwardLost), "{lost}");
        let (mut forwarding, mut answers) = sent(1, Some(20));
        forwarding.answered(FORWARD, Term::new(2), &range(5, 6), None);
        forwarding.expire(Timestamp::from_millis(19));
        assert!(answers[0].try_recv().is_err());
        forwarding.expire(Timestamp::from_millis(20));
        let late = error(&mut answers[0]);
        assert!(matches!(late, ProposeError::TimedOut { appended } if appended == Some(id(5, 2))));
        assert!(forwarding.deadline().is_none() && forwarding.placed.is_empty());
    }

    #[test]
    fn without_a_leader_nobody_waits_for_ever() {
        let (mut forwarding, mut answers) = sent(1, None);
        forwarding.answered(FORWARD, Term::new(2), &range(5, 6), None);
        forwarding.leader_known(false, Timestamp::from_millis(50));
        forwarding.leader_known(false, Timestamp::from_millis(90));
        assert_eq!(forwarding.deadline(), Some(Timestamp::from_millis(150)));
        forwarding.expire(Timestamp::from_millis(150));
        assert_eq!(error(&mut answers[0]).outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_loss_and_a_stop_answer_everybody() {
        let (mut forwarding, mut answers) = sent(1, None);
        forwarding.lost(FORWARD);
        assert_eq!(error(&mut answers[0]).outcome(), Outcome::Unknown);
        let (mut forwarding, mut answers) = sent(1, None);
        forwarding.fail_all(&StopReason::Shutdown);
        assert!(matches!(
            error(&mut answers[0]),
            ProposeError::Stopped { .. }
        ));
    }
}
