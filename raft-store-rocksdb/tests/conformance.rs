//! The stores keep the contracts.

use raft_core::conformance::Backend;
use raft_core::store::Stores;
use tempfile::TempDir;

struct Rocksdb(TempDir);

impl Rocksdb {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }
}

impl Backend for Rocksdb {
    fn open(&mut self) -> Stores {
        raft_store_rocksdb::open(self.0.path()).expect("open the stores")
    }
}

raft_core::log_conformance!(Rocksdb::new());
raft_core::stable_conformance!(Rocksdb::new());
raft_core::snapshot_conformance!(Rocksdb::new());
