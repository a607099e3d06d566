//! A node's disk: what is durable, and what would be lost if the power went now.

use std::collections::VecDeque;

use super::chance::Chance;
use super::damage::{Damage, Damaged};
use super::machine::Machine;
use super::tampering::{Apart, Stamp};
use crate::consensus::{IndexRange, Sequence, Write};
use crate::entry::{Entry, Payload};
use crate::former_lives::FormerLives;
use crate::hard_state::HardState;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::snapshot::SnapshotMeta;
use crate::store::LogBounds;

/// Keeps [`Image`], and the writes that have not reached it.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Disk {
    durable: Image,
    queue: VecDeque<Write>,
    /// So many of the queued writes are part of the sync under way.
    syncing: usize,
    pub(super) apart: Apart,
}

/// What a crash leaves.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Image {
    pub(super) hard_state: HardState,
    purged: ChainLink,
    entries: Vec<Entry>,
    /// The newest last.
    snapshots: Vec<(SnapshotMeta, Machine)>,
    /// Whose data was damaged, before this disk began anew.
    pub(super) former: Option<FormerLives>,
    /// What of all this is not what was written.
    pub(super) damage: Damage,
    pub(super) stamp: Stamp,
}

impl Disk {
    pub(super) fn durable(&self) -> &Image {
        &self.durable
    }

    pub(super) fn durable_mut(&mut self) -> &mut Image {
        &mut self.durable
    }

    /// Takes a write; says whether the disk was idle, so that a sync can begin.
    pub(super) fn write(&mut self, write: Write) -> bool {
        self.queue.push_back(write);
        self.syncing == 0
    }

    /// Begins a sync of everything queued. False if there is nothing.
    pub(super) fn begin_sync(&mut self) -> bool {
        self.syncing = self.queue.len();
        self.syncing > 0
    }

    /// Whether nothing is on its way to it.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The sync is done: what it was to make durable, for whoever writes it.
    pub(super) fn take_synced(&mut self) -> Vec<Write> {
        let count = std::mem::take(&mut self.syncing);
        self.queue.drain(..count).collect()
    }

    /// The sync is done: reports what is durable now.
    pub(super) fn end_sync(&mut self) -> Option<Sequence> {
        let mut last = None;
        for write in self.take_synced() {
            last = Some(write.sequence);
            self.durable.perform(&write);
        }
        if last.is_some() {
            self.stamp();
        }
        last
    }

    /// The sync has failed, and what it was to store is gone; by a planted fault it is taken for
    /// done.
    pub(super) fn lose_sync(&mut self) -> Option<Sequence> {
        let count = std::mem::take(&mut self.syncing);
        self.queue
            .drain(..count)
            .next_back()
            .map(|write| write.sequence)
    }

    /// The power goes. Of what was not synced, some prefix may have reached the disk, torn
    /// anywhere between two records; term and vote of the batch may be there before its entries.
    pub(super) fn crash(&mut self, chance: &mut Chance) -> Lost {
        let mut lost: Vec<Write> = self.queue.drain(..).collect();
        let before = lost.len();
        let mut told = Lost {
            had_entries: lost.iter().any(|write| !write.append.is_empty()),
            had_vote: lost
                .iter()
                .any(|write| write.hard_state.is_some_and(|state| state.vote.is_some())),
            ..Lost::default()
        };
        self.syncing = 0;
        lost.truncate(usize::try_from(chance.below(lost.len() as u64 + 1)).unwrap_or(0));
        if chance.coin()
            && let Some(hard_state) = lost.iter().rev().find_map(|write| write.hard_state)
        {
            self.durable.hard_state = hard_state;
            self.durable.damage.hard_state = false;
            told.has_early_hard_state = lost.len() > 1;
            for write in &mut lost {
                write.hard_state = None;
            }
        }
        if let Some(torn) = lost.last_mut() {
            let kept = chance.below(torn.append.len() as u64 + 1);
            told.is_torn = kept > 0 && kept < torn.append.len() as u64;
            torn.append.truncate(usize::try_from(kept).unwrap_or(0));
        }
        told.kept_writes = lost.len();
        told.lost_writes = before - lost.len();
        if told.kept_writes > 0 {
            self.stamp_unsynced();
        }
        for write in lost {
            self.durable.perform(&write);
        }
        told
    }

