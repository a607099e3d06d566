//! At most one leader can be elected in a given term.

use super::{Checks, Held, broken};
use crate::id::{Incarnation, NodeId, Term};
use crate::sim::watch::Step;

const PROPERTY: &str = "election safety";

impl Checks {
    pub(in crate::sim) fn elected(&mut self, term: Term, leader: NodeId) -> Held {
        match self.leaders.insert(term, leader) {
            Some(other) if other != leader => broken(
                PROPERTY,
                format!("nodes {other} and {leader} both lead term {term}"),
            ),
            Some(_) => broken(
                PROPERTY,
                format!("node {leader} was elected twice in term {term}"),
            ),
            None => Ok(()),
        }
    }

    /// A vote left a node, or a candidate asked for others' and so used its own. Remembered across
    /// crashes. Of a life whose disk is lost no vote counts together with one of the next.
    pub(in crate::sim) fn voted(
        &mut self,
        (voter, life): (NodeId, Incarnation),
        term: Term,
        candidate: NodeId,
    ) -> Held {
        match self.votes.insert((voter, term, life), candidate) {
            Some(other) if other != candidate => broken(
                PROPERTY,
                format!("node {voter} voted for {other} and for {candidate} in term {term}"),
            ),
            Some(_) | None => Ok(()),
        }
    }

    /// A leader has the votes of a majority (of each half), given in its term: by the lives that the
    /// membership tells, or by name if it tells of none (RULES 18).
    pub(in crate::sim) fn has_votes(&self, step: &Step<'_>, own: Incarnation) -> Held {
        let (leader, term) = (step.node, step.after.term);
        // The first entry of a founder tells who has elected it.
        let membership = &step.moment.membership;
        let votes = |voter: &&NodeId| {
            let (first, last) = match membership.incarnation(**voter) {
                Some(life) => (life, life),
                None if membership.is_founding() => {
                    (Incarnation::new(0), Incarnation::new(u64::MAX))
                }
                None => return false,
            };
            if **voter == leader {
                return first <= own && own <= last;
            }
            let mut given = self
                .votes
                .range((**voter, term, first)..=(**voter, term, last));
            given.any(|(_, candidate)| *candidate == leader)
        };
        for half in [membership.voters(), membership.outgoing()] {
            let given = half.iter().filter(votes).count();
            if given * 2 <= half.len() && !half.is_empty() {
                let detail =
                    format!("node {leader} leads term {term} with {given} votes of {half:?}");
                return broken(PROPERTY, detail);
            }
        }
        Ok(())
    }

    /// The latest term that had a leader.
    pub(in crate::sim) fn newest_term(&self) -> Term {
        self.leaders.keys().next_back().copied().unwrap_or_default()
    }

    pub(in crate::sim) fn elections(&self) -> u64 {
        self.leaders.len() as u64
    }
}
