//! The stores of this crate keep the contracts.

use std::path::Path;
use std::sync::Arc;

use raft_core::conformance::{Backend, FaultyBackend, OnDirectory};
use raft_core::memory::MemoryStores;
use raft_core::store::{FileSnapshotStore, StoreError, Stores};
use tempfile::TempDir;

#[derive(Default)]
struct Memory(MemoryStores);

impl Backend for Memory {
    fn open(&mut self) -> Stores {
        self.0.open()
    }
}

/// What was synced must be there also after the power failed.
#[derive(Default)]
struct MemoryThatCrashes(MemoryStores);

impl Backend for MemoryThatCrashes {
    fn open(&mut self) -> Stores {
        self.0.crash();
        self.0.open()
    }
}

impl FaultyBackend for MemoryThatCrashes {
    fn fail_next_sync(&mut self) {
        self.0.break_down();
    }
}

/// Snapshots on files. Log and records are in memory, and not under test.
fn on_files() -> OnDirectory<TempDir> {
    OnDirectory::new(directory, |directory| {
        open_snapshots(&directory.join("a/b"))
    })
}

fn open_snapshots(directory: &Path) -> Result<Stores, StoreError> {
    let snapshots = FileSnapshotStore::open(directory)?;
    Ok(Stores {
        snapshots: Arc::new(snapshots),
        ..MemoryStores::new().open()
    })
}

/// In memory where the system has such a directory: nothing here depends on a real disk.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}

mod memory {
    raft_core::log_conformance!(super::Memory::default());
    raft_core::stable_conformance!(super::Memory::default());
    raft_core::snapshot_conformance!(super::Memory::default());
}

mod memory_that_crashes {
    raft_core::log_conformance!(super::MemoryThatCrashes::default());
    raft_core::stable_conformance!(super::MemoryThatCrashes::default());
    raft_core::snapshot_conformance!(super::MemoryThatCrashes::default());
    raft_core::fault_conformance!(super::MemoryThatCrashes::default());
}

mod files {
    raft_core::snapshot_conformance!(super::on_files());
    raft_core::snapshot_file_conformance!(super::on_files());
    raft_core::snapshot_kill_conformance!(
        super::directory(),
        |directory: &super::Path| super::open_snapshots(directory).expect("open the directory"),
        60
    );
}
