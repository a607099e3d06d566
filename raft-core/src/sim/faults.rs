//! What goes wrong, and when: drawn each millisecond, and aimed at the worst moments.

use std::time::Duration;

use super::check::{Broken, Held};
use super::cluster::{Cluster, Happening};
use super::story::Mark;
use crate::change::MembershipChange;
use crate::consensus::{Event, To};
use crate::id::NodeId;

impl Cluster {
    pub(super) fn faults_go_on(&self) -> bool {
        !self.network.is_healed
    }

    /// Each millisecond, each fault may begin.
    pub(super) fn draw_faults(&mut self) -> Result<(), Broken> {
        if !self.faults_go_on() {
            return Ok(());
        }
        self.schedule(Duration::from_millis(1), Happening::Faults);
        self.draw_mishaps()?;
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let Some(victim) = self.chance.pick(&ids).copied() else {
            return Ok(());
        };
        if self.chance.happens(self.plan.crash) {
            self.crash_and_restart(victim);
        }
        if self.chance.happens(self.plan.partition) {
            let one_way = self.network.cut_some(&ids);
            self.count(if one_way {
                "one-way partitions"
            } else {
                "partitions"
            });
            self.tell(None, Mark::Fault, || "the network is cut".to_owned());
            self.observe_cut();
            self.burst()?;
            let heals = self
                .chance
                .duration(Duration::ZERO, 10 * self.plan.config.election_timeout);
            self.schedule(heals, Happening::HealPartition);
        }
        if self.chance.happens(self.plan.pause) {
            let length = self
                .chance
                .duration(Duration::ZERO, 5 * self.plan.config.election_timeout);
            self.pause(victim, length);
        }
        if self.chance.happens(self.plan.churn) {
            self.change_membership()?;
        }
        if self.chance.happens(self.plan.transfer)
            && let Some(leader) = self.any_leader()
        {
            let to = if self.chance.coin() {
                To::Best
            } else {
                To::Node(victim)
            };
            self.request_transfer(leader, to)?;
        }
        if self.chance.happens(self.plan.election_kick) {
            self.count("elections kicked");
            self.step(victim, Event::CampaignRequested)?;
        }
        self.draw_requests(&ids)?;
        self.draw_tampering(&ids)?;
        self.strike()
    }

    /// Somebody joins, leaves, gets or loses a vote; sometimes several at once.
    fn change_membership(&mut self) -> Result<(), Broken> {
        let Some(leader) = self.any_leader() else {
            return Ok(());
        };
        let raft = self.nodes.get(&leader).and_then(|node| node.raft.as_ref());
        let Some(membership) = raft.map(|raft| raft.status().membership) else {
            return Ok(());
        };
        if self.is_any_impaired(&membership) {
            return Ok(()); // The operator replaces that one first.
        }
        // Nobody gives a vote to who is not what it was.
        let ids = self.nodes.keys().copied();
        let ids = ids.filter(|id| !self.is_impaired(*id));
        let ids: Vec<NodeId> = ids.collect();
        let mut change = MembershipChange::new();
        for _ in 0..self.chance.between(1, 3) {
            let Some(node) = self.chance.pick(&ids).copied() else {
                continue;
            };
            if self.is_impaired(node) && !self.plan.mishaps.is_beyond_contract {
                continue; // A group that takes in a damaged node has one sound disk less.
            }
            let (address, choice) = (format!("node-{node}"), self.chance.coin());
            change = match (membership.contains(node), membership.is_voter(node)) {
                (false, _) if choice => change.add_voter(node, address),
                (false, _) => change.add_learner(node, address),
                (true, false) if choice => change.promote(node),
                (true, true) if choice => change.demote(node),
                (true, _) => change.remove(node),
            };
        }
        if self.chance.happens(100_000) {
            change = MembershipChange::abort();
        }
        self.request_change(leader, change)
    }

    /// A crash at the worst moment: right after a vote or an election, or when a sync begins.
    pub(super) fn aim_crash(&mut self, id: NodeId) {
        if self.faults_go_on() && self.chance.happens(self.plan.aimed_crash / 10) {
            self.count("aimed crashes");
            self.crash_and_restart(id);
        }
        self.strike_crash(id);
    }

    pub(super) fn crash_and_restart(&mut self, id: NodeId) {
        self.crash(id);
        let is_quick = self.chance.coin() || self.plan.adversary.restarts_at_once;
        let high = if is_quick { 60 } else { 3_000 };
        let down = self
            .chance
            .duration(Duration::ZERO, Duration::from_millis(high));
        self.schedule(down, Happening::Restart(id));
    }

    /// Nothing new goes wrong. Pauses that have begun run out by themselves.
    pub(super) fn end_faults(&mut self) -> Held {
        self.network.heal();
        self.network.end_flapping();
        self.network.is_healed = true;
        self.look_for_damage()?;
        self.plan.think = self.plan.think.max(Duration::from_millis(250));
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            self.schedule(Duration::ZERO, Happening::Restart(id));
        }
        self.tell(None, Mark::Fault, || "faults end".to_owned());
        Ok(())
    }
}
