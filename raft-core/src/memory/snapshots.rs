//! Snapshots in memory.

use std::cmp::Reverse;
use std::io::{self, Cursor, Write};

use super::disk::{Handle, PLACE, Partial};
use crate::id::{LogId, LogIndex};
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError};

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

/// One attempt to receive a snapshot. What has arrived is on the disk.
struct MemoryReceiver {
    handle: Handle,
    attempt: u64,
    kept: Kept,
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

    fn receive(&self, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let mut disk = self.handle.write("receive a snapshot")?;
        disk.attempts += 1;
        let attempt = disk.attempts;
        let arrived = disk.partial.take().filter(|partial| partial.meta == *meta);
        let data = arrived.map(|partial| partial.data).unwrap_or_default();
        let mut kept = Kept::NOTHING;
        kept.add(&data);
        disk.partial = Some(Partial {
            meta: meta.clone(),
            data,
            attempt,
        });
        Ok(Box::new(MemoryReceiver {
            handle: self.handle.clone(),
            attempt,
            kept,
        }))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        let disk = self.handle.read()?;
        let Some((meta, data)) = disk.snapshots.get(&last) else {
            return Err(StoreError::Misuse {
                place: PLACE.to_owned(),
                detail: format!("there is no snapshot {last}"),
            });
        };
        Ok((meta.clone(), Box::new(Cursor::new(data.clone()))))
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        let mut listed = self.list()?;
        listed.retain(|meta| meta.id().index <= through);
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
        disk.keep(&meta, data);
        Ok(meta)
    }

    fn discard(self: Box<Self>) {}
}

impl MemoryReceiver {
    /// Takes what has arrived, if this is still the attempt that may.
    fn take(&self, operation: &'static str) -> Result<Partial, StoreError> {
        let mut disk = self.handle.write(operation)?;
        let own = |partial: &mut Partial| partial.attempt == self.attempt;
        let taken = disk.partial.take_if(own);
        taken.ok_or_else(|| StoreError::io(PLACE, operation)(taken_over()))
    }
}

impl Write for MemoryReceiver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let disk = self.handle.write("write a snapshot");
        let mut disk = disk.map_err(io::Error::other)?;
        match &mut disk.partial {
            Some(partial) if partial.attempt == self.attempt => partial.data.write(bytes),
            Some(_) | None => Err(taken_over()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for MemoryReceiver {
    fn kept(&self) -> Kept {
        self.kept
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let Partial { meta, data, .. } = self.take("finish a snapshot")?;
        let mut all = Kept::NOTHING;
        all.add(&data);
        if !all.is_all_of(&meta) {
            return Err(StoreError::Misuse {
                place: PLACE.to_owned(),
                detail: format!("{meta} is not all there"),
            });
        }
        let mut disk = self.handle.write("finish a snapshot")?;
        disk.keep(&meta, data);
        Ok(meta)
    }

    fn discard(self: Box<Self>) {
        // On a broken disk there is nothing to be removed.
        let _ = self.take("discard a snapshot");
    }
}

fn taken_over() -> io::Error {
    io::Error::other("another attempt has taken its place")
}
