//! The contract of a snapshot store.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use bytes::Bytes;

use super::StoreError;
use crate::id::{LogId, LogIndex};
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};

/// Keeps finished snapshots, named by the last entry they contain.
///
/// **Thread.** Shared by several threads; any call may block and none is made on the event loop.
///
/// **Durability.** A snapshot is invisible until [`SnapshotSink::finish`] returns, and durable
/// from then on. After a crash an unfinished one is gone and its remains are removed at the next
/// open, but for one that was being [received](SnapshotStore::receive).
///
/// **Checks.** Opening or reading a damaged snapshot is [`StoreError::Damaged`] (or, while reading,
/// an `io::Error` of kind `InvalidData`), never a short or altered stream.
pub trait SnapshotStore: Send + Sync + 'static {
    /// Every finished snapshot whose description is intact, the newest (greatest last index) first.
    /// The others are in [`SnapshotStore::damaged`].
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError>;

    /// The finished snapshots that cannot be listed because their descriptions are damaged: each
    /// as the [`StoreError::Damaged`] that names it, the newest first. Damage is not absence: a node
    /// that needs one of these does not start. A store whose medium cannot be damaged need not
    /// implement it.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn damaged(&self) -> Result<Vec<StoreError>, StoreError> {
        Ok(Vec::new())
    }

    /// Begins a snapshot. Several may be written at once.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError>;

    /// Begins to take in a snapshot of another node, or goes on with one that was cut off: the sink
    /// then says what it has [kept](SnapshotSink::kept).
    ///
    /// A store that can do so keeps the bytes of an unfinished sink aside, through the end of the
    /// process and, as far as they were synced, through a loss of power. It verifies them before it
    /// goes on with them, and goes on only with a snapshot that equals `meta` in every field. It
    /// keeps at most one such part: another snapshot replaces it, and so does one that is finished
    /// and newer. A second sink for the same snapshot takes over from the first, whose writes fail
    /// from then on.
    ///
    /// By default nothing is kept: every attempt begins anew.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn receive(&self, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        self.create(&meta.header)
    }

    /// Opens the snapshot that ends with `last`, and verifies it while it is read: a reader that
    /// reaches the end has read what was written.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or [`StoreError::Misuse`] if there is no such snapshot.
    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError>;

    /// Of the snapshots that end at `through` or before, removes all but the newest `keep` (at
    /// least one is kept). Those after it are left alone: one of them may be about to be restored.
    /// Damaged ones stay, for inspection. Readers that are open read on undisturbed.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError>;
}

/// Receives the bytes of one snapshot. Dropped unfinished, it leaves nothing behind but what
/// [`SnapshotStore::receive`] keeps.
pub trait SnapshotSink: Write + Send {
    /// What is there already, from an earlier attempt, verified. The next byte to write is the one
    /// after it.
    fn kept(&self) -> Kept {
        Kept::NOTHING
    }

    /// Makes the snapshot durable, then visible. Finishing a snapshot that is already there
    /// replaces it.
    ///
    /// # Errors
    /// [`StoreError`]; the snapshot is then not visible.
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError>;

    /// Throws away what was written, also what would be kept for another attempt.
    fn discard(self: Box<Self>);
}

/// Reads the bytes of one snapshot, from the first to the last.
pub trait SnapshotRead: Read + Send {
    /// Moves to the byte after `kept`, which somebody else has already; the checks then cover the
    /// rest together with that part. Says whether it did: by default it cannot, and stands where it
    /// stood.
    ///
    /// # Errors
    /// Of the medium.
    fn start_after(&mut self, kept: Kept) -> std::io::Result<bool> {
        let _ = kept;
        Ok(false)
    }
}

impl SnapshotRead for Cursor<Bytes> {
    fn start_after(&mut self, kept: Kept) -> std::io::Result<bool> {
        self.seek(SeekFrom::Start(kept.size))?;
        Ok(true)
    }
}
