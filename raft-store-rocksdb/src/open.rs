//! Opens a directory: creates what is new, refuses what is damaged or taken.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::store::records::StableRecords;
use raft_core::store::{
    BeginningAnew, DirectoryLock, FileSnapshotStore, Floor, SnapshotStore, StoreError, Stores,
    create_directory, publish,
};

use crate::begin_anew;
use crate::config::RocksdbConfig;
use crate::database::{self, Database};
use crate::log::RocksdbLog;
use crate::stable::RocksdbStable;
use crate::verified::TORN;

/// Opens the stores in `directory` with default settings; creates them if it is new.
///
/// Reads the log of writes, which takes about a second for the 128 MiB that it may have.
///
/// # Errors
/// [`StoreError::InUse`] if another process has the directory open, [`StoreError::Damaged`] if
/// anything in it is not what was written or is missing, [`StoreError::Io`].
pub fn open(directory: impl AsRef<Path>) -> Result<Stores, StoreError> {
    open_with(directory, &RocksdbConfig::default())
}

/// As [`open`], with settings.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    directory: impl AsRef<Path>,
    config: &RocksdbConfig,
) -> Result<Stores, StoreError> {
    let (database, snapshots) = open_directory(directory.as_ref(), config)?;
    let database = Arc::new(database);
    Ok(Stores {
        log: Box::new(RocksdbLog::new(Arc::clone(&database))?),
        stable: Box::new(RocksdbStable::new(database)?),
        snapshots: Arc::new(snapshots),
    })
}

/// Shrinks the database in `directory`, which must not be open. Purged entries leave marks and
/// parts of files that RocksDB merges away when there are enough of them. Returns whether the
/// database became smaller.
///
/// # Errors
/// As [`open`].
pub fn compact(directory: impl AsRef<Path>, config: &RocksdbConfig) -> Result<bool, StoreError> {
    let (mut database, _) = open_directory(directory.as_ref(), config)?;
    database.compact()
}

fn open_directory(
    directory: &Path,
    config: &RocksdbConfig,
) -> Result<(Database, FileSnapshotStore), StoreError> {
    create_directory(directory)?;
    let lock = DirectoryLock::acquire(directory)?;
    let paths = Paths::new(directory);
    let beginning = BeginningAnew::new(directory, &lock, DATABASE, &[FLOOR, TORN]);
    begin_anew::finish(&beginning, &paths, config)?;
    let snapshots = FileSnapshotStore::open(&paths.snapshots)?;
    if !exists(&paths.database)? {
        refuse_if_used(&paths, &snapshots)?;
        create(&paths, config, &StableRecords::new())?;
    }
    let open_floor = |commits, lock: &DirectoryLock| open_floor(&paths.floor, commits, lock);
    let database = Database::open(&paths.database, config, lock, open_floor)?;
    Ok((database, snapshots))
}

/// The name of the database.
pub(crate) const DATABASE: &str = "raft.rocksdb";
/// The name of the floor.
pub(crate) const FLOOR: &str = "floor";

/// What lies where in the directory.
pub(crate) struct Paths {
    pub(crate) database: PathBuf,
    aside: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) snapshots: PathBuf,
}

impl Paths {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            database: directory.join(DATABASE),
            aside: directory.join("raft.rocksdb.tmp"),
            floor: directory.join(FLOOR),
            snapshots: directory.join("snapshots"),
        }
    }
}

/// A database that is missing where one was used is damage: an empty log would vote and
/// acknowledge as if nothing had ever been promised.
fn refuse_if_used(paths: &Paths, snapshots: &FileSnapshotStore) -> Result<(), StoreError> {
    let trace = if exists(&paths.floor)? {
        "its floor"
    } else if !snapshots.list()?.is_empty() {
        "a snapshot"
    } else {
        return Ok(());
    };
    let place = paths.database.display().to_string();
    let detail = format!("the directory is missing, but {trace} is there");
    Err(StoreError::damaged(place, "the whole database", &detail))
}

/// Removes a directory, if it is there, with all that is in it.
pub(crate) fn remove_directory(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(StoreError::io(path.display().to_string(), "remove")),
    }
}

/// Creates the database aside: a crash meanwhile could leave files that never open.
pub(crate) fn create(
    paths: &Paths,
    config: &RocksdbConfig,
    stable: &StableRecords,
) -> Result<(), StoreError> {
    remove_directory(&paths.aside)?;
    database::create(&paths.aside, config, stable)?;
    publish(&paths.aside, &paths.database)
}

/// The floor is created right after the database, so only one without commits may lack it.
pub(crate) fn open_floor(
    path: &Path,
    commits: u64,
    lock: &DirectoryLock,
) -> Result<Floor, StoreError> {
    if exists(path)? {
        return Floor::open(path);
    }
    if commits == 0 {
        return Floor::create(path, lock);
    }
    let place = path.display().to_string();
    let detail = format!("the file is missing, but the database has {commits} commits");
    Err(StoreError::damaged(place, "the floor", &detail))
}

pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    let place = path.display().to_string();
    path.try_exists().map_err(StoreError::io(place, "look for"))
}
