//! The turns of single nodes. A core is a function of its state and of what it takes in, so each
//! pair is computed once, however many states of the group it occurs in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::action::What;
use super::bounds::Bounds;
use super::facts::is_decision;
use super::node::{Fact, Node, Turn};
use super::parcels::Parcels;
use super::table::{Id, Table};
use crate::sim::check::Broken;
use crate::sim::cluster::panic_text;

/// All states of nodes, and how they lead to each other.
#[derive(Debug, Default)]
pub(super) struct Turns {
    fingerprints: Table<u128>,
    nodes: Vec<Node>,
    known: Table<(Id, What)>,
    outcomes: Vec<Outcome>,
    facts: Vec<Vec<Fact>>,
}

/// What a turn leads to.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) node: Id,
    pub(super) sent: Box<[Id]>,
    /// The facts that it shows, by number; none if there are none.
    pub(super) facts: Option<Id>,
    /// Whether one of them must be compared with other nodes' disks.
    pub(super) decides: bool,
}

impl Turns {
    /// The number of a node's state.
    pub(super) fn number(&mut self, node: Node) -> Id {
        let (id, is_new) = self.fingerprints.number(node.fingerprint());
        if is_new {
            self.nodes.push(node);
        }
        id
    }

    pub(super) fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    pub(super) fn facts(&self, id: Id) -> &[Fact] {
        let facts = usize::try_from(id).ok().and_then(|id| self.facts.get(id));
        facts.map_or(&[], Vec::as_slice)
    }

    /// What comes of `what` at a node in this state.
    ///
    /// # Errors
    /// What it breaks, a panic of the core included.
    pub(super) fn take(
        &mut self,
        node: Id,
        what: What,
        bounds: &Bounds,
        parcels: &mut Parcels,
    ) -> Result<Outcome, Broken> {
        if let Some(known) = self.known.find(&(node, what))
            && let Some(outcome) = self.outcomes.get(usize::try_from(known).unwrap_or(0))
        {
            return Ok(outcome.clone());
        }
        let (Some(before), Some(stimulus)) = (self.node(node), what.stimulus(parcels)) else {
            return Ok(Outcome::nothing(node));
        };
        let turn = catch_unwind(AssertUnwindSafe(|| Turn::take(before, stimulus, bounds)));
        let turn = turn.unwrap_or_else(|panic| {
            Err(Broken {
                property: "no panic",
                detail: panic_text(&*panic),
            })
        })?;
        let outcome = self.outcome(turn, parcels);
        self.known.number((node, what));
        self.outcomes.push(outcome.clone());
        Ok(outcome)
    }

    fn outcome(&mut self, turn: Turn, parcels: &mut Parcels) -> Outcome {
        let Turn {
            node, sent, facts, ..
        } = turn;
        let decides = facts.iter().any(is_decision);
        let facts = (!facts.is_empty()).then(|| {
            self.facts.push(facts);
            Id::try_from(self.facts.len() - 1).unwrap_or(Id::MAX)
        });
        let sent = sent.into_iter().map(|parcel| parcels.number(parcel));
        Outcome {
            node: self.number(node),
            sent: sent.collect(),
            facts,
            decides,
        }
    }

    /// How many states of nodes there are, and how many turns were computed.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.nodes.len(), self.outcomes.len())
    }

    pub(super) fn bytes(&self) -> usize {
        self.fingerprints.bytes()
            + self.known.bytes()
            + self.outcomes.capacity() * size_of::<Outcome>()
    }
}

impl Outcome {
    fn nothing(node: Id) -> Self {
        Self {
            node,
            sent: Box::default(),
            facts: None,
            decides: false,
        }
    }
}
