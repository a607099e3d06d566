//! Bit rot: which parts of a disk are not what was written. Every part has a checksum, so damage is
//! noticed when it is read, and is told from absence.

use std::collections::BTreeSet;

use super::chance::Chance;
use super::disk::{Disk, Image};
use crate::hard_state::HardState;
use crate::id::{LogId, LogIndex};

/// The damaged parts of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Damage {
    pub(super) hard_state: bool,
    pub(super) records: BTreeSet<LogIndex>,
    /// Snapshots whose data are damaged, by their last entries.
    pub(super) data: BTreeSet<LogId>,
    /// Snapshots that cannot even be listed.
    pub(super) descriptions: BTreeSet<LogId>,
}

/// What has just been damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rot {
    Record(LogIndex),
    HardState,
    Data(LogId),
    Description(LogId),
}

/// What was read is damaged.
#[derive(Clone, Debug)]
pub(super) struct Damaged(pub(super) String);

impl Damage {
    /// Entries from here on are gone, damaged or not.
    pub(super) fn truncated(&mut self, from: LogIndex) {
        self.records.split_off(&from);
    }

    /// Entries through here are gone.
    pub(super) fn purged(&mut self, through: LogIndex) {
        self.records = self.records.split_off(&through.next());
    }

    /// A snapshot was written anew, or removed.
    pub(super) fn without(&mut self, snapshot: LogId) {
        self.data.remove(&snapshot);
        self.descriptions.remove(&snapshot);
    }

    fn is_empty(&self) -> bool {
        !self.hard_state
            && self.records.is_empty()
            && self.data.is_empty()
            && self.descriptions.is_empty()
    }
}

impl Disk {
    /// Whether anything is damaged, noticed or not.
    pub(super) fn is_damaged(&self) -> bool {
        !self.durable().damage.is_empty()
    }

    /// Damages something that is stored, if there is anything.
    pub(super) fn rot(&mut self, chance: &mut Chance) -> Option<Rot> {
        let image = self.durable_mut();
        let records = image.indexes();
        let snapshots = image.snapshot_ids();
        let rot = match chance.below(4) {
            0 | 1 if !records.is_empty() => Rot::Record(*chance.pick(&records)?),
            2 if !snapshots.is_empty() => Rot::Data(*chance.pick(&snapshots)?),
            3 if !snapshots.is_empty() => Rot::Description(*chance.pick(&snapshots)?),
            _ if image.hard_state != HardState::default() => Rot::HardState,
            _ => return None,
        };
        image.note(rot);
        Some(rot)
    }
}

impl Image {
    fn note(&mut self, rot: Rot) {
        match rot {
            Rot::Record(index) => {
                self.damage.records.insert(index);
            }
            Rot::HardState => self.damage.hard_state = true,
            Rot::Data(id) => {
                self.damage.data.insert(id);
            }
            Rot::Description(id) => {
                self.damage.descriptions.insert(id);
            }
        }
    }
}
