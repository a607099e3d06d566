//! The snapshot store on files, broken in one way.

use std::path::Path;
use std::sync::Arc;

use raft_core::conformance::OnDirectory;
use raft_core::memory::MemoryStores;
use raft_core::store::{FileSnapshotStore, StoreError, Stores};
use tempfile::TempDir;

use crate::broken::{Fault, Remembered};
use crate::snapshots::BrokenSnapshots;

/// With this fault, or none.
pub(crate) fn on_files(fault: Option<Fault>) -> OnDirectory<TempDir> {
    OnDirectory::new(directory, move |directory| open_snapshots(directory, fault))
}

pub(crate) fn open_snapshots(directory: &Path, fault: Option<Fault>) -> Result<Stores, StoreError> {
    let snapshots = Arc::new(FileSnapshotStore::open(directory)?);
    Ok(Stores {
        snapshots: Arc::new(BrokenSnapshots::new(snapshots, Remembered::new(fault))),
        ..MemoryStores::new().open()
    })
}

/// In memory where the system has such a directory.
pub(crate) fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}
