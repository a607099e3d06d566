//! The stores keep the contracts.

use std::path::Path;

use raft_core::conformance::OnDirectory;
use raft_core::store::{StoreError, Stores};
use raft_core::units::Size;
use raft_store_rocksdb::RocksdbConfig;
use tempfile::TempDir;

fn backend() -> OnDirectory<TempDir> {
    OnDirectory::new(directory, |directory| raft_store_rocksdb::open(directory))
}

fn open(directory: &Path) -> Stores {
    raft_store_rocksdb::open(directory).expect("open the stores")
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
raft_core::disk_conformance!(directory(), open_small, 100);

/// With a small buffer, so that table files are written and merged too.
#[cfg(target_os = "linux")]
fn open_small(directory: &Path) -> Result<Stores, StoreError> {
    let config = RocksdbConfig {
        write_buffer: Size(64 << 10),
        ..RocksdbConfig::default()
    };
    raft_store_rocksdb::open_with(directory, &config)
}
