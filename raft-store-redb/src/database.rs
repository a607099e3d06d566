//! The open database, which log, stable records and readers share.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use raft_core::id::{ChainLink, GroupId};
use raft_core::store::{DirectoryLock, Floor, FloorMark, LogBounds, StoreError};
use redb::{
    Durability, ReadTransaction, ReadableDatabase, ReadableTableMetadata, StorageBackend,
    WriteTransaction,
};
use tracing::warn;

use crate::config::RedbConfig;
use crate::error::{Failure, guarded};
use crate::layout::{self, ENTRIES, RECORDS, STORE_NAME, StableRecords};
use crate::reader::read_entry;
use crate::verified::Verified;

/// The one group of today.
pub(crate) const GROUP: GroupId = GroupId::new(0);

/// An open, verified database.
pub(crate) struct Database {
    place: String,
    redb: redb::Database,
    writer: Mutex<Writer>,
    _lock: DirectoryLock,
}

/// What only the thread that commits needs.
struct Writer {
    commits: u64,
    last: ChainLink,
    floor: Floor,
    failed: bool,
}

/// Writes the tables of a new database. The file is complete once the value that this opens is
/// dropped.
pub(crate) fn create(
    place: &str,
    backend: impl StorageBackend,
    config: &RedbConfig,
) -> Result<(), StoreError> {
    guarded(place, "create", || {
        let database = builder(config).create_with_backend(backend)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ENTRIES)?;
        let mut records = transaction.open_table(RECORDS)?;
        records.insert(STORE_NAME, layout::encode_store(0).as_slice())?;
        let log = layout::encode_log(GROUP, LogBounds::default());
        records.insert(layout::log_name(GROUP).as_str(), log.as_slice())?;
        let stable = layout::encode_stable(place, GROUP, &StableRecords::new())?;
        records.insert(layout::stable_name(GROUP).as_str(), stable.as_slice())?;
        drop(records);
        transaction.commit()?;
        database.close()?;
        Ok(())
    })
}

impl Database {
    /// Opens and verifies a database. `floor` opens its floor, given the number of commits.
    pub(crate) fn open(
        place: String,
        backend: impl StorageBackend,
        config: &RedbConfig,
        lock: DirectoryLock,
        floor: impl FnOnce(u64, &DirectoryLock) -> Result<Floor, StoreError>,
    ) -> Result<Self, StoreError> {
        let (redb, commits, bounds) = open_checked(&place, backend, config)?;
        let mut floor = floor(commits, &lock)?;
        let last = bounds.last;
        check_floor(&place, floor.mark(), FloorMark { commits, last })?;
        floor.raise(FloorMark { commits, last })?;
        floor.sync()?;
        Ok(Self {
            place,
            redb,
            writer: Mutex::new(Writer {
                commits,
                last,
                floor,
                failed: false,
            }),
            _lock: lock,
        })
    }

    /// The database's file, for errors.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Reads from one consistent state, the latest commit.
    pub(crate) fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&ReadTransaction, &str) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        guarded(&self.place, operation, || {
            read(&self.redb.begin_read()?, &self.place)
        })
    }

    /// Commits a change, durably: one transaction, one sync. Then raises the floor.
    pub(crate) fn commit(
        &self,
        operation: &'static str,
        change: &Change<'_>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if mem::replace(&mut writer.failed, true) {
            // What the failed commit left behind is unknown: only a new opening finds out.
            let source = io::Error::other("an earlier commit failed, open the store anew");
            return Err(StoreError::io(&self.place, operation)(source));
        }
        let commits = writer.commits + 1;
        guarded(&self.place, operation, || {
            let mut transaction = self.redb.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            (change.apply)(&transaction)?;
            let mut records = transaction.open_table(RECORDS)?;
            records.insert(STORE_NAME, layout::encode_store(commits).as_slice())?;
            drop(records);
            transaction.commit()?;
            Ok(())
        })?;
        writer.commits = commits;
        writer.last = change.last.unwrap_or(writer.last);
        let last = writer.last;
        writer.floor.raise(FloorMark { commits, last })?;
        if change.sync_floor {
            writer.floor.sync()?;
        }
        writer.failed = false;
        Ok(())
    }

    /// Gives space that was freed back to the file system.
    pub(crate) fn compact(&mut self) -> Result<bool, StoreError> {
        guarded(&self.place, "compact", || Ok(self.redb.compact()?))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic inside a commit leaves `failed` set, which says all there is to say.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a database that exists, verifies it whole, and returns how many commits it holds and where its
/// log begins and ends.
pub(crate) fn open_checked(
    place: &str,
    backend: impl StorageBackend,
    config: &RedbConfig,
) -> Result<(redb::Database, u64, LogBounds), StoreError> {
    guarded(place, "open", || {
        let redb = open_verified(place, backend, config)?;
        let transaction = redb.begin_read()?;
        let commits = layout::decode_store(place, &record(&transaction, place, STORE_NAME)?)?;
        let bounds = bounds(&transaction, place)?;
        cross_check(&transaction, place, bounds)?;
        drop(transaction);
        Ok((redb, commits, bounds))
    })
}

/// What one commit does.
pub(crate) struct Change<'a> {
    /// Writes to the tables.
    pub(crate) apply: &'a dyn Fn(&WriteTransaction) -> Result<(), Failure>,
    /// The log's last entry afterwards, if it changes.
    pub(crate) last: Option<ChainLink>,
    /// Whether the floor is made durable too: for rare commits, it costs a sync.
    pub(crate) sync_floor: bool,
}

