//! The network between nodes: loses, repeats, delays, and cuts links one way or both.

use std::collections::BTreeSet;
use std::time::Duration;

use super::chance::Chance;
use super::plan::Plan;
use crate::id::NodeId;

/// Decides the way of each message.
#[derive(Clone, Debug)]
pub(super) struct Network {
    chance: Chance,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Who was cut off on purpose.
    victims: BTreeSet<NodeId>,
    /// Faults have ended.
    pub(super) is_healed: bool,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) delayed: u64,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, 1),
            cut: BTreeSet::new(),
            victims: BTreeSet::new(),
            is_healed: false,
            lost: 0,
            repeated: 0,
            delayed: 0,
        }
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
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

    /// Cuts the cluster in two, or links at random, in one direction or both.
    pub(super) fn cut_some(&mut self, nodes: &[NodeId]) {
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
