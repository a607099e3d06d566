//! The storage contracts, and the snapshot store on files.

mod begin_anew;
mod commits;
pub(crate) mod contents;
mod directory;
mod error;
mod file_snapshot;
mod floor;
mod log;
mod read_only;
pub mod records;
mod relocation;
mod snapshot;
mod stable;
mod stable_record;
mod stored;
mod unsynced;

pub use begin_anew::BeginningAnew;
pub use commits::{CommitMark, Commits};
pub use directory::{DirectoryLock, create_directory, publish, sync_directory};
pub use error::StoreError;
#[cfg(feature = "sim")]
pub(crate) use file_snapshot::marks;
pub use file_snapshot::{FileSnapshotStore, ReadOnlySnapshots};
pub use floor::{Floor, FloorMark};
pub use log::{LogBounds, LogReader, LogStore};
pub use read_only::ReadOnlyStores;
pub use relocation::Relocation;
pub use snapshot::{SnapshotRead, SnapshotSink, SnapshotStore};
pub use stable::{StableKey, StableStore};
pub use stable_record::StableRecord;
pub use stored::{StoredRange, check_ends, stored_entry};
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
