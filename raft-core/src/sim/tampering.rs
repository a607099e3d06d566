//! Disks that are not what their node left: an older image of the database, or the disk of another
//! node. Raft promises nothing to who runs on such a disk; a store promises to notice.
//!
//! A database counts its syncs, and says whose it is. The count is kept apart too, as a
//! [floor](crate::store::Floor): below it the database is older than it was.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::check::Held;
use super::cluster::Cluster;
use super::damage::Damaged;
use super::disk::{Disk, Image};
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::mutant::{Mutant, mutant};
use crate::id::NodeId;

/// What a database says of itself. It is no part of what a node's state is compared by: however often
/// a disk was synced, it holds the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    owner: Option<NodeId>,
    syncs: u64,
}

/// What is kept apart from the database, and what somebody has done to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    floor: u64,
    /// A copy that somebody has made.
    copy: Option<Box<Image>>,
    /// What stands in the place of the database from the next start on.
    replaced_by: Option<Box<Image>>,
}

impl Hash for Stamp {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Hash for Apart {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What was done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tampered {
    RolledBack,
    /// It is this node's.
    Swapped(NodeId),
}

impl fmt::Display for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RolledBack => f.write_str("gets an old image of its database back"),
            Self::Swapped(other) => write!(f, "gets the disk of {other}"),
        }
    }
}

impl Disk {
    /// A sync is done.
    pub(super) fn stamp(&mut self) {
        self.stamp_unsynced();
        self.apart.floor = self.durable().stamp.syncs;
    }

    /// Something reached the disk without a sync: the count is a part of what is written.
    pub(super) fn stamp_unsynced(&mut self) {
        self.durable_mut().stamp.syncs += 1;
    }

    /// Whether another image stands in its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.apart.replaced_by.is_some()
    }

    /// What a store looks at before it reads anything else: whose the database is, and whether it has
    /// lost what it had.
    pub(super) fn look(&mut self, id: NodeId) -> Result<(), Damaged> {
        let found = self.apart.replaced_by.as_deref();
        let stamp = found.unwrap_or(self.durable()).stamp;
        let is_foreign = stamp.owner.is_some_and(|owner| owner != id);
        if is_foreign && !mutant(Mutant::IdentityNotChecked) {
            return Err(Damaged(format!(
                "a disk that is another node's ({stamp:?})"
            )));
        }
        if !is_foreign && stamp.syncs < self.apart.floor && !mutant(Mutant::FloorNotChecked) {
            let floor = self.apart.floor;
            return Err(Damaged(format!(
                "a database below its floor of {floor} ({stamp:?})"
            )));
        }
        if let Some(image) = self.apart.replaced_by.take() {
            *self.durable_mut() = *image;
        }
        // From here on the node may speak of all that it has found.
        self.apart.floor = self.durable().stamp.syncs;
        self.durable_mut().stamp.owner = Some(id);
        Ok(())
    }
}

impl Cluster {
    /// Each millisecond, somebody may do something to a disk.
    pub(super) fn draw_tampering(&mut self, ids: &[NodeId]) -> Held {
        if !self.asks.happens(self.plan.tampering) {
            return Ok(());
        }
        let (victim, other) = (self.asks.pick(ids).copied(), self.asks.pick(ids).copied());
        let Some((victim, other)) = victim.zip(other) else {
            return Ok(());
        };
        let swaps = victim != other && self.asks.coin();
        if !swaps && self.copies(victim) {
            return Ok(());
        }
        if !self.may_lose(victim) || self.is_impaired(other) {
            return Ok(());
        }
        let theirs = self
            .nodes
            .get(&other)
            .map(|node| node.disk.durable().clone());
        let Some(disk) = self.nodes.get_mut(&victim).map(|node| &mut node.disk) else {
            return Ok(());
        };
        // Snapshots are kept elsewhere.
        let snapshots = disk.durable().clone();
        let (image, tampered) = if swaps {
            (theirs.map(Box::new), Tampered::Swapped(other))
        } else {
            let copy = disk.apart.copy.take();
            let copy = copy.map(|copy| Box::new(copy.with_snapshots_of(&snapshots)));
            (copy, Tampered::RolledBack)
        };
        disk.apart.replaced_by = image;
        self.operator.harms_left -= 1;
        self.count(match tampered {
            Tampered::RolledBack => "disks rolled back",
            Tampered::Swapped(_) => "disks swapped",
        });
        self.tell(Some(victim), Mark::Fault, || tampered.to_string());
        self.stop_and_reopen(victim, "is stopped")
    }

    /// Somebody makes a copy of this database, unless there is one.
    fn copies(&mut self, id: NodeId) -> bool {
        let Some(disk) = self.nodes.get_mut(&id).map(|node| &mut node.disk) else {
            return true;
        };
        if disk.apart.copy.is_some() {
            return false;
        }
        if !disk.is_damaged() {
            disk.apart.copy = Some(Box::new(disk.durable().clone()));
        }
        true
    }

    /// Looks at the disk of a node that starts: false if it must not.
    pub(super) fn look_at_disk(&mut self, id: NodeId) -> bool {
        let looked = self.nodes.get_mut(&id).map(|node| {
            let was_replaced = node.disk.is_replaced();
            (was_replaced, node.disk.look(id))
        });
        let Some((was_replaced, Err(Damaged(what)))) = looked else {
            return true;
        };
        if was_replaced {
            self.meet(Situation::ForeignDiskFound);
        }
        self.meet(Situation::DamageFoundAtStart);
        self.tell(Some(id), Mark::Fault, || format!("finds {what}"));
        self.lose(id);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Sequence, Write};
    use crate::hard_state::HardState;
    use crate::id::Term;

    const OWNER: NodeId = NodeId::new(1);

    fn synced(disk: &mut Disk, term: u64) {
        let hard_state = HardState {
            term: Term::new(term),
            vote: None,
        };
        disk.write(Write {
            sequence: Sequence(term),
            hard_state: Some(hard_state),
            ..Write::default()
        });
        assert!(disk.begin_sync());
        disk.end_sync();
    }

    fn used_disk() -> Disk {
        let mut disk = Disk::default();
        disk.look(OWNER).unwrap();
        synced(&mut disk, 1);
        disk
    }

    #[test]
    fn an_older_image_is_found_below_the_floor() {
        let mut disk = used_disk();
        let copy = disk.durable().clone();
        disk.apart.replaced_by = Some(Box::new(copy.clone()));
        assert!(disk.look(OWNER).is_ok(), "nothing was synced since");
        synced(&mut disk, 2);
        disk.apart.replaced_by = Some(Box::new(copy));
        assert!(disk.look(OWNER).is_err());
        assert_eq!(
            disk.durable().hard_state.term,
            Term::new(2),
            "it is not touched"
        );
    }

    #[test]
    fn what_a_crash_has_left_counts_from_the_next_start_on() {
        let mut disk = used_disk();
        let copy = disk.durable().clone();
        disk.stamp_unsynced();
        disk.look(OWNER).unwrap();
        disk.apart.replaced_by = Some(Box::new(copy));
        assert!(disk.look(OWNER).is_err());
    }

    #[test]
    fn the_disk_of_another_node_is_not_taken_for_ones_own() {
        let mut disk = used_disk();
        let theirs = disk.durable().clone();
        assert!(disk.look(NodeId::new(2)).is_err());
        let mut other = Disk::default();
        other.look(NodeId::new(2)).unwrap();
        other.apart.replaced_by = Some(Box::new(theirs));
        assert!(other.look(NodeId::new(2)).is_err());
    }
}