impl Drop for Database {
    fn drop(&mut self) {
        let writer = self.writer();
        if let (false, Err(error)) = (writer.failed, writer.floor.sync()) {
            warn!(place = self.place, %error, "the floor is not durable");
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A record's sealed value. Every record is written when the database is created.
fn record(transaction: &ReadTransaction, place: &str, name: &str) -> Result<Vec<u8>, Failure> {
    let records = transaction.open_table(RECORDS)?;
    let Some(value) = records.get(name)? else {
        return Err(StoreError::damaged(place, name, &"the record is missing").into());
    };
    Ok(value.value().to_vec())
}

/// Where the log begins and ends.
pub(crate) fn bounds(transaction: &ReadTransaction, place: &str) -> Result<LogBounds, Failure> {
    let sealed = record(transaction, place, &layout::log_name(GROUP))?;
    Ok(layout::decode_log(place, GROUP, &sealed)?)
}

/// The stable records.
pub(crate) fn stable_records(
    transaction: &ReadTransaction,
    place: &str,
) -> Result<StableRecords, Failure> {
    let sealed = record(transaction, place, &layout::stable_name(GROUP))?;
    Ok(layout::decode_stable(place, GROUP, &sealed)?)
}

fn builder(config: &RedbConfig) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(config.cache_bytes);
    builder
}

/// Opens a database that exists, and verifies every page.
fn open_verified(
    place: &str,
    backend: impl StorageBackend,
    config: &RedbConfig,
) -> Result<redb::Database, Failure> {
    // redb takes an empty file for a new database.
    if backend.len().map_err(redb::StorageError::Io)? == 0 {
        return Err(StoreError::damaged(place, "the file", &"it is empty").into());
    }
    Ok(builder(config)
        .set_check_integrity_on_open(true)
        .create_with_backend(Verified::new(backend))?)
}

/// The table must hold exactly the entries between the bounds. Those at either end are read: every
/// other one is when the node starts.
fn cross_check(
    transaction: &ReadTransaction,
    place: &str,
    bounds: LogBounds,
) -> Result<(), Failure> {
    let entries = transaction.open_table(ENTRIES)?;
    let range = bounds.range();
    let expected = bounds.last.id.index.distance_from(bounds.purged.id.index);
    if entries.len()? != expected || range.start > bounds.last.id.index.next() {
        let detail = format!(
            "the log lies after {} and through {}, the table has {} entries",
            bounds.purged,
            bounds.last,
            entries.len()?
        );
        return Err(StoreError::damaged(place, layout::log_name(GROUP), &detail).into());
    }
    if bounds.is_empty() {
        return Ok(());
    }
    let first = read_entry(&entries, place, range.start)?;
    let last = read_entry(&entries, place, bounds.last.id.index)?;
    if !first.follows(bounds.purged) || last.link() != bounds.last {
        let detail = format!(
            "it begins with {} and ends with {}, expected after {} and through {}",
            first.link(),
            last.link(),
            bounds.purged,
            bounds.last
        );
        return Err(StoreError::damaged(place, layout::log_name(GROUP), &detail).into());
    }
    Ok(())
}

pub(crate) fn check_floor(
    place: &str,
    floor: FloorMark,
    found: FloorMark,
) -> Result<(), StoreError> {
    if floor.commits < found.commits || floor == found {
        return Ok(());
    }
    let detail = format!(
        "commit {} was made durable, with the log through {}; found is commit {}, with the log through {}",
        floor.commits, floor.last, found.commits, found.last
    );
    Err(StoreError::damaged(place, "the latest commits", &detail))
}
