//! The store of the manual's chapter passes what every store must pass.

use raft_core::conformance::Backend;
use raft_core::store::Stores;
use raft_examples::own::file_store;
use tempfile::TempDir;

struct OnFile(TempDir);

impl OnFile {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }
}

impl Backend for OnFile {
    fn open(&mut self) -> Stores {
        file_store::open(self.0.path()).expect("the store opens")
    }
}

mod log {
    raft_core::log_conformance!(super::OnFile::new());
}

mod stable {
    raft_core::stable_conformance!(super::OnFile::new());
}

mod snapshot {
    raft_core::snapshot_conformance!(super::OnFile::new());
}
