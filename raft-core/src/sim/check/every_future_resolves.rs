//! Everything that was asked ends with an answer, unless its node goes down (RULE 6).
//!
//! What is asked is noted with its time, and struck out when the caller hears the answer or the node
//! dies. A client that loses its patience strikes out nothing: the node owes the answer all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Held, broken};
use crate::id::NodeId;
use crate::time::Timestamp;

const PROPERTY: &str = "every future resolves";

/// What is asked of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::sim) struct Futures(BTreeMap<(NodeId, Asked), Timestamp>);

/// Something that a node owes an answer to, and the number of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::sim) enum Asked {
    /// A proposal, until its fate is known here.
    Proposal(u64),
    /// A read.
    Read(u64),
    /// A transfer of leadership.
    Transfer(u64),
    /// A change of membership, until it is settled, or until the node says that it leads no more and
    /// another drives it on.
    Change(u64),
    /// A snapshot of what was applied.
    Snapshot(u64),
    /// The end of the snapshot that is being taken. Nobody is told of it when the node stops.
    SnapshotEnd,
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

    /// A node is down, and everybody who waited there knows.
    pub(in crate::sim) fn down(&mut self, node: NodeId) {
        self.0.retain(|(at, _), _| *at != node);
    }

    /// A node has stopped, and has answered everybody before.
    pub(in crate::sim) fn are_all_answered(&self, node: NodeId) -> Held {
        let waits = |(at, asked): &(NodeId, Asked)| *at == node && *asked != Asked::SnapshotEnd;
        match self.0.iter().find(|(key, _)| waits(key)) {
            Some(((_, asked), since)) => broken(
                PROPERTY,
                format!(
                    "node {node} was asked for {asked:?} at {since}, and stops without an answer"
                ),
            ),
            None => Ok(()),
        }
    }

    /// Judges what is open, when nothing has gone wrong for longer than `patience`.
    pub(in crate::sim) fn all_end(&self, now: Timestamp, patience: Duration) -> Held {
        let late = |since: &Timestamp| now.since(*since) > patience;
        match self.0.iter().find(|(_, since)| late(since)) {
            Some(((node, asked), since)) => broken(
                PROPERTY,
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

    fn is_late(futures: &Futures) -> bool {
        let now = Timestamp::from_millis(1_000);
        futures.all_end(now, Duration::from_millis(100)).is_err()
    }

    #[test]
    fn what_nobody_answers_is_found_and_what_is_answered_is_not() {
        let mut futures = Futures::default();
        let asked = [Asked::Proposal(1), Asked::Read(2), Asked::Snapshot(2)];
        for asked in asked {
            futures.ask(NODE, asked, Timestamp::ZERO);
        }
        for asked in asked {
            assert!(is_late(&futures), "{asked:?}");
            futures.answer(NODE, asked);
        }
        assert!(!is_late(&futures));
    }

    #[test]
    fn a_node_that_stops_has_answered_everybody_before() {
        let mut futures = Futures::default();
        futures.ask(NODE, Asked::Change(1), Timestamp::ZERO);
        futures.are_all_answered(NodeId::new(2)).unwrap();
        futures.are_all_answered(NODE).unwrap_err();
        futures.answer(NODE, Asked::Change(1));
        futures.are_all_answered(NODE).unwrap();
    }

    #[test]
    fn the_death_of_a_node_answers_whoever_waits_there_alone() {
        let mut futures = Futures::default();
        futures.ask(NODE, Asked::Transfer(1), Timestamp::ZERO);
        futures.ask(NodeId::new(2), Asked::Proposal(2), Timestamp::ZERO);
        futures.down(NODE);
        assert!(is_late(&futures));
        futures.down(NodeId::new(2));
        assert!(!is_late(&futures));
    }
}
