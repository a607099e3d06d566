//! Opens a directory to look into it, and leaves every byte as it is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use raft_core::store::{DirectoryLock, ReadOnlySnapshots, ReadOnlyStores, StoreError, Stores};

use tempfile::TempDir;

use crate::config::RocksdbConfig;
use crate::database::Database;
use crate::log::RocksdbLog;
use crate::open::{Paths, exists, open_floor};
use crate::stable::RocksdbStable;

/// Opens the stores in `directory` for reading. They must not be open elsewhere, and no node can open
/// them before the value is dropped; several may look at once.
///
/// RocksDB writes whenever it opens a database, and one that a crash left has to be mended first. So
/// the database is copied to a place among the system's temporary files, and the copy is opened like
/// every other: it shows what a start would find. Table files, which never change, are linked instead
/// of copied where the file system can.
///
/// # Errors
/// [`StoreError::InUse`] if a node has the directory open, [`StoreError::Damaged`] if anything in it is
/// not what was written or is missing, [`StoreError::Io`], also if there is no database or no room for
/// the copy.
pub fn open_read_only(
    directory: impl AsRef<Path>,
    config: &RocksdbConfig,
) -> Result<ReadOnlyStores, StoreError> {
    let directory = directory.as_ref();
    let lock = DirectoryLock::share(directory)?;
    let original = Paths::new(directory);
    let aside = place_for_copy()?;
    let copied = Paths::new(aside.path());
    copy(&original, &copied)?;
    let floor = |commits, lock: &DirectoryLock| open_floor(&copied.floor, commits, lock);
    let opened = Database::open(&copied.database, config, lock, floor);
    let database = opened.map_err(|error| named(error, aside.path(), directory))?;
    let database = Arc::new(database);
    let stores = ReadOnlyStores::of(Stores {
        log: Box::new(RocksdbLog::new(Arc::clone(&database))?),
        stable: Box::new(RocksdbStable::new(database)?),
        snapshots: Arc::new(ReadOnlySnapshots::open(&original.snapshots)?),
    })?;
    Ok(stores.keeping(aside))
}

/// A directory for a copy, which nobody else can look into.
pub(crate) fn place_for_copy() -> Result<TempDir, StoreError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("raft-looking-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let made = builder.tempdir();
    made.map_err(StoreError::io("the temporary directory", "create"))
}

/// Copies what an opening needs of a store.
pub(crate) fn copy(from: &Paths, to: &Paths) -> Result<(), StoreError> {
    let place = from.database.display().to_string();
    let failed = || StoreError::io(&place, "copy");
    fs::create_dir(&to.database).map_err(failed())?;
    for item in fs::read_dir(&from.database).map_err(failed())? {
        let path = item.map_err(failed())?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.database.join(name);
        let is_table = path.extension().is_some_and(|kind| kind == "sst");
        if !is_table || fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, target).map_err(failed())?;
        }
    }
    if exists(&from.floor)? {
        let place = from.floor.display().to_string();
        fs::copy(&from.floor, &to.floor).map_err(StoreError::io(place, "copy"))?;
    }
    Ok(())
}

/// An error about the copy, as one about the original.
fn named(error: StoreError, copy: &Path, original: &Path) -> StoreError {
    let (copy, original) = (copy.display().to_string(), original.display().to_string());
    match error {
        StoreError::Damaged {
            place,
            what,
            detail,
        } => StoreError::Damaged {
            place: place.replace(&copy, &original),
            what,
            detail: detail.replace(&copy, &original),
        },
        other => other,
    }
}
