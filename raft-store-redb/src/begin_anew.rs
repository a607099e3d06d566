//! Damaged stores begin anew, and remember whose they were.

use std::fs::File;
use std::path::Path;

use raft_core::FormerLives;
use raft_core::store::records::StableRecords;
use raft_core::store::{
    BeginningAnew, DirectoryLock, Relocation, StableKey, StableRecord, StoreError, Stores,
    create_directory,
};
use redb::ReadableDatabase;

use crate::config::RedbConfig;
use crate::database;
use crate::error::guarded;
use crate::open::{self, DATABASE, FLOOR, Paths, open_with};
use crate::read_only::Overlay;

/// As [`open_with`], but on damage the stores begin anew: see [`begin_anew`].
///
/// # Errors
/// As [`begin_anew`], and [`StoreError::InUse`].
pub fn open_or_begin_anew(
    directory: impl AsRef<Path>,
    config: &RedbConfig,
) -> Result<Stores, StoreError> {
    let directory = directory.as_ref();
    match open_with(directory, config) {
        Err(error) if error.is_damage() => begin_anew(directory, config, &error.to_string()),
        opened => opened,
    }
}

/// Lets the stores in `directory` begin anew, for `reason`: they were found damaged, here or when
/// their node started or ran, or their disk was lost. Then opens them.
///
/// What was there is moved into `damaged-1` (then `-2`, `-3`), and nothing of it is deleted. New, empty
/// stores take its place, which remember that every former life of the node is over. A node that is
/// started on them abstains from elections, gets what it lost from the leader, snapshots that are intact
/// aside, and becomes a voter again without an operator, as long as the others are a majority without
/// it. It never founds a group: an initial membership is ignored. So do not call this where no other
/// node has the data.
///
/// Stop the node and drop every handle of it first: a handle keeps the snapshots open.
///
/// A crash at any moment is gone on from by the next opening, whichever function it is.
///
/// # Errors
/// [`StoreError::Moved`] or [`StoreError::Unfinished`] for stores whose data was moved away, or did not
/// arrive yet; [`StoreError::KeepsFailing`] for a directory that has begun anew three times, [`StoreError::InUse`],
/// [`StoreError::Io`].
pub fn begin_anew(
    directory: impl AsRef<Path>,
    config: &RedbConfig,
    reason: &str,
) -> Result<Stores, StoreError> {
    let directory = directory.as_ref();
    create_directory(directory)?;
    let lock = DirectoryLock::acquire(directory)?;
    let beginning = BeginningAnew::new(directory, &lock, DATABASE, &[FLOOR]);
    let paths = Paths::new(directory);
    match beginning.is_under_way() {
        Ok(true) => {}
        Ok(false) => beginning.announce(former_lives(&paths, config, reason)?)?,
        // What the marker remembered is lost with it.
        Err(error) if error.is_damage() => {
            beginning.announce(FormerLives::new(None, None, reason))?;
        }
        Err(error) => return Err(error),
    }
    finish(&beginning, &paths, config)?;
    drop(lock);
    open_with(directory, config)
}

/// Goes on with a beginning that was interrupted, if one was.
pub(crate) fn finish(
    beginning: &BeginningAnew<'_>,
    paths: &Paths,
    config: &RedbConfig,
) -> Result<(), StoreError> {
    beginning.finish(|former| {
        let name = StableKey::FormerLives.name().to_owned();
        let records = StableRecords::from([(name, former.to_record()?)]);
        open::create(paths, config, &records)
    })
}

/// What the damaged database can still tell of whose it is: read page by page, and changing nothing.
fn former_lives(
    paths: &Paths,
    config: &RedbConfig,
    reason: &str,
) -> Result<FormerLives, StoreError> {
    // Only damage excuses from knowing: whatever else stands in the way may be mended.
    let records = match stable_records(paths, config) {
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, "whose the damaged database is cannot be read");
            StableRecords::new()
        }
        read => read?,
    };
    let record = |key: StableKey| records.get(key.name());
    // The node lives elsewhere, or not here yet: nothing is over.
    let relocation = record(StableKey::Relocation);
    if let Some(Ok(relocation)) = relocation.map(|bytes| Relocation::from_record(bytes)) {
        relocation.permit()?;
    }
    let identity = record(StableKey::Identity);
    let identity = identity.and_then(|bytes| StableRecord::from_record(bytes).ok());
    let before = record(StableKey::FormerLives).map(|bytes| StableRecord::from_record(bytes));
    Ok(match before {
        Some(Err(_)) => FormerLives::new(None, None, reason),
        None => FormerLives::new(identity, None, reason),
        Some(Ok(before)) => FormerLives::new(identity, Some(before), reason),
    })
}

fn stable_records(paths: &Paths, config: &RedbConfig) -> Result<StableRecords, StoreError> {
    if !open::exists(&paths.database)? {
        return Ok(StableRecords::new());
    }
    let place = paths.database.display().to_string();
    let file = File::open(&paths.database);
    let overlay = file
        .and_then(Overlay::new)
        .map_err(StoreError::io(&place, "open"))?;
    guarded(&place, "read", || {
        let database = database::builder(config).create_with_backend(overlay)?;
        database::stable_records(&database.begin_read()?, &place)
    })
}
