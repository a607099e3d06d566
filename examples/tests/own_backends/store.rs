//! The append-only file, under every suite that fits a store on files.

use std::path::Path;

use raft_core::conformance::OnDirectory;
use raft_examples::own::file_store;
use tempfile::TempDir;

fn backend() -> OnDirectory<TempDir> {
    OnDirectory::new(directory, |directory| file_store::open(directory))
}

fn directory() -> TempDir {
    TempDir::new().expect("a directory")
}

mod log {
    raft_core::log_conformance!(super::backend());
}

mod stable {
    raft_core::stable_conformance!(super::backend());
}

mod snapshot {
    raft_core::snapshot_conformance!(super::backend());
}

mod files {
    raft_core::file_conformance!(super::backend());
}

mod kill {
    raft_core::kill_conformance!(
        super::directory(),
        |directory: &super::Path| super::file_store::open(directory).expect("the store opens"),
        20
    );
}
