//! Everything that was asked ends with an answer, unless its node goes down (RULE 6).
//!
//! What is asked is noted with its time, and struck out when the node answers or dies. A client that
//! loses its patience strikes out nothing: the node owes the answer all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Held, broken};
use crate::id::{LogId, LogIndex, NodeId, Term};
use crate::message::{ForwardId, ReadId};
use crate::time::Timestamp;

/// What is asked of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::sim) struct Futures(BTreeMap<(NodeId, Asked), Timestamp>);

/// Something that a node owes an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::sim) enum Asked {
    /// A proposal that was taken as this entry.
    Proposal(LogIndex, Term),
    /// A proposal that was sent on, until the leader's word or its loss.
    Forward(ForwardId),
    /// A read.
    Read(ReadId),
    /// A transfer of leadership; one at a time.
    Transfer,
    /// What a node says at once to a request for a change of membership.
    ChangeAnswer,
    /// A change of membership that has begun with this entry, until it is settled, or until the node
    /// says that it leads no more and another drives it on.
    Change(LogId),
    /// A snapshot of what was applied.
    Snapshot(u64),
}

impl Futures {
    /// A node is asked.
    pub(in crate::sim) fn ask(&mut self, node: NodeId, asked: Asked, now: Timestamp) {
        self.0.entry((node, asked)).or_insert(now);
    }

    /// A node answers.
    pub(in crate::sim) fn answer(&mut self, node: NodeId, asked: Asked) {
        self.0.remove(&(node, asked));
    }

    /// A state machine has got to the entry `index`: whoever proposed it, or something else that
    /// would have stood there, knows the outcome.
    pub(in crate::sim) fn applied(&mut self, node: NodeId, index: LogIndex) {
        let first = (node, Asked::Proposal(index, Term::default()));
        let last = (node, Asked::Proposal(index.next(), Term::default()));
        let told: Vec<_> = self.0.range(first..last).map(|(key, _)| *key).collect();
        for key in told {
            self.0.remove(&key);
        }
    }

    /// A node has lost its leadership: the outcome of its proposals, and of the changes that it was to
    /// lead to their end, is told as unknown.
    pub(in crate::sim) fn deposed(&mut self, node: NodeId) {
        let ends = |asked: &Asked| matches!(asked, Asked::Proposal(..) | Asked::Change(_));
        self.0.retain(|(at, asked), _| *at != node || !ends(asked));
    }

    /// A leader says that the membership is settled: so is every change that it has begun.
    pub(in crate::sim) fn settled(&mut self, node: NodeId) {
        let ends = |asked: &Asked| matches!(asked, Asked::Change(_));
        self.0.retain(|(at, asked), _| *at != node || !ends(asked));
    }

    /// Whether a node owes this answer.
    pub(in crate::sim) fn owes(&self, node: NodeId, asked: Asked) -> bool {
        self.0.contains_key(&(node, asked))
    }

    /// A node is down, and everybody who waited there knows.
    pub(in crate::sim) fn down(&mut self, node: NodeId) {
        self.0.retain(|(at, _), _| *at != node);
    }

    /// Judges what is open, when nothing has gone wrong for longer than `patience`.
    pub(in crate::sim) fn all_end(&self, now: Timestamp, patience: Duration) -> Held {
        let late = |since: &Timestamp| now.since(*since) > patience;
        match self.0.iter().find(|(_, since)| late(since)) {
            Some(((node, asked), since)) => broken(
                "every future resolves",
                format!(
                    "node {node} was asked for {asked:?} at {since}, and has not answered at {now}"
                ),
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new(1);

    fn asked(index: u64) -> Asked {
        Asked::Proposal(LogIndex::new(index), Term::new(1))
    }

    fn is_late(futures: &Futures) -> bool {
        let now = Timestamp::from_millis(1_000);
        futures.all_end(now, Duration::from_millis(100)).is_err()
    }

    #[test]
    fn what_nobody_answers_is_found_and_what_is_answered_is_not() {
        let mut futures = Futures::default();
        for index in 1..=3 {
            futures.ask(NODE, asked(index), Timestamp::ZERO);
        }
        futures.ask(NODE, Asked::Read(ReadId(1)), Timestamp::ZERO);
        futures.ask(NODE, Asked::Forward(ForwardId(1)), Timestamp::ZERO);
        assert!(is_late(&futures));
        futures.applied(NODE, LogIndex::new(1));
        futures.deposed(NODE);
        assert!(is_late(&futures), "the read");
        futures.answer(NODE, Asked::Read(ReadId(1)));
        assert!(is_late(&futures), "what was sent on");
        futures.answer(NODE, Asked::Forward(ForwardId(1)));
        assert!(!is_late(&futures));
    }

    #[test]
    fn a_change_that_has_begun_is_owed_its_end_or_word_that_another_leads() {
        let change = |index| Asked::Change(LogId::new(Term::new(1), LogIndex::new(index)));
        let mut futures = Futures::default();
        futures.ask(NODE, change(4), Timestamp::ZERO);
        futures.applied(NODE, LogIndex::new(4));
        assert!(is_late(&futures), "its first entry is not its end");
        futures.settled(NODE);
        assert!(!is_late(&futures));
        futures.ask(NODE, change(5), Timestamp::ZERO);
        futures.ask(NODE, Asked::Snapshot(1), Timestamp::ZERO);
        futures.deposed(NODE);
        assert!(is_late(&futures), "a snapshot does not depend on who leads");
        futures.answer(NODE, Asked::Snapshot(1));
        assert!(!is_late(&futures));
    }

    #[test]
    fn the_death_of_a_node_answers_whoever_waits_there_alone() {
        let mut futures = Futures::default();
        futures.ask(NODE, Asked::Transfer, Timestamp::ZERO);
        futures.ask(NodeId::new(2), asked(1), Timestamp::ZERO);
        futures.down(NODE);
        assert!(is_late(&futures));
        futures.down(NodeId::new(2));
        assert!(!is_late(&futures));
    }
}
