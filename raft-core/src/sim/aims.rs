//! A snapshot that overtakes writes: what a leader sends to the one that is cut off with it waits for a
//! disk that stands still, until the others have another leader, and a snapshot of less than that.

use std::time::Duration;

use super::chance::Chance;
use super::check::Broken;
use super::cluster::{Cluster, Happening};
use super::story::Mark;
use crate::id::NodeId;
use crate::time::Timestamp;

/// In one life of three, and in a stream of its own.
#[derive(Clone, Debug)]
pub(super) struct Aims {
    chance: Chance,
    happens: bool,
    /// Which leader is cut off, and until when at most.
    cut_off: Option<(NodeId, Timestamp)>,
}

impl Aims {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 31);
        Self {
            happens: chance.below(3) == 0,
            chance,
            cut_off: None,
        }
    }

    /// Until when the network stays as it is.
    pub(super) fn holds(&self, now: Timestamp) -> Option<Timestamp> {
        let (_, until) = self.cut_off?;
        (until > now).then_some(until)
    }
}

impl Cluster {
    /// This leader has been cut off with this friend; when the network heals, if that is aimed at.
    pub(super) fn stall_friend(
        &mut self,
        leader: NodeId,
        friend: NodeId,
    ) -> Result<Option<Duration>, Broken> {
        if !self.operator.aims.happens || self.newest_office().map(|(_, id)| id) != Some(leader) {
            return Ok(None);
        }
        let timeout = self.plan.config.election_timeout;
        let heals = 6 * timeout;
        let aims = &mut self.operator.aims;
        let gathers_until = self.now + aims.chance.duration(Duration::ZERO, timeout / 2);
        let stands_until = self.now + heals + aims.chance.duration(timeout, 8 * timeout);
        aims.cut_off = Some((leader, self.now + heals));
        self.count("disks stalled by aim");
        self.tell(Some(friend), Mark::Fault, || {
            "its disk stands still, just now".to_owned()
        });
        self.on_hardware(friend, |hardware| {
            hardware.gathers_until = gathers_until;
            hardware.stands_until = stands_until;
        });
        self.burst_at(leader)?;
        Ok(Some(heals))
    }

    /// A node has stored a snapshot: if it leads in the place of the one that is cut off, the network
    /// heals, before there is more to tell.
    pub(super) fn heal_after_snapshot(&mut self, id: NodeId) {
        let Some((cut_off, _)) = self.operator.aims.cut_off else {
            return;
        };
        let leads = self.newest_office().is_some_and(|(_, leader)| leader == id);
        if leads && id != cut_off {
            self.operator.aims.cut_off = None;
            self.schedule(Duration::ZERO, Happening::HealPartition);
        }
    }
}
