//! What strikes at the worst moment: aimed faults, drawn apart from those that strike at random, so
//! that a seed without them stands for the same life as ever.

use std::collections::BTreeSet;
use std::time::Duration;

use super::chance::Chance;
use super::check::Broken;
use super::cluster::{Cluster, Happening};
use super::plan::Plan;
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::{Event, RoleName};
use crate::id::{GroupId, Incarnation, NodeId};
use crate::message::{Body, Message};

/// How the adversary of one life strikes. Rates are per million; all are zero in every second life.
#[derive(Clone, Debug, Default)]
pub struct Adversary {
    /// Crashes right after a vote was given, an election won, or a sync begun.
    pub aimed_crash: u64,
    /// Crashes right after the membership changed.
    pub change_crash: u64,
    /// A crashed node is back within milliseconds.
    pub restarts_at_once: bool,
    /// The newest leader, or the newest voter, is cut off from everybody; each millisecond.
    pub cut: u64,
    /// The newest leader is paused for longer than it takes to replace it; each millisecond.
    pub leader_pause: u64,
    /// What waits for a paused node comes one by one when it goes on, and clients ask in between.
    pub asks_the_resumed: bool,
    /// A paused node notices what time it is before it hears what it was told.
    pub wakes_first: bool,
    /// When the network heals, the newest leader crashes, and those who were cut off campaign.
    pub strikes_at_healing: bool,
    /// Elections begun by followers; each millisecond.
    pub kick: u64,
    /// Messages that come again much later.
    pub old_copies: u64,
    /// Messages that come to a group of the same nodes from another one, and orders to campaign
    /// from who does not lead; each millisecond.
    pub strangers: u64,
    /// A state machine takes up to seconds to restore a snapshot.
    pub slow_restore: bool,
    /// Reading old entries from disk takes up to seconds.
    pub slow_fetch: bool,
    /// Every message and every sync takes as long as the other, no clock drifts, and nothing is
    /// lost: nothing but chance within the nodes tells them apart.
    pub lockstep: bool,
}

impl Adversary {
    /// The adversary of a seed.
    pub(super) fn from_seed(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 7);
        if seed % 10 == 9 {
            // A quiet seed; the next word has the nodes alone.
            return Self {
                lockstep: chance.coin(),
                ..Self::default()
            };
        }
        if chance.coin() {
            return Self::default();
        }
        let mut rate = |high: u64| if chance.coin() { 0 } else { high };
        let (aimed_crash, cut, leader_pause) = (rate(5_000), rate(600), rate(1_000));
        let (kick, old_copies, strangers) = (rate(4_000), rate(30_000), rate(10_000));
        Self {
            aimed_crash,
            change_crash: rate(100_000),
            restarts_at_once: chance.coin(),
            cut,
            leader_pause,
            asks_the_resumed: chance.coin(),
            wakes_first: chance.coin(),
            strikes_at_healing: chance.coin(),
            kick,
            old_copies,
            strangers,
            slow_restore: chance.coin(),
            slow_fetch: chance.coin(),
            lockstep: false,
        }
    }

    /// Makes the plan of a life worse where the adversary wants it.
    pub(super) fn sharpen(&self, plan: &mut Plan) {
        let mut chance = Chance::new(plan.seed, 9);
        if self.lockstep {
            let same = Duration::from_millis(1);
            plan.latency = (same, same);
            plan.sync = (same, same);
            plan.drift = 0;
        }
        if self.is_idle() {
            return;
        }
        if chance.coin() {
            plan.config.snapshot_entries = chance.between(1, 8);
            plan.config.trailing_entries = chance.below(3);
        }
        if chance.coin() {
            plan.config.cached_bytes_max = 1;
        }
        if chance.coin() {
            plan.sync = (Duration::ZERO, Duration::from_millis(100));
            plan.disk_stall = plan.disk_stall.max(2_000);
        }
        if chance.coin() {
            plan.long_delay = plan.long_delay.max(20_000);
        }
        if chance.coin() {
            plan.think = Duration::from_millis(chance.between(1, 10));
        }
        if chance.coin() {
            plan.config.lease_reads = true;
            plan.drift = DRIFT_MAX;
        }
        if chance.coin() {
            plan.churn = plan.churn.max(1_000);
            plan.transfer = plan.transfer.max(300);
        }
    }

    fn is_idle(&self) -> bool {
        self.aimed_crash + self.cut + self.leader_pause + self.kick + self.old_copies == 0
    }
}

