//! Opens a directory to look into it, and leaves every byte as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use raft_core::entry::Entry;
use raft_core::id::LogIndex;
use raft_core::store::{
    DirectoryLock, FloorMark, LogReader, ReadOnlySnapshots, ReadOnlyStores, StableKey, StoreError,
};
use redb::ReadableDatabase;

use crate::config::RedbConfig;
use crate::database;
use crate::error::guarded;
use crate::open::{Paths, exists, missing_floor};
use crate::overlay::Overlay;
use crate::reader::read_range;

/// Opens the stores in `directory` for reading. They must not be open elsewhere, and no node can open
/// them before the value is dropped; several may look at once.
///
/// Verifies the whole database, like every opening, and shows what a start would find.
///
/// # Errors
/// [`StoreError::InUse`] if a node has the directory open, [`StoreError::Damaged`] if anything in it is
/// not what was written or is missing, [`StoreError::Io`], also if there is no database.
pub fn open_read_only(
    directory: impl AsRef<Path>,
    config: &RedbConfig,
) -> Result<ReadOnlyStores, StoreError> {
    let directory = directory.as_ref();
    let lock = DirectoryLock::share(directory)?;
    let paths = Paths::new(directory);
    let place = paths.database.display().to_string();
    let file = File::open(&paths.database);
    let overlay = file
        .and_then(Overlay::new)
        .map_err(StoreError::io(&place, "open"))?;
    let (redb, commits, bounds) = database::open_checked(&place, overlay, config)?;
    let last = bounds.last;
    let found = FloorMark { commits, last };
    match exists(&paths.floor)? {
        true => FloorMark::read(&paths.floor)?.check(&place, found)?,
        false if commits > 0 => return Err(missing_floor(&paths.floor, commits)),
        false => {}
    }
    let looking = Looking {
        place,
        redb,
        _lock: lock,
    };
    let records = looking.records()?;
    let snapshots = Arc::new(ReadOnlySnapshots::open(&paths.snapshots)?);
    Ok(ReadOnlyStores::new(
        bounds,
        Box::new(looking),
        records,
        snapshots,
    ))
}

/// The database as it was found. Nothing commits to it.
struct Looking {
    place: String,
    redb: redb::Database,
    _lock: DirectoryLock,
}

impl Looking {
    fn records(&self) -> Result<BTreeMap<StableKey, Vec<u8>>, StoreError> {
        let mut named = guarded(&self.place, "read the stable records", || {
            database::stable_records(&self.redb.begin_read()?, &self.place)
        })?;
        let known = StableKey::ALL.into_iter();
        Ok(known
            .filter_map(|key| Some((key, named.remove(key.name())?)))
            .collect())
    }
}

impl LogReader for Looking {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        guarded(&self.place, "read entries", || {
            read_range(&self.redb.begin_read()?, &self.place, range, bytes_max)
        })
    }
}