    /// What a truncation at `from` removes.
    pub(super) fn suffix(&self, from: LogIndex) -> Suffix {
        let stored = self.durable.entries.iter();
        let queued = self.queue.iter().flat_map(|write| &write.append);
        let is_in = |entry: &&Entry| entry.index() >= from;
        let is_unsynced = queued.clone().any(|entry| is_in(&entry));
        let removed: Vec<&Entry> = stored.chain(queued).filter(is_in).collect();
        let first = removed.first().map(|entry| entry.term());
        Suffix {
            spans_terms: removed.iter().any(|entry| Some(entry.term()) != first),
            has_membership: removed
                .iter()
                .any(|entry| matches!(entry.payload(), Payload::Membership { .. })),
            is_unsynced,
        }
    }

    /// Keeps a snapshot, at once durable.
    pub(super) fn keep_snapshot(&mut self, meta: SnapshotMeta, machine: Machine) {
        let image = &mut self.durable;
        for id in image.snapshot_ids() {
            if id.index == meta.id().index {
                image.damage.without(id);
            }
        }
        image
            .snapshots
            .retain(|(known, _)| known.id().index != meta.id().index);
        image.snapshots.push((meta, machine));
        // One that was long on its way may be older than what is here.
        image.snapshots.sort_by_key(|(meta, _)| meta.id().index);
    }

    /// Removes all but the two newest.
    pub(super) fn retain_snapshots(&mut self) {
        self.durable.retain(2, LogIndex::new(u64::MAX));
    }

    /// The state in the snapshot that ends with `last`; `None` if there is none.
    pub(super) fn snapshot(&self, last: LogId) -> Result<Option<Machine>, Damaged> {
        let damage = &self.durable.damage;
        if damage.data.contains(&last) || damage.descriptions.contains(&last) {
            return Err(Damaged(format!("snapshot {last}")));
        }
        let mut snapshots = self.durable.snapshots.iter();
        let found = snapshots.find(|(meta, _)| meta.id() == last);
        Ok(found.map(|(_, machine)| machine.clone()))
    }

    /// The newest snapshot, whether it can be read or not.
    pub(super) fn newest_stored(&self) -> Option<LogId> {
        self.durable.snapshots.last().map(|(meta, _)| meta.id())
    }

    /// The newest snapshot that can be listed, if it can be read, too.
    pub(super) fn newest_snapshot(&self) -> Option<&(SnapshotMeta, Machine)> {
        let damage = &self.durable.damage;
        let newest = self.durable.listed().next_back()?;
        (!damage.data.contains(&newest.0.id())).then_some(newest)
    }

    /// The entries in `range`, as far as `bytes_max` allows. Reads what was
    /// written, synced or not, like a real log. `None` if the first one is purged.
    pub(super) fn read(
        &self,
        range: IndexRange,
        bytes_max: usize,
    ) -> Result<Option<Vec<Entry>>, Damaged> {
        let image = &self.durable;
        if range.start <= image.purged.id.index {
            return Ok(None);
        }
        let mut bytes = 0;
        let entries = image
            .entries
            .iter()
            .filter(|entry| range.contains(&entry.index()));
        let fits = entries.take_while(|entry| {
            let fits = bytes == 0 || bytes + entry.record_bytes() <= bytes_max;
            bytes += entry.record_bytes();
            fits
        });
        let read: Vec<Entry> = fits.cloned().collect();
        for entry in &read {
            if image.damage.records.contains(&entry.index()) {
                return Err(Damaged(format!("entry {}", entry.id())));
            }
        }
        Ok(Some(read))
    }
}

impl Image {
    /// The first entries of a cluster that starts with `entries`.
    pub(super) fn bootstrapped(entries: Vec<Entry>) -> Disk {
        let durable = Self {
            entries,
            ..Self::default()
        };
        Disk {
            durable,
            ..Disk::default()
        }
    }

    /// The same database, beside the snapshots of another image.
    pub(super) fn with_snapshots_of(self, other: &Self) -> Self {
        Self {
            snapshots: other.snapshots.clone(),
            ..self
        }
    }

    /// Whether the entry is there, or a snapshot that contains it.
    pub(super) fn holds(&self, link: ChainLink) -> bool {
        self.last_contained() >= link.id.index
            || self
                .entry(link.id.index)
                .is_some_and(|entry| entry.link() == link)
    }

