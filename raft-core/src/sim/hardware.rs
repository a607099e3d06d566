//! Disks that are full, slow, failing, damaged or lost, clocks that jump, and links that flap.

use std::time::Duration;

use super::check::{Broken, Held};
use super::cluster::{Cluster, Happening, Own};
use super::damage::{Damaged, Rot};
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{RoleName, Write};
use crate::id::NodeId;
use crate::time::Timestamp;

/// What a node runs on, besides what its disk holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hardware {
    /// No write has room before.
    pub(super) full_until: Timestamp,
    /// Every sync takes long before.
    pub(super) slow_until: Timestamp,
    /// A sync that begins before ends then, and writes gather behind it.
    pub(super) gathers_until: Timestamp,
    /// A later one that begins before ends then.
    pub(super) stands_until: Timestamp,
}

impl Cluster {
    /// Each millisecond, each of these faults may begin.
    pub(super) fn draw_mishaps(&mut self) -> Held {
        let mishaps = self.plan.mishaps.clone();
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let chance = &mut self.operator.chance;
        let Some(victim) = chance.pick(&ids).copied() else {
            return Ok(());
        };
        if chance.happens(mishaps.full_disk) {
            let length = chance.duration(Duration::ZERO, Duration::from_secs(3));
            let until = self.now + length;
            self.count("full disks");
            self.tell(Some(victim), Mark::Fault, || "its disk is full".to_owned());
            self.on_hardware(victim, |hardware| hardware.full_until = until);
        }
        if self.operator.chance.happens(mishaps.slow_disk) {
            let length = Duration::from_secs(2);
            let until = self.now + self.operator.chance.duration(Duration::ZERO, length);
            self.count("slow disks");
            self.tell(Some(victim), Mark::Fault, || "its disk is slow".to_owned());
            self.on_hardware(victim, |hardware| hardware.slow_until = until);
        }
        if self.operator.chance.happens(mishaps.clock_jump) {
            self.jump_clock(victim);
        }
        if self.operator.chance.happens(mishaps.flapping) {
            self.begin_flapping(victim);
        }
        if self.operator.chance.happens(mishaps.rot) && self.may_lose(victim) {
            self.rot(victim)?;
        }
        if self.operator.chance.happens(mishaps.loss) && self.may_lose(victim) {
            self.operator.harms_left -= 1;
            self.count("lost disks");
            self.meet_if_leads(victim, Situation::LeaderLostItsDisk);
            self.go_down(victim, "loses its disk");
            self.on_lost_disk(victim);
        }
        Ok(())
    }

    pub(super) fn on_hardware(&mut self, id: NodeId, change: impl FnOnce(&mut Hardware)) {
        if let Some(node) = self.nodes.get_mut(&id) {
            change(&mut node.hardware);
        }
    }

    /// Forward it jumps far, as after a suspension; backward by less than an election timeout,
    /// for the core does not let time go back: to it the clock stands still.
    fn jump_clock(&mut self, id: NodeId) {
        self.count("clock jumps");
        let timeout = self.plan.config.election_timeout;
        let is_forward = self.operator.chance.coin();
        let most = if is_forward { 10 * timeout } else { timeout };
        let by = self.operator.chance.duration(Duration::ZERO, most);
        self.meet_if_leads(id, Situation::LeadersClockJumped);
        self.tell(Some(id), Mark::Fault, || {
            let way = if is_forward { "forward" } else { "back" };
            format!("its clock jumps {way} by {by:?}")
        });
        if let Some(node) = self.nodes.get_mut(&id) {
            node.clock.jump(by, is_forward);
        }
        self.wake_when_due(id);
    }

    fn begin_flapping(&mut self, id: NodeId) {
        self.count("flapping links");
        self.tell(Some(id), Mark::Fault, || "its links flap".to_owned());
        let one_way = self.operator.chance.coin();
        let others: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.network.flap(id, &others, one_way);
        let turns = self.operator.chance.between(4, 20);
        self.schedule(Duration::ZERO, Happening::Flap(turns));
    }

    /// Flapping links break or heal, for about as long as an election takes.
    pub(super) fn turn_flapping(&mut self, turns_left: u64) {
        let Some(turns_left) = turns_left.checked_sub(1).filter(|_| self.faults_go_on()) else {
            return self.network.end_flapping();
        };
        self.network.turn_flapping();
        let most = 2 * self.plan.config.election_timeout;
        let after = self.operator.chance.duration(Duration::ZERO, most);
        self.schedule(after, Happening::Flap(turns_left));
    }

