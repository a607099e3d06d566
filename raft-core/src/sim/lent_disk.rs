//! The disk of a node, as its recovery, its log writer and its applier see it: the stores of a backend.
//!
//! The node has it, and lends it while they work. Nothing else happens meanwhile. What they write is
//! durable at once: what a crash may lose of a running node waits in [`Disk::write`] for the end of its
//! sync, and is written then.

use std::io::{self, Cursor};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::damage::Damaged;
use super::disk::Disk;
use super::machine::Machine;
use crate::entry::Entry;
use crate::former_lives::FormerLives;
use crate::hard_state::{HardState, Identity};
use crate::id::{ChainLink, LogId, LogIndex};
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::{
    LogBounds, LogReader, LogStore, SnapshotRead, SnapshotSink, SnapshotStore, StableKey,
    StableRecord, StableStore, StoreError,
};

/// Empty but while the disk is lent.
#[derive(Clone, Debug, Default)]
pub(super) struct LentDisk(Arc<Mutex<Disk>>);

const PLACE: &str = "the simulated disk";

impl LentDisk {
    /// Lends `disk` for as long as `work` takes.
    pub(super) fn during<T>(&self, disk: &mut Disk, work: impl FnOnce() -> T) -> T {
        std::mem::swap(disk, &mut *self.disk());
        let done = work();
        std::mem::swap(disk, &mut *self.disk());
        done
    }

    pub(super) fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(self.clone())
    }

    /// The stable records: those of a disk that belongs to this node.
    pub(super) fn records(&self, identity: Identity) -> Records {
        Records {
            disk: self.clone(),
            identity,
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn damaged(Damaged(what): Damaged) -> StoreError {
    StoreError::damaged(PLACE, what, &"it is not what was written")
}

impl SnapshotStore for LentDisk {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        Ok(self.disk().durable().listed_metas())
    }

    fn damaged(&self) -> Result<Vec<StoreError>, StoreError> {
        let disk = self.disk();
        let descriptions = disk.durable().damage.descriptions.iter().rev();
        let named = descriptions.map(|last| damaged(Damaged(format!("snapshot {last}"))));
        Ok(named.collect())
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        Ok(Box::new(Sink {
            disk: self.clone(),
            header: header.clone(),
            bytes: Vec::new(),
        }))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        let found = self.disk().snapshot(last).map_err(damaged)?;
        let found = found.and_then(|machine| Some((machine.meta()?, machine.saved?)));
        let (meta, bytes) = found.ok_or_else(|| StoreError::Misuse {
            place: PLACE.to_owned(),
            detail: format!("there is no snapshot {last}"),
        })?;
        Ok((meta, Box::new(Cursor::new(bytes))))
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        self.disk().durable_mut().retain(keep, through);
        Ok(())
    }
}

impl LogStore for LentDisk {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        Ok(self.disk().durable().bounds())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.disk().durable_mut().append(entries);
        Ok(())
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        self.disk().durable_mut().truncate(from);
        Ok(())
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        self.disk().durable_mut().purge(through);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(()) // It is.
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

/// Term and vote, and what a node knows of itself.
#[derive(Debug)]
pub(super) struct Records {
    disk: LentDisk,
    identity: Identity,
}

impl StableStore for Records {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.disk.disk();
        let image = disk.durable();
        match key {
            StableKey::HardState if image.damage.hard_state => {
                Err(damaged(Damaged("term and vote".to_owned())))
            }
            StableKey::HardState if image.hard_state == HardState::default() => Ok(None),
            StableKey::HardState => image.hard_state.to_record().map(Some),
            StableKey::Identity => self.identity.to_record().map(Some),
            StableKey::Relocation => Ok(None),
            StableKey::FormerLives => {
                let former = image.former.as_ref();
                former.map(StableRecord::to_record).transpose()
            }
        }
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.disk.disk();
        let image = disk.durable_mut();
        match key {
            StableKey::HardState => {
                image.hard_state = HardState::from_record(value)?;
                image.damage.hard_state = false;
            }
            StableKey::FormerLives => image.former = Some(FormerLives::from_record(value)?),
            StableKey::Identity | StableKey::Relocation => {
                return Err(StoreError::Misuse {
                    place: PLACE.to_owned(),
                    detail: format!("nobody here sets {}", key.name()),
                });
            }
        }
        Ok(())
    }
}

impl LogReader for LentDisk {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let requested = range.start;
        let disk = self.disk();
        let read = disk.read(range, bytes_max).map_err(damaged)?;
        read.ok_or_else(|| StoreError::Purged {
            requested,
            purged: disk.durable().purged().id.index,
        })
    }
}

/// A snapshot that is being written.
struct Sink {
    disk: LentDisk,
    header: SnapshotHeader,
    bytes: Vec<u8>,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for Sink {
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let (meta, machine) = Machine::saved(self.header, Bytes::from(self.bytes));
        self.disk.disk().keep_snapshot(meta.clone(), machine);
        Ok(meta)
    }

    fn discard(self: Box<Self>) {}
}