    /// The term that a restart would begin in: entries and snapshots bring theirs along, for a
    /// received snapshot may be durable before term and vote are.
    pub(super) fn term(&self) -> Term {
        let log = self.entries.last().map(|entry| entry.id().term);
        let snapshot = self.snapshots.last().map(|(meta, _)| meta.id().term);
        let found = log.into_iter().chain(snapshot).chain([self.purged.id.term]);
        found.fold(self.hard_state.term, Term::max)
    }

    /// The last entry of log or snapshots.
    pub(super) fn last(&self) -> LogIndex {
        let log = self
            .entries
            .last()
            .map_or(self.purged.id.index, Entry::index);
        log.max(self.last_contained())
    }

    /// The snapshots whose descriptions are intact, the newest last.
    fn listed(&self) -> impl DoubleEndedIterator<Item = &(SnapshotMeta, Machine)> {
        let listed =
            |(meta, _): &&(SnapshotMeta, Machine)| !self.damage.descriptions.contains(&meta.id());
        self.snapshots.iter().filter(listed)
    }

    /// The last entry that was purged.
    pub(super) fn purged(&self) -> ChainLink {
        self.purged
    }

    /// Where the log begins and ends.
    pub(super) fn bounds(&self) -> LogBounds {
        LogBounds {
            purged: self.purged,
            last: self.entries.last().map_or(self.purged, Entry::link),
        }
    }

    /// The descriptions that can be listed, the newest first.
    pub(super) fn listed_metas(&self) -> Vec<SnapshotMeta> {
        self.listed().rev().map(|(meta, _)| meta.clone()).collect()
    }

    /// Of every stored entry.
    pub(super) fn indexes(&self) -> Vec<LogIndex> {
        self.entries.iter().map(Entry::index).collect()
    }

    /// Every snapshot, damaged or not, the newest last.
    pub(super) fn snapshots(&self) -> &[(SnapshotMeta, Machine)] {
        &self.snapshots
    }

    /// Of every snapshot, damaged or not.
    pub(super) fn snapshot_ids(&self) -> Vec<LogId> {
        self.snapshots.iter().map(|(meta, _)| meta.id()).collect()
    }

    /// Of the snapshots that end at `through` or before, removes all but the newest `keep`.
    pub(super) fn retain(&mut self, keep: usize, through: LogIndex) {
        let ends_before = |(meta, _): &(SnapshotMeta, Machine)| meta.id().index <= through;
        let old = self.snapshots.partition_point(ends_before);
        for (meta, _) in self.snapshots.drain(..old.saturating_sub(keep.max(1))) {
            self.damage.without(meta.id());
        }
    }

    fn last_contained(&self) -> LogIndex {
        self.snapshots
            .last()
            .map_or(LogIndex::ZERO, |(meta, _)| meta.id().index)
    }

    fn entry(&self, index: LogIndex) -> Option<&Entry> {
        let first = self.entries.first()?.index();
        let offset = index.get().checked_sub(first.get())?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    fn perform(&mut self, write: &Write) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
            self.damage.hard_state = false;
        }
        if let Some(from) = write.truncate_from {
            self.truncate(from);
        }
        if let Some(through) = write.purge_through {
            self.purge(through);
        }
        self.append(&write.append);
        if let Some(former) = self.former.as_mut().filter(|_| write.repaired) {
            former.is_repaired = true;
        }
    }

    pub(super) fn append(&mut self, entries: &[Entry]) {
        self.entries.extend_from_slice(entries);
    }

    pub(super) fn truncate(&mut self, from: LogIndex) {
        self.damage.truncated(from);
        self.entries.retain(|entry| entry.index() < from);
    }

    pub(super) fn purge(&mut self, through: ChainLink) {
        if through.id.index <= self.purged.id.index {
            return;
        }
        if self
            .entry(through.id.index)
            .is_some_and(|entry| entry.link() == through)
        {
            self.entries
                .retain(|entry| entry.index() > through.id.index);
            self.damage.purged(through.id.index);
        } else {
            self.entries.clear();
            self.damage.records.clear();
        }
        self.purged = through;
    }
}

/// What a crash did to the writes that were not synced.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub(super) had_entries: bool,
    pub(super) had_vote: bool,
    pub(super) is_torn: bool,
    pub(super) has_early_hard_state: bool,
    pub(super) kept_writes: usize,
    pub(super) lost_writes: usize,
}

/// What a truncation removes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suffix {
    pub(super) spans_terms: bool,
    pub(super) has_membership: bool,
    /// Some of it is only on its way to the disk.
    pub(super) is_unsynced: bool,
}
