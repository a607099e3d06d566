//! The "disk" that the memory stores share: it outlives the node, and it can crash.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::log::{LogImage, MemoryLog};
use super::snapshots::MemorySnapshots;
use super::stable::MemoryStable;
use crate::id::LogId;
use crate::snapshot::SnapshotMeta;
use crate::store::{StableKey, StoreError, Stores};

/// How errors name this store.
pub(super) const PLACE: &str = "memory store";

/// Log, stable records and snapshots in memory. A clone is another handle to the same data.
///
/// [`MemoryStores::open`] gives a node its [`Stores`]; opening again is how a test restarts one.
/// Only the latest opening works: older ones fail with [`StoreError::InUse`], like a process that
/// lost its lock. Log and stable calls never block, so a node makes them on its event loop.
#[derive(Clone, Default)]
pub struct MemoryStores {
    disk: Arc<Mutex<Disk>>,
}

/// Everything that is kept.
#[derive(Default)]
pub(super) struct Disk {
    opening: u64,
    broken: bool,
    pub(super) log: LogImage,
    pub(super) stable: BTreeMap<StableKey, Vec<u8>>,
    pub(super) snapshots: BTreeMap<LogId, (SnapshotMeta, Bytes)>,
    /// What is being received, or was when it was cut off.
    pub(super) partial: Option<Partial>,
    /// How many attempts there were to receive a snapshot.
    pub(super) attempts: u64,
}

/// A part of a snapshot.
pub(super) struct Partial {
    pub(super) meta: SnapshotMeta,
    pub(super) data: Vec<u8>,
    /// The attempt that may write.
    pub(super) attempt: u64,
}

impl Disk {
    /// A snapshot is finished.
    pub(super) fn keep(&mut self, meta: &SnapshotMeta, data: Vec<u8>) {
        self.snapshots
            .insert(meta.id(), (meta.clone(), data.into()));
        let overtaken = |partial: &mut Partial| partial.meta.id().index <= meta.id().index;
        self.partial.take_if(overtaken);
    }
}

/// A right to use the disk, lost when it is opened anew.
#[derive(Clone)]
pub(super) struct Handle {
    disk: Arc<Mutex<Disk>>,
    opening: u64,
}

impl MemoryStores {
    /// Empty stores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the stores for one node. Log calls that were never synced are still there, as after a
    /// process was killed and the system went on; see [`MemoryStores::crash`] for the other case.
    pub fn open(&self) -> Stores {
        let mut disk = lock(&self.disk);
        disk.opening += 1;
        let handle = Handle {
            disk: Arc::clone(&self.disk),
            opening: disk.opening,
        };
        Stores {
            log: Box::new(MemoryLog::new(handle.clone())),
            stable: Box::new(MemoryStable::new(handle.clone())),
            snapshots: Arc::new(MemorySnapshots::new(handle)),
        }
    }

    /// The power fails: log calls since the last sync are undone, unfinished snapshots are gone,
    /// and every handle stops working until the stores are opened again.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// As [`MemoryStores::crash`], but the first `calls` log calls since the last sync had reached
    /// the disk.
    pub fn crash_keeping(&self, calls: usize) {
        let mut disk = lock(&self.disk);
        disk.opening += 1;
        disk.broken = false;
        disk.log.lose_unsynced(calls);
    }

    /// From now on every write and every sync fails, as on a device that broke. A crash mends it.
    pub fn break_down(&self) {
        lock(&self.disk).broken = true;
    }
}

impl fmt::Debug for MemoryStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = lock(&self.disk);
        f.debug_struct("MemoryStores")
            .field("log", &disk.log.bounds())
            .field("snapshots", &disk.snapshots.len())
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// The disk, for reading.
    pub(super) fn read(&self) -> Result<MutexGuard<'_, Disk>, StoreError> {
        let disk = lock(&self.disk);
        if disk.opening == self.opening {
            Ok(disk)
        } else {
            Err(StoreError::InUse {
                place: PLACE.to_owned(),
            })
        }
    }

    /// The disk, for writing.
    pub(super) fn write(
        &self,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, Disk>, StoreError> {
        let disk = self.read()?;
        if disk.broken {
            let source = io::Error::other("the device broke down");
            return Err(StoreError::io(PLACE, operation)(source));
        }
        Ok(disk)
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    // No call leaves the disk half changed, so a panic elsewhere does not spoil it.
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, Sealed};
    use crate::id::{ChainLink, LogIndex, Term};
    use crate::time::ClusterTime;

    fn entries(count: u64) -> Vec<Entry> {
        let mut last = ChainLink::ORIGIN;
        let next = |_| {
            let sealed = Sealed::command(vec![7; 10]);
            let entry = Entry::new(last, Term::new(1), ClusterTime::ZERO, sealed);
            last = entry.link();
            entry
        };
        (0..count).map(next).collect()
    }

    fn last(stores: &Stores) -> LogIndex {
        stores.log.bounds().unwrap().last.id.index
    }

    #[test]
    fn a_crash_undoes_unsynced_calls_in_reverse() {
        let memory = MemoryStores::new();
        let mut stores = memory.open();
        let all = entries(9);
        stores.log.append(&all[..5]).unwrap();
        stores.log.sync().unwrap();
        stores.log.append(&all[5..]).unwrap();
        stores.log.purge_prefix(all[1].link()).unwrap();
        stores.log.truncate_suffix(LogIndex::new(4)).unwrap();
        memory.crash();
        let stores = memory.open();
        let bounds = stores.log.bounds().unwrap();
        assert_eq!(bounds.purged, ChainLink::ORIGIN);
        assert_eq!(bounds.last, all[4].link());
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_the_unsynced_calls() {
        let memory = MemoryStores::new();
        let mut stores = memory.open();
        let all = entries(6);
        stores.log.append(&all[..4]).unwrap();
        stores.log.truncate_suffix(LogIndex::new(3)).unwrap();
        stores.log.append(&all[2..]).unwrap();
        memory.crash_keeping(2);
        assert_eq!(last(&memory.open()), LogIndex::new(2));
    }

    #[test]
    fn unsynced_calls_outlive_a_restart_without_a_crash() {
        let memory = MemoryStores::new();
        memory.open().log.append(&entries(3)).unwrap();
        assert_eq!(last(&memory.open()), LogIndex::new(3));
    }

    #[test]
    fn only_the_latest_opening_works() {
        let memory = MemoryStores::new();
        let mut old = memory.open();
        let mut new = memory.open();
        let refused = old.log.append(&entries(1));
        assert!(matches!(refused, Err(StoreError::InUse { .. })));
        new.log.append(&entries(1)).unwrap();
    }

    #[test]
    fn a_broken_device_fails_writes_and_a_crash_mends_it() {
        let memory = MemoryStores::new();
        let mut stores = memory.open();
        stores.log.append(&entries(1)).unwrap();
        memory.break_down();
        assert!(matches!(stores.log.sync(), Err(StoreError::Io { .. })));
        assert!(stores.stable.set(StableKey::HardState, b"x").is_err());
        memory.crash();
        let mut stores = memory.open();
        assert_eq!(last(&stores), LogIndex::ZERO);
        stores.log.append(&entries(1)).unwrap();
        stores.log.sync().unwrap();
    }
}
