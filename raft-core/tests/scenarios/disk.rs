//! One node's disk: what is durable, and what waits for the next sync.

use std::collections::VecDeque;

use raft_core::consensus::{Sequence, Write};
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::memory::MemoryStores;
use raft_core::{FormerLives, HardState};

use super::machine::Snapshot;

/// The disk of one node. It outlives the node's crashes.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What a restart finds.
    pub(crate) durable: Image,
    /// Writes that were asked for and are not durable, the oldest first.
    pub(crate) queue: VecDeque<Write>,
    /// Finished snapshots, the newest last.
    pub(crate) snapshots: Vec<Snapshot>,
    /// Where snapshots gather that arrive in parts.
    pub(crate) arriving: MemoryStores,
}

/// Term, vote and log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    /// Term and vote.
    pub(crate) hard_state: HardState,
    /// The last purged entry.
    pub(crate) purged: ChainLink,
    /// The entries after it.
    pub(crate) log: Vec<Entry>,
    /// Whose data was damaged before this disk began anew.
    pub(crate) former: Option<FormerLives>,
}

impl Disk {
    /// What would be there if every queued write became durable: the log as its node sees it.
    pub(crate) fn with_queue(&self) -> Image {
        let mut image = self.durable.clone();
        for write in &self.queue {
            image.apply(write);
        }
        image
    }

    /// Makes the oldest `count` writes durable. Returns the last sequence, if there was a write.
    pub(crate) fn sync(&mut self, count: usize) -> Option<Sequence> {
        let mut last = None;
        for _ in 0..count {
            let write = self.queue.pop_front()?;
            self.durable.apply(&write);
            last = Some(write.sequence);
            if self.queue.is_empty() {
                break;
            }
        }
        last
    }

    /// Power is lost: the oldest `kept` writes had reached the disk, of the next one perhaps the
    /// hard state, of the rest nothing. Returns what is lost.
    pub(crate) fn crash(&mut self, kept: usize, torn: bool) -> Vec<Write> {
        if kept > 0 {
            self.sync(kept);
        }
        if torn
            && let Some(write) = self.queue.front_mut()
            && let Some(hard_state) = write.hard_state.take()
        {
            self.durable.hard_state = hard_state;
        }
        self.queue.drain(..).collect()
    }

    /// Keeps a snapshot, in place of one of the same entry.
    pub(crate) fn keep_snapshot(&mut self, snapshot: Snapshot) {
        let id = snapshot.meta.id();
        self.snapshots.retain(|kept| kept.meta.id() != id);
        self.snapshots.push(snapshot);
    }

    /// The newest snapshot is damaged from now on.
    pub(crate) fn spoil_snapshot(&mut self) {
        let newest = self
            .snapshots
            .iter_mut()
            .max_by_key(|found| found.meta.id());
        newest.expect("there is a snapshot").is_spoilt = true;
    }

    /// The newest snapshot.
    pub(crate) fn newest_snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.iter().max_by_key(|found| found.meta.id())
    }
}

impl Image {
    /// The last entry, or what precedes the log if it is empty.
    pub(crate) fn last(&self) -> ChainLink {
        self.log.last().map_or(self.purged, Entry::link)
    }

    /// The entry at `index`.
    pub(crate) fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.log.iter().find(|entry| entry.index() == index)
    }

    /// Executes one write as the contract of the stores has it.
    pub(crate) fn apply(&mut self, write: &Write) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(from) = write.truncate_from {
            assert!(
                from > self.purged.id.index,
                "truncation from {from} reaches into the purged part, which ends with {}",
                self.purged
            );
            self.log.retain(|entry| entry.index() < from);
        }
        if let Some(through) = write.purge_through {
            self.purge(through);
        }
        for entry in &write.append {
            let last = self.last();
            assert!(entry.follows(last), "{entry:?} does not follow {last}");
            self.log.push(entry.clone());
        }
        if let Some(former) = self.former.as_mut().filter(|_| write.repaired) {
            former.is_repaired = true;
        }
    }

    /// Purges through `through`. A log that does not hold exactly this entry goes as a whole.
    pub(crate) fn purge(&mut self, through: ChainLink) {
        if through.id.index <= self.purged.id.index {
            return;
        }
        let holds_it = self
            .entry(through.id.index)
            .is_some_and(|entry| entry.link() == through);
        match holds_it {
            true => self.log.retain(|entry| entry.index() > through.id.index),
            false => self.log.clear(),
        }
        self.purged = through;
    }
}
