//! Opens a directory: creates what is new, refuses what is damaged or taken.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::store::records::StableRecords;
use raft_core::store::{
    BeginningAnew, DirectoryLock, FileSnapshotStore, Floor, SnapshotStore, StoreError, Stores,
    create_directory, publish,
};
use redb::backends::FileBackend;

use crate::begin_anew;
use crate::config::RedbConfig;
use crate::database::{self, Database};
use crate::error::Failure;
use crate::log::RedbLog;
use crate::stable::RedbStable;

/// Opens the stores in `directory` with default settings; creates them if it is new.
///
/// Verifies the whole database, which takes about a second a GiB.
///
/// # Errors
/// [`StoreError::InUse`] if another process has the directory open, [`StoreError::Damaged`] if
/// anything in it is not what was written or is missing, [`StoreError::Io`].
pub fn open(directory: impl AsRef<Path>) -> Result<Stores, StoreError> {
    open_with(directory, &RedbConfig::default())
}

/// As [`open`], with settings.
///
/// # Errors
/// As [`open`].
pub fn open_with(directory: impl AsRef<Path>, config: &RedbConfig) -> Result<Stores, StoreError> {
    let (database, snapshots) = open_directory(directory.as_ref(), config)?;
    let database = Arc::new(database);
    Ok(Stores {
        log: Box::new(RedbLog::new(Arc::clone(&database))?),
        stable: Box::new(RedbStable::new(database)?),
        snapshots: Arc::new(snapshots),
    })
}

/// Shrinks the database in `directory`, which must not be open. Purged entries leave free space
/// that redb uses again but does not give back by itself. Returns whether the file became smaller.
///
/// # Errors
/// As [`open`].
pub fn compact(directory: impl AsRef<Path>, config: &RedbConfig) -> Result<bool, StoreError> {
    let (mut database, _) = open_directory(directory.as_ref(), config)?;
    database.compact()
}

fn open_directory(
    directory: &Path,
    config: &RedbConfig,
) -> Result<(Database, FileSnapshotStore), StoreError> {
    create_directory(directory)?;
    let lock = DirectoryLock::acquire(directory)?;
    let paths = Paths::new(directory);
    let beginning = BeginningAnew::new(directory, &lock, DATABASE, &[FLOOR]);
    begin_anew::finish(&beginning, &paths, config)?;
    let snapshots = FileSnapshotStore::open(&paths.snapshots)?;
    if !exists(&paths.database)? {
        refuse_if_used(&paths, &snapshots)?;
        create(&paths, config, &StableRecords::new())?;
    }
    let place = paths.database.display().to_string();
    let backend = file_backend(&paths.database, File::options().read(true).write(true))?;
    let open_floor = |commits, lock: &DirectoryLock| open_floor(&paths.floor, commits, lock);
    let database = Database::open(place, backend, config, lock, open_floor)?;
    Ok((database, snapshots))
}

/// The name of the database.
pub(crate) const DATABASE: &str = "raft.redb";
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
            aside: directory.join("raft.redb.tmp"),
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
    let detail = format!("the file is missing, but {trace} is there");
    Err(StoreError::damaged(place, "the whole database", &detail))
}

/// Creates the database aside: a crash meanwhile could leave a file that never opens.
pub(crate) fn create(
    paths: &Paths,
    config: &RedbConfig,
    stable: &StableRecords,
) -> Result<(), StoreError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    let backend = file_backend(&paths.aside, &options)?;
    let place = paths.aside.display().to_string();
    database::create(&place, backend, config, stable)?;
    publish(&paths.aside, &paths.database)
}

/// The floor is created right after the database, so only one without commits may lack it.
fn open_floor(path: &Path, commits: u64, lock: &DirectoryLock) -> Result<Floor, StoreError> {
    if exists(path)? {
        return Floor::open(path);
    }
    if commits == 0 {
        return Floor::create(path, lock);
    }
    Err(missing_floor(path, commits))
}

pub(crate) fn missing_floor(path: &Path, commits: u64) -> StoreError {
    let place = path.display().to_string();
    let detail = format!("the file is missing, but the database has {commits} commits");
    StoreError::damaged(place, "the floor", &detail)
}

fn file_backend(path: &Path, options: &fs::OpenOptions) -> Result<FileBackend, StoreError> {
    let place = path.display().to_string();
    let file = options.open(path).map_err(StoreError::io(&place, "open"))?;
    FileBackend::new(file).map_err(|error| Failure::from(error).into_store_error(&place, "open"))
}

pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    let place = path.display().to_string();
    path.try_exists().map_err(StoreError::io(place, "look for"))
}
