//! The network between nodes: loses, repeats, delays, and cuts links one way or both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::chance::Chance;
use super::plan::Plan;
use crate::id::NodeId;
use crate::time::Timestamp;

/// Decides the way of each message.
#[derive(Clone, Debug)]
pub(super) struct Network {
    chance: Chance,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Who was cut off on purpose.
    victims: BTreeSet<NodeId>,
    /// Links that break and heal again and again, and whether they are broken now.
    flapping: BTreeSet<(NodeId, NodeId)>,
    is_flapped: bool,
    /// When the last message of each link so far arrives.
    newest: BTreeMap<(NodeId, NodeId), Timestamp>,
    /// Faults have ended.
    pub(super) is_healed: bool,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) delayed: u64,
    pub(super) reordered: u64,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, 1),
            cut: BTreeSet::new(),
            victims: BTreeSet::new(),
            flapping: BTreeSet::new(),
            is_flapped: false,
            newest: BTreeMap::new(),
            is_healed: false,
            lost: 0,
            repeated: 0,
            delayed: 0,
            reordered: 0,
        }
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        let link = (from, to);
        self.cut.contains(&link) || (self.is_flapped && self.flapping.contains(&link))
    }

    /// A message that is sent now arrives `after` that: perhaps before one that was sent earlier.
    pub(super) fn note_order(&mut self, from: NodeId, to: NodeId, arrives: Timestamp) {
        let newest = self.newest.entry((from, to)).or_insert(arrives);
        if arrives < *newest {
            self.reordered += 1;
        }
        *newest = arrives.max(*newest);
    }

    /// From now on the links between `node` and the others break and heal, or, one way, only what
    /// leads to it.
    pub(super) fn flap(&mut self, node: NodeId, others: &[NodeId], one_way: bool) {
        for other in others.iter().filter(|other| **other != node) {
            self.flapping.insert((*other, node));
            if !one_way {
                self.flapping.insert((node, *other));
            }
        }
    }

    /// What flaps breaks, or heals.
    pub(super) fn turn_flapping(&mut self) {
        self.is_flapped = !self.is_flapped;
    }

    pub(super) fn end_flapping(&mut self) {
        self.flapping.clear();
        self.is_flapped = false;
    }

    /// When a message arrives: never, once, or twice.
    pub(super) fn delays(&mut self, plan: &Plan, from: NodeId, to: NodeId) -> Vec<Duration> {
        if self.is_cut(from, to) || (!self.is_healed && self.chance.happens(plan.loss)) {
            self.lost += 1;
            return Vec::new();
        }
        let copies = if !self.is_healed && self.chance.happens(plan.duplication) {
            self.repeated += 1;
            2
        } else {
            1
        };
        (0..copies).map(|_| self.delay(plan)).collect()
    }

    /// How long one transmission takes.
    pub(super) fn delay(&mut self, plan: &Plan) -> Duration {
        let (low, high) = plan.latency;
        if !self.is_healed && self.chance.happens(plan.long_delay) {
            self.delayed += 1;
            return self
                .chance
                .duration(high, 10 * plan.config.election_timeout);
        }
        self.chance.duration(low, high)
    }

    /// Cuts the cluster in two, or links at random, in one direction or both. Whether in one only.
    pub(super) fn cut_some(&mut self, nodes: &[NodeId]) -> bool {
        let is_split = self.chance.coin();
        let one_way = self.chance.happens(300_000);
        let left: BTreeSet<NodeId> = nodes
            .iter()
            .copied()
            .filter(|_| self.chance.coin())
            .collect();
        for from in nodes {
            for to in nodes {
                let is_cut = if is_split {
                    left.contains(from) && !left.contains(to)
                } else {
                    self.chance.happens(250_000)
                };
                if is_cut && from != to {
                    self.cut.insert((*from, *to));
                    if !one_way {
                        self.cut.insert((*to, *from));
                    }
                }
            }
        }
        one_way
    }

    /// Cuts the links between a node and these others, both ways.
    pub(super) fn cut_off(&mut self, victim: NodeId, others: impl Iterator<Item = NodeId>) {
        self.victims.insert(victim);
        for other in others.filter(|other| *other != victim) {
            self.cut.insert((victim, other));
            self.cut.insert((other, victim));
        }
    }

    /// Everybody reaches everybody again. Returns who was cut off on purpose.
    pub(super) fn heal(&mut self) -> BTreeSet<NodeId> {
        self.cut.clear();
        std::mem::take(&mut self.victims)
    }
}
