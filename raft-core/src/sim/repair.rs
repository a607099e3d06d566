//! Damaged and lost disks on which nodes begin anew, under their old names and without an operator.

use std::time::Duration;

use super::check::{Broken, Held, broken};
use super::cluster::{Cluster, Happening};
use super::damage::{Damage, Damaged};
use super::disk::{Disk, Image};
use super::driver::SimNode;
use super::situation::Situation;
use super::start;
use super::story::Mark;
use crate::consensus::Raft;
use crate::former_lives::FormerLives;
use crate::hard_state::Identity;
use crate::id::{ChainLink, Incarnation, NodeId};

/// How far apart the numbers of two lives of a node are.
const LIVES_APART: u64 = 100;

impl SimNode {
    /// Which life of node `id` this is: another one each time that its stores began anew.
    pub(super) fn incarnation(&self, id: NodeId) -> Incarnation {
        Incarnation::new(id.get() + LIVES_APART * self.renewals())
    }

    /// Whose stores the node `id` has.
    pub(super) fn identity(&self, id: NodeId) -> Identity {
        start::identity(id, self.incarnation(id))
    }

    /// Whether it began anew, and is not what it was before yet, as far as it knows.
    pub(super) fn is_repairing(&self) -> bool {
        let knows = self.raft.as_ref().is_none_or(Raft::is_repairing);
        self.disk.is_repairing() && knows
    }

    fn renewals(&self) -> u64 {
        self.former_disks.len() as u64
    }

    /// The disk of this life of node `id`, as it was when it was damaged or lost, or as it is.
    pub(super) fn disk_of(&self, id: NodeId, life: Incarnation) -> Option<&Image> {
        let before = life.get().checked_sub(id.get())? / LIVES_APART;
        let before = usize::try_from(before).ok()?;
        match before == self.former_disks.len() {
            true => Some(self.disk.durable()),
            false => self.former_disks.get(before),
        }
    }

    /// Whether some life of this node has had the entry on its disk.
    pub(super) fn has_held(&self, link: ChainLink) -> bool {
        let former = self.former_disks.iter();
        let mut disks = former.chain([self.disk.durable()]);
        disks.any(|disk| disk.holds(link))
    }

    /// The stores begin anew. What can be read of the damaged ones says whose they were; without that
    /// their snapshots are nobody's.
    fn begin_anew(&mut self, id: NodeId, reason: &str, is_readable: bool, keeps: bool) {
        let identity = self.identity(id);
        let damaged = std::mem::take(&mut self.disk);
        let image = damaged.durable();
        let identity = Some(identity).filter(|_| is_readable);
        let before = image.former.clone().filter(|_| is_readable);
        let former = FormerLives::new(identity, before, reason);
        self.disk = image.anew(former, is_readable && keeps);
        self.former_disks.push(image.clone());
    }
}

impl Disk {
    /// Whether it began anew, and the group does not count it yet, as far as it knows.
    pub(super) fn is_repairing(&self) -> bool {
        let former = self.durable().former.as_ref();
        former.is_some_and(|former| !former.is_repaired)
    }
}

impl Image {
    /// New stores, with the intact snapshots of these, if they are kept. A snapshot of the founding is
    /// no memory of who counts.
    fn anew(&self, former: FormerLives, keeps: bool) -> Disk {
        let Damage {
            data, descriptions, ..
        } = &self.damage;
        let mut disk = Disk::default();
        for (meta, machine) in self.snapshots() {
            let is_damaged = data.contains(&meta.id()) || descriptions.contains(&meta.id());
            let is_founding = meta.header.membership.is_founding();
            if keeps && !is_damaged && !is_founding {
                disk.keep_snapshot(meta.clone(), machine.clone());
            }
        }
        disk.durable_mut().former = Some(former);
        disk
    }
}

impl Cluster {
    /// A node does not start on damage. Either its stores begin anew, or it waits for the operator.
    pub(super) fn on_damage_at_start(
        &mut self,
        id: NodeId,
        damaged: &Damaged,
    ) -> Result<(), Broken> {
        self.meet(Situation::DamageFoundAtStart);
        self.tell(Some(id), Mark::Fault, || {
            format!("{} is damaged", damaged.0)
        });
        if !self.operator.lets_begin_anew() {
            self.lose(id);
            return Ok(());
        }
        self.begin_anew(id, &damaged.0);
        self.start(id)
    }

    /// The disk of a node is gone. Either a new one takes its place, under the same name, which may know
    /// of that or not, or the node waits for the operator.
    pub(super) fn on_lost_disk(&mut self, id: NodeId) {
        if !self.operator.lets_begin_anew() {
            return match self.lets_come_back_empty(id) {
                true => self.come_back_empty(id),
                false => self.lose(id),
            };
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.begin_anew(id, "the disk is lost", false, false);
        }
        self.tell(Some(id), Mark::Fault, || "gets another disk".to_owned());
        let after = self
            .operator
            .repairs
            .duration(Duration::ZERO, Duration::from_secs(2));
        self.schedule(after, Happening::Restart(id));
    }

    fn begin_anew(&mut self, id: NodeId, reason: &str) {
        let chance = &mut self.operator.repairs;
        let (is_readable, keeps) = (chance.below(4) > 0, chance.coin());
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let again = node.is_repairing();
        node.begin_anew(id, reason, is_readable, keeps);
        if again {
            self.meet(Situation::DamagedDuringRepair);
        }
        self.count("stores begun anew");
        self.tell(Some(id), Mark::Fault, || {
            let how = if is_readable {
                ""
            } else {
                ", with nothing readable"
            };
            format!("begins anew{how}")
        });
    }

    /// A node says that its repair is over.
    pub(super) fn on_repaired(&mut self, id: NodeId) -> Held {
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        let is_voter = raft.is_some_and(|raft| raft.membership().is_voter(id));
        self.count("nodes repaired");
        if is_voter {
            self.meet(Situation::DamagedVoterBack);
        }
        if raft_has_forgotten(self.nodes.get(&id), id) {
            let detail = format!("node {id} counts for a life that the membership does not tell");
            return broken(
                "who has lost its disk is not taken for its former self",
                detail,
            );
        }
        self.nodes
            .get(&id)
            .map_or(Ok(()), |node| self.checks.repaired(id, node))
    }

    /// Whether a member still waits to be counted again.
    pub(super) fn is_any_repairing(&self) -> bool {
        let leader = self.any_leader().and_then(|id| self.nodes.get(&id));
        let membership = leader.and_then(|node| Some(node.raft.as_ref()?.membership()));
        membership.is_some_and(|membership| {
            let mut members = membership.members().keys();
            members.any(|id| {
                let node = self.nodes.get(id);
                node.is_some_and(SimNode::is_repairing)
            })
        })
    }
}

/// Whether a voter is taken for another life than it is.
fn raft_has_forgotten(node: Option<&SimNode>, id: NodeId) -> bool {
    let Some(raft) = node.and_then(|node| node.raft.as_ref()) else {
        return false;
    };
    let membership = raft.membership();
    let own = node.map(|node| node.incarnation(id));
    membership.is_voter(id) && membership.incarnation(id) != own
}
