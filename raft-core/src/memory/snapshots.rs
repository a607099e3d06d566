//! Snapshots in memory.

use std::cmp::Reverse;
use std::io::{self, Cursor, Read, Write};

use super::disk::{Handle, PLACE};
use crate::id::LogId;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotSink, SnapshotStore, StoreError};

/// Implements [`SnapshotStore`] on the shared disk.
pub(super) struct MemorySnapshots {
    handle: Handle,
}

/// Collects one snapshot.
struct MemorySink {
    handle: Handle,
    header: SnapshotHeader,
    data: Vec<u8>,
}

impl MemorySnapshots {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl SnapshotStore for MemorySnapshots {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        let disk = self.handle.read()?;
        let mut found: Vec<SnapshotMeta> = disk
            .snapshots
            .values()
            .map(|(meta, _)| meta.clone())
            .collect();
        found.sort_by_key(|meta| Reverse((meta.id().index, meta.id().term)));
        Ok(found)
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        drop(self.handle.write("create a snapshot")?);
        Ok(Box::new(MemorySink {
            handle: self.handle.clone(),
            header: header.clone(),
            data: Vec::new(),
        }))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn Read + Send>), StoreError> {
        let disk = self.handle.read()?;
        let Some((meta, data)) = disk.snapshots.get(&last) else {
            return Err(StoreError::Misuse {
                place: PLACE.to_owned(),
                detail: format!("there is no snapshot {last}"),
            });
        };
        Ok((meta.clone(), Box::new(Cursor::new(data.clone()))))
    }

    fn retain(&self, keep: usize) -> Result<(), StoreError> {
        let listed = self.list()?;
        let mut disk = self.handle.write("remove snapshots")?;
        for meta in listed.iter().skip(keep.max(1)) {
            disk.snapshots.remove(&meta.id());
        }
        Ok(())
    }
}

impl Write for MemorySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.data.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for MemorySink {
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let Self {
            handle,
            header,
            data,
        } = *self;
        let meta = SnapshotMeta {
            header,
            size: data.len() as u64,
            checksum: crc32c::crc32c(&data),
        };
        let mut disk = handle.write("finish a snapshot")?;
        disk.snapshots
            .insert(meta.id(), (meta.clone(), data.into()));
        Ok(meta)
    }
}
