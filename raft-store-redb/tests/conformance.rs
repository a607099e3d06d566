//! The stores keep the contracts. What needs a medium is in `src/tests/mod.rs`: it fails the database
//! alone, and the suite of the disk all files together, with their names.

use std::path::Path;

use raft_core::conformance::OnDirectory;
use raft_core::store::Stores;
use tempfile::TempDir;

fn backend() -> OnDirectory<TempDir> {
    OnDirectory::new(directory, |directory| raft_store_redb::open(directory))
}

fn open(directory: &Path) -> Stores {
    raft_store_redb::open(directory).expect("open the stores")
}

/// In memory where the system has such a directory: nothing here depends on a real disk.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}

raft_core::log_conformance!(backend());
raft_core::stable_conformance!(backend());
raft_core::snapshot_conformance!(backend());
raft_core::file_conformance!(backend());
raft_core::snapshot_file_conformance!(backend());
raft_core::kill_conformance!(directory(), open, 200);
raft_core::snapshot_kill_conformance!(directory(), open, 30);
#[cfg(target_os = "linux")]
raft_core::disk_conformance!(directory(), |path: &Path| raft_store_redb::open(path), 200);
