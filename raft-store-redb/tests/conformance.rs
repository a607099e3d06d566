//! The stores keep the contracts. What needs a medium is in `src/tests/mod.rs`.

use std::path::Path;

use raft_core::conformance::files::{read_files, write_files};
use raft_core::conformance::medium::Files;
use raft_core::conformance::{Backend, FileBackend};
use raft_core::store::{StoreError, Stores};
use tempfile::TempDir;

struct Redb {
    directory: TempDir,
    copy: TempDir,
}

impl Redb {
    fn new() -> Self {
        Self {
            directory: directory(),
            copy: directory(),
        }
    }
}

impl Backend for Redb {
    fn open(&mut self) -> Stores {
        open(self.directory.path())
    }
}

impl FileBackend for Redb {
    fn files(&mut self) -> Files {
        read_files(self.directory.path()).expect("read the directory")
    }

    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError> {
        self.copy = directory();
        write_files(self.copy.path(), files).expect("write the copy");
        raft_store_redb::open(self.copy.path())
    }
}

fn open(directory: &Path) -> Stores {
    raft_store_redb::open(directory).expect("open the stores")
}

/// In memory where the system has such a directory: nothing here depends on a real disk.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}

raft_core::log_conformance!(Redb::new());
raft_core::stable_conformance!(Redb::new());
raft_core::snapshot_conformance!(Redb::new());
raft_core::file_conformance!(Redb::new());
raft_core::snapshot_file_conformance!(Redb::new());
raft_core::kill_conformance!(directory(), open, 200);
raft_core::snapshot_kill_conformance!(directory(), open, 30);
