//! Bit rot: which parts of a disk are not what was written. Every part has a checksum, so damage is
//! noticed when it is read, and is told from absence.

use std::collections::BTreeSet;

use super::chance::Chance;
use super::disk::{Disk, Image};
use crate::hard_state::HardState;
use crate::id::{LogId, LogIndex};

/// The damaged parts of a disk.
#[derive(Clone, Debug, Default, Hash)]
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
        !self.durable().damage.is_empty() || self.is_replaced()
    }

    /// Damages something that is stored, if there is anything.
    pub(super) fn rot(&mut self, chance: &mut Chance) -> Option<Rot> {
        let image = self.durable_mut();
        let records = image.indexes();
        let snapshots = image.snapshot_ids();
        // The newest snapshot is the one that matters.
        let rot = match (chance.below(6), snapshots.last()) {
            (0 | 1, _) if !records.is_empty() => Rot::Record(*chance.pick(&records)?),
            (2 | 3, Some(newest)) => Rot::Data(*newest),
            (4, Some(newest)) => Rot::Description(*newest),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::consensus::Write;
    use crate::entry::{Entry, Payload, Sealed};
    use crate::id::{ChainLink, Incarnation, NodeId, Term};
    use crate::node::StartError;
    use crate::sim::lent_disk::LentDisk;
    use crate::sim::replica::Replica;
    use crate::sim::start::{Started, identity};
    use crate::time::ClusterTime;

    fn disk() -> Disk {
        let mut last = ChainLink::ORIGIN;
        let mut entries = Vec::new();
        for _ in 0..4 {
            let blank = Sealed::new(Payload::Blank);
            let entry = Entry::new(last, Term::new(1), ClusterTime::ZERO, blank);
            last = entry.link();
            entries.push(entry);
        }
        Image::bootstrapped(entries)
    }

    fn start(disk: &mut Disk) -> Result<Started, StartError> {
        let identity = identity(NodeId::new(1), Incarnation::new(1));
        let (config, machine) = (Config::default(), Box::new(Replica::default()));
        LentDisk::default().start(disk, (identity, None), &config, machine)
    }

    fn index(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    #[test]
    fn a_damaged_record_is_neither_read_nor_taken_for_the_end_of_the_log() {
        let mut disk = disk();
        disk.durable_mut().note(Rot::Record(index(3)));
        assert!(disk.read(index(1)..index(5), 1_000).is_err());
        let before = disk.read(index(1)..index(3), 1_000).unwrap();
        assert_eq!(before.map(|entries| entries.len()), Some(2));
        let error = start(&mut disk).unwrap_err();
        assert!(error.is_damage(), "{error}");
    }

    #[test]
    fn damage_goes_with_what_it_is_in() {
        let mut disk = disk();
        disk.durable_mut().note(Rot::Record(index(3)));
        disk.durable_mut().note(Rot::HardState);
        let write = Write {
            hard_state: Some(HardState::default()),
            truncate_from: Some(index(3)),
            ..Write::default()
        };
        disk.write(write);
        assert!(disk.begin_sync());
        disk.end_sync();
        assert!(!disk.is_damaged());
        start(&mut disk).unwrap();
    }
}
