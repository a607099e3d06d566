//! Takes in a snapshot of another node, in as many attempts as it needs.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Directory;
use super::partial::Partial;
use crate::snapshot::{Kept, SnapshotMeta};
use crate::store::{SnapshotSink, StoreError};

/// One attempt. Dropped, it leaves what has arrived to the next one.
pub(super) struct ReceivingSink {
    directory: Arc<Directory>,
    number: u64,
    kept: Kept,
}

impl ReceivingSink {
    /// Takes over from an attempt that may still be under way: its connection is dead, or it
    /// would not have been begun again.
    pub(super) fn begin(
        directory: Arc<Directory>,
        meta: &SnapshotMeta,
    ) -> Result<Self, StoreError> {
        let number = directory.unfinished.fetch_add(1, Ordering::Relaxed);
        let mut slot = directory.partial();
        let same = |partial: &Partial| partial.meta == *meta && partial.is_usable();
        let partial = match slot.take() {
            Some(mut partial) if same(&partial) => {
                partial.owner = number;
                partial
            }
            Some(other) => {
                other.discard();
                Partial::open(&directory, meta, number)?
            }
            None => Partial::open(&directory, meta, number)?,
        };
        let kept = partial.kept;
        *slot = Some(partial);
        drop(slot);
        Ok(Self {
            directory,
            number,
            kept,
        })
    }

    /// Uses the part, if this is still the attempt that may.
    fn with<T>(&self, act: impl FnOnce(&mut Partial) -> T) -> Option<T> {
        let mut slot = self.directory.partial();
        let own = slot
            .as_mut()
            .filter(|partial| partial.owner == self.number)?;
        Some(act(own))
    }

    /// Takes the part away, if this is still the attempt that may.
    fn take(&self) -> Option<Partial> {
        let mut slot = self.directory.partial();
        slot.take_if(|partial| partial.owner == self.number)
    }
}

impl Write for ReceivingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.with(|partial| partial.write(bytes));
        written.unwrap_or_else(|| Err(taken_over()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for ReceivingSink {
    fn kept(&self) -> Kept {
        self.kept
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let Some(mut partial) = self.take() else {
            let place = self.directory.place();
            return Err(StoreError::io(place, "finish")(taken_over()));
        };
        let finished = partial.complete();
        let published = finished.and_then(|path| self.directory.publish(&path, partial.meta.id()));
        if let Err(error) = published {
            partial.discard();
            return Err(error);
        }
        partial.remove_marks();
        Ok(partial.meta)
    }

    fn discard(self: Box<Self>) {
        if let Some(partial) = self.take() {
            partial.discard();
        }
    }
}

impl Drop for ReceivingSink {
    fn drop(&mut self) {
        self.with(Partial::pause);
    }
}

fn taken_over() -> io::Error {
    io::Error::other("another attempt has taken its place")
}
