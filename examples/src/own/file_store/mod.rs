//! A log store and a stable store on one append-only file.
//!
//! Nothing is ever changed in place: every commit is a frame at the end of the file, and what it
//! replaces is left behind until the file is written anew.
//!
//! ```text
//! directory/
//!   lock         held by the process that has the directory open
//!   log          header, then one frame a commit
//!   floor        how many commits there must be, see raft_core::store::Floor
//!   snapshots/   see raft_core::store::FileSnapshotStore
//! ```
//!
//! | crash | what is found | what becomes of it |
//! |---|---|---|
//! | while the file is created or written anew | `log.tmp` | overwritten by the next attempt |
//! | during a commit | a last frame that is torn | cut off: it was never acknowledged |
//! | between a commit and its floor | one commit more than the floor counts | it counts |
//!
//! **Damage.** Frames and records carry checksums, which are verified whenever they are read. A
//! frame that is not intact is a torn end only if no later frame follows and the floor does not
//! count it; otherwise it is damage. What remains: after a power cut the floor may be older than the
//! log, and damage to the very last frames is then taken for a torn end.
//!
//! **Memory.** About 50 bytes an entry, for where it lies.

mod anew;
mod database;
mod frame;
mod index;
mod log;
mod replay;

use std::path::Path;
use std::sync::Arc;

use raft_core::store::{DirectoryLock, FileSnapshotStore, StoreError, Stores, create_directory};

use database::Database;
use log::{FileLog, FileStable};

/// Opens the stores in `directory`; creates them if it is new.
///
/// # Errors
/// [`StoreError::InUse`] if another process has it open, [`StoreError::Damaged`] if anything is not
/// what was written or is missing, [`StoreError::Io`].
pub fn open(directory: impl AsRef<Path>) -> Result<Stores, StoreError> {
    let directory = directory.as_ref();
    create_directory(directory)?;
    let lock = DirectoryLock::acquire(directory)?;
    let snapshots = FileSnapshotStore::open(directory.join("snapshots"))?;
    let database = Arc::new(Database::open(directory, lock, &snapshots)?);
    Ok(Stores {
        log: Box::new(FileLog::new(Arc::clone(&database))),
        stable: Box::new(FileStable::new(database)),
        snapshots: Arc::new(snapshots),
    })
}
