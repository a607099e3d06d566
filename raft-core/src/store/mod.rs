//! The storage contracts, and the snapshot store on files.

mod directory;
mod error;
mod file_snapshot;
mod floor;
mod log;
mod snapshot;
mod stable;
mod stable_record;
mod unsynced;

pub use directory::{DirectoryLock, create_directory, publish, sync_directory};
pub use error::StoreError;
pub use file_snapshot::FileSnapshotStore;
#[cfg(feature = "sim")]
pub(crate) use file_snapshot::marks;
pub use floor::{Floor, FloorMark};
pub use log::{LogBounds, LogReader, LogStore};
pub use snapshot::{SnapshotRead, SnapshotSink, SnapshotStore};
pub use stable::{StableKey, StableStore};
pub use stable_record::StableRecord;
pub use unsynced::Unsynced;

use std::fmt;
use std::sync::Arc;

/// Everything a node keeps, as values: a config file can choose each.
///
/// Replace one part with struct update syntax: `Stores { snapshots: mine, ..stores }`.
pub struct Stores {
    /// The log.
    pub log: Box<dyn LogStore>,
    /// Term and vote, and the identity.
    pub stable: Box<dyn StableStore>,
    /// Snapshots.
    pub snapshots: Arc<dyn SnapshotStore>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}
