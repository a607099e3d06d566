//! The disk of a node, as its applier sees it: a store of snapshots, and a log to read.
//!
//! The node has it, and lends it while its applier works. Nothing else happens meanwhile.

use std::io::{self, Cursor, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::damage::Damaged;
use super::disk::Disk;
use super::machine::Machine;
use crate::entry::Entry;
use crate::id::{LogId, LogIndex};
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::{LogReader, SnapshotRead, SnapshotSink, SnapshotStore, StoreError};

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

    pub(super) fn reader(&self) -> Box<dyn LogReader> {
        Box::new(self.clone())
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

    fn retain(&self, _: usize, _: LogIndex) -> Result<(), StoreError> {
        self.disk().retain_snapshots();
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
            purged: disk.durable().purged(),
        })
    }
}

/// A snapshot that is being written.
struct Sink {
    disk: LentDisk,
    header: SnapshotHeader,
    bytes: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
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
