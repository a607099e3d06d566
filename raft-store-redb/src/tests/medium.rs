//! redb on the medium of the conformance suites.

use std::io;

use raft_core::conformance::medium::{Medium, MediumFile};
use redb::StorageBackend;

/// The database's file.
#[derive(Clone, Debug)]
pub(super) struct OnMedium(MediumFile);

pub(super) const DATABASE: &str = "raft.redb";

impl OnMedium {
    pub(super) fn of(medium: &Medium) -> Self {
        Self(medium.file(DATABASE))
    }
}

impl StorageBackend for OnMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
