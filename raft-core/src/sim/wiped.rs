//! Nodes whose disks are lost as a whole, and that come back empty under their old names, as after a
//! careless reinstallation (RULES 18, 19). They abstain, for another life has their vote, until an
//! operator removes them; some are added again after that, under the same name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::Chance;
use super::check::Broken;
use super::cluster::{Cluster, Happening};
use super::disk::Disk;
use super::driver::SimNode;
use super::parts::Parts;
use super::situation::Situation;
use super::story::Mark;
use crate::change::MembershipChange;
use crate::id::{LogId, LogIndex, NodeId};
use crate::membership::Membership;

/// Who has come back empty, and has no vote since.
#[derive(Clone, Debug)]
pub(super) struct Wiped {
    chance: Chance,
    /// In half of the lives nobody does.
    happens: bool,
    /// Each with whether it is to be added again.
    nodes: BTreeMap<NodeId, bool>,
}

impl Wiped {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 22);
        Self {
            happens: chance.coin(),
            chance,
            nodes: BTreeMap::new(),
        }
    }

    pub(super) fn contains(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }
}

impl SimNode {
    /// Nothing is left on its disk, and nothing tells it that something was there.
    fn forget_everything(&mut self, keeps_initial_membership: bool) {
        let lost = std::mem::take(&mut self.disk);
        self.former_disks.push(lost.durable().clone());
        self.disk = Disk::default();
        if !keeps_initial_membership {
            self.initial_membership = None;
        }
        self.parts = Parts::default();
        self.inbox = self.parts.inbox();
    }
}

impl Cluster {
    /// Whether the node whose disk is gone comes back empty, as if it was new. Nobody may be left
    /// whose log ends with the founding membership: to such a candidate votes count by name, which is
    /// the window that the manual names.
    pub(super) fn lets_come_back_empty(&mut self, id: NodeId) -> bool {
        let is_past_founding = |node: &SimNode| {
            node.raft.as_ref().is_some_and(|raft| {
                let at = raft.membership_at();
                let is_outside = at == LogId::ORIGIN && raft.membership().members().is_empty();
                is_outside || (!raft.membership().is_founding() && at.index <= raft.durable())
            })
        };
        let mut others = self.nodes.iter().filter(|(other, _)| **other != id);
        self.operator.wiped.happens
            && !self.plan.mishaps.is_beyond_contract
            && others.all(|(_, node)| is_past_founding(node))
            && self.operator.wiped.chance.coin()
    }

    /// Whether there are other founders, and every one has some of the log. One that has none would give
    /// its vote to a founder that founds the group once more, and a single founder needs no other.
    fn have_founders_a_log(&self, id: NodeId) -> bool {
        let is_founder = |other: &NodeId| *other != id && other.get() <= self.plan.nodes;
        let mut founders = self.nodes.iter().filter(|(other, _)| is_founder(other));
        let have_log = founders.all(|(_, node)| node.disk.durable().last() > LogIndex::ZERO);
        have_log && self.plan.nodes > 1
    }

    pub(super) fn come_back_empty(&mut self, id: NodeId) {
        let have_log = self.have_founders_a_log(id);
        let wiped = &mut self.operator.wiped;
        let is_added_again = wiped.chance.coin();
        // A founder that is started as ever founds the group once more, as far as it knows.
        let founds_again = wiped.chance.coin() && have_log;
        let after = wiped
            .chance
            .duration(Duration::ZERO, Duration::from_secs(2));
        wiped.nodes.insert(id, is_added_again);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.forget_everything(founds_again);
        }
        self.count("disks wiped");
        self.tell(Some(id), Mark::Fault, || "is set up anew".to_owned());
        self.schedule(after, Happening::Restart(id));
    }

    /// What the operator does about them, asking the leader of this settled membership; true if there
    /// was something to do.
    pub(super) fn look_after_wiped(
        &mut self,
        leader: NodeId,
        membership: &Membership,
    ) -> Result<bool, Broken> {
        let is_admitted = |id: NodeId| {
            let node = self.nodes.get(&id);
            node.is_some_and(|node| membership.admits(id, node.incarnation(id)))
        };
        let wiped = self
            .operator
            .wiped
            .nodes
            .iter()
            .map(|(id, again)| (*id, *again));
        let wiped: Vec<(NodeId, bool)> = wiped.collect();
        for (id, is_added_again) in wiped {
            if is_admitted(id) {
                self.operator.wiped.nodes.remove(&id);
                self.meet(Situation::WipedNodeBack);
                return Ok(true);
            }
            if is_added_again && membership.contains(id) && !membership.is_voter(id) {
                // A learner promises nothing that it could have forgotten.
                self.operator.wiped.nodes.remove(&id);
                continue;
            }
            let change = MembershipChange::new();
            let change = match (membership.contains(id), is_added_again) {
                (false, true) => change.add_voter(id, format!("node-{id}")),
                // One that has never been met since is met now, and written down.
                (true, true) if membership.incarnation(id).is_none() => continue,
                (true, true) => change.remove(id),
                (_, false) => continue,
            };
            self.tell(Some(leader), Mark::Fault, || {
                format!("is asked to have {id}, which is empty, anew")
            });
            self.request_change(leader, change)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether this node is to be replaced by another one.
    pub(super) fn is_to_be_replaced(&self, id: NodeId) -> bool {
        self.is_lost(id) || self.operator.wiped.nodes.get(&id) == Some(&false)
    }
}