impl Cluster {
    /// Each millisecond: the faults that are aimed at somebody.
    pub(super) fn strike(&mut self) -> Result<(), Broken> {
        let plan = self.plan.adversary.clone();
        if self.strikes.happens(plan.cut) && self.operator.aims.holds(self.now).is_none() {
            self.cut_off()?;
        }
        if self.strikes.happens(plan.leader_pause)
            && let Some((_, leader)) = self.newest_office()
        {
            let timeout = self.plan.config.election_timeout;
            let length = self.strikes.duration(timeout, 6 * timeout);
            self.pause(leader, length);
        }
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        if self.strikes.happens(plan.kick)
            && let Some(node) = self.strikes.pick(&ids).copied()
        {
            self.count("elections kicked");
            self.step(node, Event::CampaignRequested)?;
        }
        if self.strikes.happens(plan.strangers) {
            self.send_strange(&ids)?;
        }
        Ok(())
    }

    /// Exactly the newest leader is cut off, or exactly the newest voter; and clients do not know.
    fn cut_off(&mut self) -> Result<(), Broken> {
        let Some((_, leader)) = self.newest_office() else {
            return Ok(());
        };
        let voters = self.nodes.get(&leader).and_then(|node| node.raft.as_ref());
        let newest = voters.and_then(|raft| raft.membership().voters().last().copied());
        let victim = if self.strikes.happens(700_000) {
            leader
        } else {
            newest.unwrap_or(leader)
        };
        self.count("partitions");
        self.tell(Some(victim), Mark::Fault, || "is cut off".to_owned());
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let timeout = self.plan.config.election_timeout;
        // Sometimes one stays with it: alone it would notice sooner.
        let friend = self.strikes.pick(&ids).copied();
        let friend = friend.filter(|_| self.strikes.coin());
        let others = ids.iter().filter(|other| Some(**other) != friend);
        self.network.cut_off(victim, others.copied());
        if let Some(friend) = friend.filter(|friend| *friend != victim) {
            let others = ids.iter().filter(|other| **other != victim);
            self.network.cut_off(friend, others.copied());
        }
        self.observe_cut();
        let heals = self.strikes.duration(timeout, 8 * timeout);
        let aimed = match friend.filter(|friend| *friend != victim) {
            Some(friend) => self.stall_friend(victim, friend)?,
            None => None,
        };
        let heals = aimed.unwrap_or(heals);
        self.schedule(heals, Happening::HealPartition);
        self.hurry_succession(victim, &ids);
        Ok(())
    }

    /// Whoever else is there campaigns as soon as it may, and not a moment later.
    fn hurry_succession(&mut self, lost: NodeId, ids: &[NodeId]) {
        let timeout = self.plan.config.election_timeout;
        for heir in ids.iter().filter(|heir| **heir != lost) {
            for tick in 0..HURRIES {
                let after = timeout * 8 / 10 + tick * timeout / 50;
                self.schedule(after, Happening::Kick(*heir));
            }
        }
    }

    pub(super) fn pause(&mut self, victim: NodeId, length: Duration) {
        self.count("pauses");
        self.tell(Some(victim), Mark::Fault, || "is paused".to_owned());
        let until = self.now + length;
        if let Some(node) = self.nodes.get_mut(&victim) {
            node.paused_until = node.paused_until.max(until);
        }
        self.observe_pause(victim);
        self.schedule_at(until, Happening::Resume(victim));
    }

    /// A message of another group, or an order from who does not lead.
    fn send_strange(&mut self, ids: &[NodeId]) -> Result<(), Broken> {
        let pair = (self.strikes.pick(ids), self.strikes.pick(ids));
        let (Some(from), Some(to)) = (pair.0.copied(), pair.1.copied()) else {
            return Ok(());
        };
        let is_awake = |id: NodeId| self.nodes.get(&id).filter(|n| n.paused_until <= self.now);
        let Some(raft) = is_awake(to).and_then(|node| node.raft.as_ref()) else {
            return Ok(());
        };
        let brief = raft.status_brief();
        let is_of_group = self.strikes.coin();
        let leads = self
            .newest_office()
            .is_some_and(|(_, leader)| leader == from);
        if from == to || (is_of_group && leads) {
            return Ok(());
        }
        let (group, term, body) = if is_of_group {
            (GroupId::default(), brief.term, Body::TimeoutNow)
        } else {
            let (round, commit) = (crate::message::Round(1), brief.last.index);
            (
                GroupId::new(7),
                brief.term.next(),
                Body::Heartbeat { round, commit },
            )
        };
        self.count("messages of strangers");
        let message = Message {
            group,
            from,
            incarnation: Incarnation::new(from.get()),
            to,
            term,
            body,
        };
        self.step(to, Event::Received(message))
    }

