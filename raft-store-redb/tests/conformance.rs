//! The stores keep the contracts.

use raft_core::conformance::Backend;
use raft_core::store::Stores;
use tempfile::TempDir;

struct Redb(TempDir);

impl Redb {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }
}

impl Backend for Redb {
    fn open(&mut self) -> Stores {
        raft_store_redb::open(self.0.path()).expect("open the stores")
    }
}

raft_core::log_conformance!(Redb::new());
raft_core::stable_conformance!(Redb::new());
raft_core::snapshot_conformance!(Redb::new());
