//! The stores of this crate keep the contracts.

use std::sync::Arc;

use raft_core::conformance::Backend;
use raft_core::memory::MemoryStores;
use raft_core::store::{FileSnapshotStore, Stores};
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

struct Files {
    directory: TempDir,
    others: MemoryStores,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: TempDir::new().expect("a directory"),
            others: MemoryStores::new(),
        }
    }
}

impl Backend for Files {
    fn open(&mut self) -> Stores {
        let directory = self.directory.path().join("a/b");
        let snapshots = FileSnapshotStore::open(directory).expect("open the directory");
        Stores {
            snapshots: Arc::new(snapshots),
            ..self.others.open()
        }
    }
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
}

mod files {
    raft_core::snapshot_conformance!(super::Files::new());
}