    /// The network heals. Those who were cut off campaign before they hear what was decided
    /// without them, and who decided it is gone.
    pub(super) fn strike_at_healing(&mut self, victims: &BTreeSet<NodeId>) -> Result<(), Broken> {
        if !self.faults_go_on() || !self.plan.adversary.strikes_at_healing {
            return Ok(());
        }
        if let Some((_, leader)) = self.newest_office()
            && !victims.contains(&leader)
        {
            self.count("aimed crashes");
            self.crash_and_restart(leader);
        }
        for victim in victims.iter().copied() {
            for kick in 0..4 {
                let after = (kick * 2 + 1) * self.plan.config.election_timeout / 2;
                self.schedule(after, Happening::Kick(victim));
            }
        }
        Ok(())
    }

    /// A crash right after the membership changed.
    pub(super) fn strike_change(&mut self, id: NodeId) {
        if self.faults_go_on() && self.strikes.happens(self.plan.adversary.change_crash) {
            self.count("aimed crashes");
            self.crash_and_restart(id);
        }
    }

    /// A crash right after something that must not be forgotten.
    pub(super) fn strike_crash(&mut self, id: NodeId) {
        if self.faults_go_on() && self.strikes.happens(self.plan.adversary.aimed_crash) {
            self.count("aimed crashes");
            self.crash_and_restart(id);
        }
    }

    /// How long a restore, or a read from disk, takes besides the usual.
    pub(super) fn held_up(&mut self, is_slow: bool) -> Duration {
        if is_slow && self.faults_go_on() {
            return self.strikes.duration(Duration::ZERO, SLOW_MAX);
        }
        Duration::ZERO
    }

    /// When a copy of a message comes much later, if it does.
    pub(super) fn old_copy(&mut self, times: u64) -> Option<Duration> {
        let rate = times * self.plan.adversary.old_copies;
        let comes = self.faults_go_on() && self.strikes.happens(rate);
        let latest = 20 * self.plan.config.election_timeout;
        comes.then(|| self.strikes.duration(Duration::ZERO, latest))
    }

    /// A paused node goes on: what was told to it comes one by one, and clients that have waited
    /// for this moment ask it at once, before, between, and after.
    pub(super) fn resume(&mut self, id: NodeId) -> Result<(), Broken> {
        let (adversary, now) = (self.plan.adversary.clone(), self.now);
        let is_up =
            |node: &&super::driver::SimNode| node.raft.is_some() && node.paused_until <= now;
        if self.nodes.get(&id).filter(is_up).is_none() {
            self.release_held(id);
            return Ok(());
        }
        let leads = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        let leads = leads.is_some_and(|raft| raft.standing().role == RoleName::Leader);
        if adversary.asks_the_resumed && leads {
            self.meet(Situation::ResumedLeaderAsked);
            let held = self
                .nodes
                .get_mut(&id)
                .map(|node| std::mem::take(&mut node.held));
            let held = held.unwrap_or_default();
            let clients = self.plan.clients;
            for client in 0..clients {
                self.ask_at(client, id)?;
            }
            let step = Duration::from_micros(20);
            for (happening, at) in held.into_iter().zip(1_u32..) {
                if matches!(happening, Happening::Own(..)) {
                    self.schedule(Duration::ZERO, happening); // Its own matters stay in order.
                    continue;
                }
                self.schedule(step * at, happening);
                let client = u64::from(at) % clients.max(1);
                self.schedule(step * at + step / 2, Happening::Ask(client, id));
            }
        }
        if adversary.wakes_first {
            self.step(id, Event::TimePassed)?;
        }
        self.release_held(id);
        Ok(())
    }

    /// A client that waits for nothing asks this node to read.
    pub(super) fn ask_at(&mut self, client: u64, node: NodeId) -> Result<(), Broken> {
        // A user's clients ask what they like.
        if self.clients.waiting.contains_key(&client) || self.subject.is_some() || !self.is_up(node)
        {
            return Ok(());
        }
        self.begin_read(client, node)
    }
}

/// What the configuration promises to bear, in nanoseconds a millisecond.
const DRIFT_MAX: u64 = 100_000;
const SLOW_MAX: Duration = Duration::from_secs(3);
/// From 0.8 to 1.4 election timeouts after a leader was cut off.
const HURRIES: u32 = 30;
const _: () = assert!(
    SLOW_MAX.as_secs() < 4,
    "a life waits four seconds for what is delayed"
);

/// The lives of this adversary are still lives of a valid configuration.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_sharpened_plan_has_a_valid_configuration() {
        for seed in 0..500 {
            let plan = Plan::from_seed(seed);
            assert_eq!(plan.config.validate(), Ok(()), "seed {seed}");
            let drift_max = u64::from(Config::default().clock_drift_max_percent) * 10_000;
            assert!(plan.drift <= drift_max, "seed {seed}");
        }
    }
}