    fn rot(&mut self, id: NodeId) -> Held {
        let node = self.nodes.get_mut(&id);
        let rot = node.and_then(|node| node.disk.rot(&mut self.operator.chance));
        let Some(rot) = rot else {
            return Ok(());
        };
        self.operator.harms_left -= 1;
        self.count(match rot {
            Rot::Record(_) => "rotten records",
            Rot::HardState => "rotten votes",
            Rot::Data(_) => "rotten snapshots",
            Rot::Description(_) => "rotten descriptions",
        });
        self.tell(Some(id), Mark::Fault, || {
            format!("its disk is damaged: {rot:?}")
        });
        match self.operator.chance.coin() {
            true => self.stop_and_reopen(id, "is stopped soon after"),
            false => Ok(()),
        }
    }

    /// Whether the disk of this node has room.
    pub(super) fn is_full(&self, id: NodeId) -> bool {
        let node = self.nodes.get(&id);
        node.is_some_and(|node| self.faults_go_on() && node.hardware.full_until > self.now)
    }

    /// A write may fail, and stops its node then. Of it and what waits before it, some may be on
    /// the disk.
    pub(super) fn write_fails(&mut self, id: NodeId, write: &Write) -> Result<bool, Broken> {
        let is_full = self.is_full(id);
        let rate = self.plan.mishaps.failing_write;
        let fails = self.faults_go_on() && self.operator.chance.happens(rate);
        if !is_full && !fails {
            return Ok(false);
        }
        let (count, met) = if is_full {
            ("writes without room", Situation::StoppedByFullDisk)
        } else {
            ("failed writes", Situation::StoppedByFailedWrite)
        };
        self.count(count);
        self.meet(met);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.disk.write(write.clone());
        }
        self.stop_and_reopen(id, "cannot write, and stops")?;
        Ok(true)
    }

    /// A sync may fail, and stops its node then. What it was to store may be there or not.
    pub(super) fn sync_fails(&mut self, id: NodeId) -> Result<bool, Broken> {
        let rate = self.plan.mishaps.failing_sync;
        if !self.faults_go_on() || !self.operator.chance.happens(rate) {
            return Ok(false);
        }
        self.count("failed syncs");
        if mutant(Mutant::FailedSyncIgnored) {
            return Ok(true); // The node goes on as if nothing had happened.
        }
        self.meet_if_leads(id, Situation::LeaderStoppedByFailedSync);
        self.stop_and_reopen(id, "cannot sync, and stops")?;
        Ok(true)
    }

    pub(super) fn stop_and_reopen(&mut self, id: NodeId, what: &'static str) -> Held {
        self.stop(id, what)?;
        let most = Duration::from_secs(2);
        let after = self.operator.chance.duration(Duration::ZERO, most);
        self.schedule(after, Happening::Restart(id));
        Ok(())
    }

    /// How much longer a sync takes on a slow disk, or one that stands still.
    pub(super) fn slowness(&mut self, id: NodeId) -> Duration {
        let node = self.nodes.get(&id).filter(|_| self.faults_go_on());
        let Some(hardware) = node.map(|node| node.hardware) else {
            return Duration::ZERO;
        };
        let stands = match hardware.gathers_until.since(self.now) {
            Duration::ZERO => hardware.stands_until.since(self.now),
            gathers => gathers,
        };
        if hardware.slow_until <= self.now {
            return stands;
        }
        let (low, high) = (Duration::from_millis(50), Duration::from_millis(500));
        stands.max(self.operator.chance.duration(low, high))
    }

    /// What a node reads is damaged: it stops. If that is still so when it is started again, it
    /// does not start.
    pub(super) fn stop_for_damage(&mut self, id: NodeId, damaged: &Damaged) -> Held {
        self.tell(Some(id), Mark::Fault, || {
            format!("{} is damaged", damaged.0)
        });
        self.meet(Situation::DamageFoundWhileRunning);
        self.stop_and_reopen(id, "reads damage, and stops")
    }

    pub(super) fn meet_if_leads(&mut self, id: NodeId, situation: Situation) {
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        if raft.is_some_and(|raft| raft.standing().role == RoleName::Leader) {
            self.meet(situation);
        }
    }

    /// A snapshot that was taken is to be stored, if there is room.
    pub(super) fn snapshot_has_no_room(&mut self, id: NodeId) -> bool {
        let is_full = self.is_full(id);
        if is_full {
            self.meet(Situation::SnapshotWithoutRoom);
        }
        is_full
    }

    /// What was sent to a full disk does not arrive.
    pub(super) fn refuse_snapshot(&mut self, own: Own, from: NodeId, life: u64) {
        self.meet(Situation::SnapshotWithoutRoom);
        self.schedule(Duration::ZERO, Happening::Own(from, life, own));
    }
}
