//! The append-only file, under every suite that fits a store on files.

use std::path::Path;

use raft_core::conformance::files::{read_files, write_files};
use raft_core::conformance::medium::Files;
use raft_core::conformance::{Backend, FileBackend};
use raft_core::store::{StoreError, Stores};
use raft_examples::own::file_store;
use tempfile::TempDir;

struct OnFile {
    directory: TempDir,
    copy: TempDir,
}

impl OnFile {
    fn new() -> Self {
        Self {
            directory: directory(),
            copy: directory(),
        }
    }
}

fn directory() -> TempDir {
    TempDir::new().expect("a directory")
}

impl Backend for OnFile {
    fn open(&mut self) -> Stores {
        file_store::open(self.directory.path()).expect("the store opens")
    }
}

impl FileBackend for OnFile {
    fn files(&mut self) -> Files {
        read_files(self.directory.path()).expect("the directory can be read")
    }

    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError> {
        self.copy = directory();
        write_files(self.copy.path(), files).expect("the copy can be written");
        file_store::open(self.copy.path())
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

mod files {
    raft_core::file_conformance!(super::OnFile::new());
}

mod kill {
    raft_core::kill_conformance!(
        super::directory(),
        |directory: &super::Path| super::file_store::open(directory).expect("the store opens"),
        20
    );
}
