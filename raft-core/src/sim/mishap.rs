//! How disks, clocks and links fail: weights and chance in streams of their own, so that the lives
//! that came before them keep what their seeds stand for.

use std::collections::{BTreeMap, BTreeSet};

use super::aims::Aims;
use super::chance::Chance;
use super::wiped::Wiped;
use crate::id::NodeId;

/// How likely each of these faults is in one life, in a million. All are zero in half of the lives.
#[derive(Clone, Debug, Default)]
pub struct Mishaps {
    /// Disks that have no space left for up to three seconds, each millisecond.
    pub full_disk: u64,
    /// Writes that return an error.
    pub failing_write: u64,
    /// Syncs that return an error.
    pub failing_sync: u64,
    /// Disks that are slow for up to two seconds, each millisecond.
    pub slow_disk: u64,
    /// Damage to something that is stored, each millisecond.
    pub rot: u64,
    /// Disks that are lost as a whole, each millisecond.
    pub loss: u64,
    /// Clocks that jump, each millisecond. None where leases trust the clocks.
    pub clock_jump: u64,
    /// Links that break and heal again and again, each millisecond.
    pub flapping: u64,
    /// Disks may be lost or damaged on more nodes than a quorum can spare. Nobody promises that
    /// such a group goes on; what it does must be right all the same.
    pub is_beyond_contract: bool,
}

/// What the faults of [`Mishaps`] have done so far, and what the operator has made of it.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) chance: Chance,
    /// Nodes that never run again: their disks are lost, or damaged and found so.
    pub(super) lost: BTreeSet<NodeId>,
    /// Who takes the place of a lost node.
    pub(super) heirs: BTreeMap<NodeId, NodeId>,
    /// Names that no node has had yet.
    pub(super) reserve: Vec<NodeId>,
    /// So many disks may still be lost or damaged.
    pub(super) harms_left: u64,
    /// Of nodes that begin anew on damaged disks. In half of the lives none does.
    pub(super) repairs: Chance,
    is_repairing: bool,
    pub(super) aims: Aims,
    /// Nodes that came back empty.
    pub(super) wiped: Wiped,
}

/// So many new nodes are there at most, so that a life stays bounded.
const RESERVE: u64 = 4;

impl Mishaps {
    pub(super) fn from_seed(seed: u64, lease_reads: bool) -> Self {
        let mut chance = Chance::new(seed, 10);
        // One seed in ten is quiet, and half of the others know none of these.
        if seed % 10 == 9 || chance.coin() {
            return Self::default();
        }
        let (full_disk, failing_write) = (chance.rate(1_000), chance.rate(5_000));
        let (failing_sync, slow_disk) = (chance.rate(5_000), chance.rate(1_000));
        let (rot, loss) = (chance.rate(4_000), chance.rate(500));
        let (clock_jump, flapping) = (chance.rate(1_000), chance.rate(500));
        Self {
            full_disk,
            failing_write,
            failing_sync,
            slow_disk,
            rot,
            loss,
            clock_jump: if lease_reads { 0 } else { clock_jump },
            flapping,
            is_beyond_contract: chance.happens(30_000),
        }
    }

    /// Whether nodes may be lost for ever.
    pub(super) fn do_harm(&self) -> bool {
        self.rot > 0 || self.loss > 0
    }
}

impl Operator {
    /// `nodes` is how many names are taken.
    pub(super) fn new(seed: u64, nodes: u64) -> Self {
        let mut repairs = Chance::new(seed, 20);
        Self {
            is_repairing: repairs.coin(),
            repairs,
            aims: Aims::new(seed),
            wiped: Wiped::new(seed),
            chance: Chance::new(seed, 11),
            lost: BTreeSet::new(),
            heirs: BTreeMap::new(),
            reserve: (1..=RESERVE)
                .rev()
                .map(|more| NodeId::new(nodes + more))
                .collect(),
            harms_left: RESERVE,
        }
    }

    /// Whether the next node with damage begins anew, or never runs again.
    pub(super) fn lets_begin_anew(&mut self) -> bool {
        self.is_repairing && self.repairs.below(5) > 0
    }
}
