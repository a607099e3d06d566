//! The open database, which log, stable records and readers share.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use raft_core::store::records::{self, StableRecords};
use raft_core::store::{
    CommitMark, Commits, DirectoryLock, Floor, FloorMark, LogBounds, StoreError, check_ends,
};
use redb::{
    Durability, ReadTransaction, ReadableDatabase, ReadableTableMetadata, StorageBackend,
    WriteTransaction,
};

use crate::config::RedbConfig;
use crate::error::{Failure, guarded};
use crate::layout::{ENTRIES, GROUP, RECORDS, VERSION};
use crate::reader::read_entry;
use crate::verified::Verified;

/// An open, verified database.
pub(crate) struct Database {
    place: String,
    redb: redb::Database,
    /// Used by the thread that commits alone.
    commits: Mutex<Commits>,
    _lock: DirectoryLock,
}

/// Writes the tables of a new database, which holds these stable records from its first moment on. The
/// file is complete once the value that this opens is dropped.
pub(crate) fn create(
    place: &str,
    backend: impl StorageBackend,
    config: &RedbConfig,
    stable: &StableRecords,
) -> Result<(), StoreError> {
    guarded(place, "create", || {
        let database = builder(config).create_with_backend(backend)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ENTRIES)?;
        let mut table = transaction.open_table(RECORDS)?;
        let store = records::encode_store(VERSION, 0);
        table.insert(records::STORE, store.as_slice())?;
        let log = records::encode_log(GROUP, LogBounds::default());
        table.insert(records::log_name(GROUP).as_str(), log.as_slice())?;
        let stable = records::encode_stable(place, GROUP, stable)?;
        table.insert(records::stable_name(GROUP).as_str(), stable.as_slice())?;
        drop(table);
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
        let last = bounds.last;
        let commits = Commits::open(&place, floor(commits, &lock)?, FloorMark { commits, last })?;
        Ok(Self {
            place,
            redb,
            commits: Mutex::new(commits),
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
        // A panic inside a commit leaves it failed, which says all there is to say.
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.commit(operation, change.mark, |number| {
            guarded(&self.place, operation, || {
                let mut transaction = self.redb.begin_write()?;
                transaction.set_durability(Durability::Immediate)?;
                (change.apply)(&transaction)?;
                let mut table = transaction.open_table(RECORDS)?;
                let store = records::encode_store(VERSION, number);
                table.insert(records::STORE, store.as_slice())?;
                drop(table);
                transaction.commit()?;
                Ok(())
            })
        })
    }

    /// Gives space that was freed back to the file system.
    pub(crate) fn compact(&mut self) -> Result<bool, StoreError> {
        guarded(&self.place, "compact", || Ok(self.redb.compact()?))
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
        let store = record(&transaction, place, records::STORE)?;
        let commits = records::decode_store(place, VERSION, &store)?;
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
    /// What it means to the floor.
    pub(crate) mark: CommitMark,
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
    let table = transaction.open_table(RECORDS)?;
    let value = records::present(place, name, table.get(name)?)?;
    Ok(value.value().to_vec())
}

/// Where the log begins and ends.
pub(crate) fn bounds(transaction: &ReadTransaction, place: &str) -> Result<LogBounds, Failure> {
    let sealed = record(transaction, place, &records::log_name(GROUP))?;
    Ok(records::decode_log(place, GROUP, &sealed)?)
}

/// The stable records.
pub(crate) fn stable_records(
    transaction: &ReadTransaction,
    place: &str,
) -> Result<StableRecords, Failure> {
    let sealed = record(transaction, place, &records::stable_name(GROUP))?;
    Ok(records::decode_stable(place, GROUP, &sealed)?)
}

pub(crate) fn builder(config: &RedbConfig) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(config.cache.in_memory());
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
    let name = records::log_name(GROUP);
    if entries.len()? != expected || range.start > bounds.last.id.index.next() {
        let detail = format!(
            "the log lies after {} and through {}, the table has {} entries",
            bounds.purged,
            bounds.last,
            entries.len()?
        );
        return Err(StoreError::damaged(place, name, &detail).into());
    }
    check_ends(place, &name, &bounds, |index| {
        read_entry(&entries, place, index)
    })
}
