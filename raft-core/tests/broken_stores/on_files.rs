//! The snapshot store on files, broken in one way.

use std::path::Path;
use std::sync::Arc;

use raft_core::conformance::files::{read_files, write_files};
use raft_core::conformance::medium::Files;
use raft_core::conformance::{Backend, FileBackend};
use raft_core::memory::MemoryStores;
use raft_core::store::{FileSnapshotStore, StoreError, Stores};
use tempfile::TempDir;

use crate::broken::{Fault, Remembered};
use crate::snapshots::BrokenSnapshots;

pub(crate) struct OnFiles {
    directory: TempDir,
    copy: TempDir,
    fault: Option<Fault>,
}

impl OnFiles {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self {
            directory: directory(),
            copy: directory(),
            fault,
        }
    }
}

impl Backend for OnFiles {
    fn open(&mut self) -> Stores {
        open_snapshots(self.directory.path(), self.fault).expect("open the directory")
    }
}

impl FileBackend for OnFiles {
    fn files(&mut self) -> Files {
        read_files(self.directory.path()).expect("read the directory")
    }

    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError> {
        self.copy = directory();
        write_files(self.copy.path(), files).expect("write the copy");
        open_snapshots(self.copy.path(), self.fault)
    }
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
