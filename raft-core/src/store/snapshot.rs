//! The contract of a snapshot store.

use std::io::{Read, Write};

use super::StoreError;
use crate::id::LogId;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};

/// Keeps finished snapshots, named by the last entry they contain.
///
/// **Thread.** Shared by several threads; any call may block and none is made on the event loop.
///
/// **Durability.** A snapshot is invisible until [`SnapshotSink::finish`] returns, and durable
/// from then on. After a crash an unfinished one is gone; its remains are removed at the next
/// open.
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

    /// Opens the snapshot that ends with `last`, and verifies it while it is read: a reader that
    /// reaches the end has read what was written.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or [`StoreError::Misuse`] if there is no such snapshot.
    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn Read + Send>), StoreError>;

    /// Removes all but the newest `keep` snapshots (at least one is kept). Damaged ones stay, for
    /// inspection. Readers that are open read on undisturbed.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn retain(&self, keep: usize) -> Result<(), StoreError>;
}

/// Receives the bytes of one snapshot. Dropped unfinished, it leaves nothing behind.
pub trait SnapshotSink: Write + Send {
    /// Makes the snapshot durable, then visible. Finishing a snapshot that is already there
    /// replaces it.
    ///
    /// # Errors
    /// [`StoreError`]; the snapshot is then not visible.
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError>;
}
