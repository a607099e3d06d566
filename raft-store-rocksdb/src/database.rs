//! The open database, which log, stable records and readers share.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use raft_core::entry::Entry;
use raft_core::id::LogIndex;
use raft_core::store::records::{self, StableRecords};
use raft_core::store::{
    CommitMark, Commits, DirectoryLock, Floor, FloorMark, LogBounds, StoreError, check_ends,
};
use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    DBPinnableSlice, DBRawIterator, DBRecoveryMode, FlushOptions, Options, ReadOptions, Snapshot,
    WriteBatch, WriteOptions, properties,
};

use crate::config::RocksdbConfig;
use crate::error::{Failure, guarded};
use crate::layout::{self, ENTRIES, GROUP, RECORDS, VERSION};
use crate::reader::read_entry;
use crate::verified;

/// An open, verified database.
pub(crate) struct Database {
    place: String,
    rocks: DB,
    /// Used by the thread that commits alone.
    commits: Mutex<Commits>,
    _lock: DirectoryLock,
}

/// Writes the column families and records of a new database into the directory `path`. It holds these
/// stable records from its first moment on.
pub(crate) fn create(
    path: &Path,
    config: &RocksdbConfig,
    stable: &StableRecords,
) -> Result<(), StoreError> {
    let place = path.display().to_string();
    guarded(&place, "create", || {
        let mut options = config.options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_error_if_exists(true);
        let rocks = open_families(path, &options, config)?;
        let mut transaction = WriteTransaction::new(&rocks, &place)?;
        transaction.put_record(records::STORE, &records::encode_store(VERSION, 0));
        let log = records::encode_log(GROUP, LogBounds::default());
        transaction.put_record(&records::log_name(GROUP), &log);
        let stable = records::encode_stable(&place, GROUP, stable)?;
        transaction.put_record(&records::stable_name(GROUP), &stable);
        transaction.commit()?;
        Ok(())
    })
}

impl Database {
    /// Opens and verifies a database. `floor` opens its floor, given the number of commits.
    pub(crate) fn open(
        path: &Path,
        config: &RocksdbConfig,
        lock: DirectoryLock,
        floor: impl FnOnce(u64, &DirectoryLock) -> Result<Floor, StoreError>,
    ) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        verified::verify(path)?;
        let (rocks, commits, bounds) = guarded(&place, "open", || {
            let rocks = open_families(path, &config.options(), config)?;
            let transaction = ReadTransaction::new(&rocks, &place)?;
            let store = record(&transaction, &place, records::STORE)?;
            let commits = records::decode_store(&place, VERSION, &store)?;
            let bounds = bounds(&transaction, &place)?;
            cross_check(&transaction, &place, bounds)?;
            drop(transaction);
            Ok((rocks, commits, bounds))
        })?;
        let last = bounds.last;
        let commits = Commits::open(&place, floor(commits, &lock)?, FloorMark { commits, last })?;
        Ok(Self {
            place,
            rocks,
            commits: Mutex::new(commits),
            _lock: lock,
        })
    }

    /// The database's directory, for errors.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Reads from one consistent state, the latest commit.
    pub(crate) fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&ReadTransaction<'_>, &str) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        guarded(&self.place, operation, || {
            read(
                &ReadTransaction::new(&self.rocks, &self.place)?,
                &self.place,
            )
        })
    }

    /// Commits a change, durably: one batch, one sync. Then raises the floor.
    pub(crate) fn commit(
        &self,
        operation: &'static str,
        change: &Change<'_>,
    ) -> Result<(), StoreError> {
        // A panic inside a commit leaves it failed, which says all there is to say.
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.commit(operation, change.mark, |number| {
            guarded(&self.place, operation, || {
                let mut transaction = WriteTransaction::new(&self.rocks, &self.place)?;
                (change.apply)(&mut transaction);
                let store = records::encode_store(VERSION, number);
                transaction.put_record(records::STORE, &store);
                transaction.commit()?;
                Ok(())
            })
        })
    }

    /// Drops the table files that hold only purged entries, without reading them. That writes the list
    /// of tables: if it fails, nobody knows what that has become, and the use of the store has ended.
    pub(crate) fn drop_tables(&self, purged: LogIndex) -> Result<(), StoreError> {
        const OPERATION: &str = "drop purged tables";
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.tidy(OPERATION, || {
            guarded(&self.place, OPERATION, || {
                let entries = family(&self.rocks, &self.place, ENTRIES)?;
                let from = layout::entry_key(LogIndex::new(0));
                let through = layout::entry_key(purged);
                Ok(self.rocks.delete_file_in_range_cf(entries, from, through)?)
            })
        })
    }

    /// Merges all table files and leaves out what was removed. Returns whether the database became
    /// smaller.
    pub(crate) fn compact(&mut self) -> Result<bool, StoreError> {
        let before = self.stored_bytes()?;
        guarded(&self.place, "compact", || {
            let families = [ENTRIES, RECORDS].map(|name| family(&self.rocks, &self.place, name));
            let [entries, records] = families;
            let (entries, records) = (entries?, records?);
            let mut flush = FlushOptions::default();
            flush.set_wait(true);
            self.rocks.flush_cfs_opt(&[entries, records], &flush)?;
            let mut options = CompactOptions::default();
            options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
            for family in [entries, records] {
                let all = None::<&[u8]>;
                self.rocks.compact_range_cf_opt(family, all, all, &options);
            }
            let failed = self
                .rocks
                .property_int_value(properties::BACKGROUND_ERRORS)?;
            if failed != Some(0) {
                // RocksDB tells of it in the answer to the next write alone.
                let nothing = WriteTransaction::new(&self.rocks, &self.place)?;
                nothing.commit()?;
            }
            Ok(())
        })?;
        Ok(self.stored_bytes()? < before)
    }

    /// The size of all files of the database.
    fn stored_bytes(&self) -> Result<u64, StoreError> {
        let size = |directory: &str| {
            let mut bytes = 0;
            for item in fs::read_dir(directory)? {
                bytes += match item?.metadata() {
                    // RocksDB removes in the background what it needs no more.
                    Err(error) if error.kind() == ErrorKind::NotFound => 0,
                    found => found?.len(),
                };
            }
            Ok(bytes)
        };
        size(&self.place).map_err(StoreError::io(&self.place, "measure"))
    }
}

/// What one commit does.
pub(crate) struct Change<'a> {
    /// Writes to the column families.
    pub(crate) apply: &'a dyn Fn(&mut WriteTransaction<'_>),
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

/// One consistent state of the database, for reading.
pub(crate) struct ReadTransaction<'a> {
    rocks: &'a DB,
    /// `None` for whatever is the latest at the moment.
    snapshot: Option<Snapshot<'a>>,
    entries: &'a ColumnFamily,
    records: &'a ColumnFamily,
}

impl<'a> ReadTransaction<'a> {
    fn new(rocks: &'a DB, place: &str) -> Result<Self, Failure> {
        Ok(Self {
            rocks,
            snapshot: Some(rocks.snapshot()),
            entries: family(rocks, place, ENTRIES)?,
            records: family(rocks, place, RECORDS)?,
        })
    }

    /// The same database, without holding on to a state.
    pub(crate) fn latest(&self) -> Self {
        Self {
            snapshot: None,
            ..*self
        }
    }

    /// The record of an entry.
    pub(crate) fn entry(&self, index: LogIndex) -> Result<Option<DBPinnableSlice<'_>>, Failure> {
        let key = layout::entry_key(index);
        let read = self.read_options();
        Ok(self.rocks.get_pinned_cf_opt(self.entries, key, &read)?)
    }

    /// Over the entries in `range`, not yet at any. The bounds keep it from wading through what
    /// was removed before and after them.
    pub(crate) fn entries(&self, range: Range<LogIndex>) -> DBRawIterator<'_> {
        let mut read = self.read_options();
        read.set_iterate_lower_bound(layout::entry_key(range.start));
        read.set_iterate_upper_bound(layout::entry_key(range.end));
        self.rocks.raw_iterator_cf_opt(self.entries, read)
    }

    fn record(&self, name: &str) -> Result<Option<DBPinnableSlice<'_>>, Failure> {
        let read = self.read_options();
        Ok(self.rocks.get_pinned_cf_opt(self.records, name, &read)?)
    }

    fn read_options(&self) -> ReadOptions {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        if let Some(snapshot) = &self.snapshot {
            read.set_snapshot(snapshot);
        }
        read
    }
}

/// What one commit writes, in order.
pub(crate) struct WriteTransaction<'a> {
    rocks: &'a DB,
    batch: WriteBatch,
    entries: &'a ColumnFamily,
    records: &'a ColumnFamily,
    /// For the record of one entry.
    scratch: Vec<u8>,
}

impl<'a> WriteTransaction<'a> {
    fn new(rocks: &'a DB, place: &str) -> Result<Self, Failure> {
        Ok(Self {
            rocks,
            batch: WriteBatch::default(),
            entries: family(rocks, place, ENTRIES)?,
            records: family(rocks, place, RECORDS)?,
            scratch: Vec::new(),
        })
    }

    /// Removes a range of entries, by one mark.
    pub(crate) fn remove_entries(&mut self, removed: Range<LogIndex>) {
        let from = layout::entry_key(removed.start);
        let to = layout::entry_key(removed.end);
        self.batch.delete_range_cf(self.entries, from, to);
    }

    /// Puts an entry.
    pub(crate) fn put_entry(&mut self, entry: &Entry) {
        self.scratch.clear();
        entry.encode_into(&mut self.scratch);
        let key = layout::entry_key(entry.index());
        self.batch.put_cf(self.entries, key, &self.scratch);
    }

    /// Puts a sealed record.
    pub(crate) fn put_record(&mut self, name: &str, sealed: &[u8]) {
        self.batch.put_cf(self.records, name, sealed);
    }

    /// Writes all of it to the log of writes, and syncs that.
    fn commit(self) -> Result<(), Failure> {
        let mut write = WriteOptions::default();
        write.set_sync(true);
        Ok(self.rocks.write_opt(self.batch, &write)?)
    }
}

/// A record's sealed value. Every record is written when the database is created.
fn record(transaction: &ReadTransaction<'_>, place: &str, name: &str) -> Result<Vec<u8>, Failure> {
    let value = records::present(place, name, transaction.record(name)?)?;
    Ok(value.to_vec())
}

/// Where the log begins and ends.
pub(crate) fn bounds(transaction: &ReadTransaction<'_>, place: &str) -> Result<LogBounds, Failure> {
    let sealed = record(transaction, place, &records::log_name(GROUP))?;
    Ok(records::decode_log(place, GROUP, &sealed)?)
}

/// The stable records.
pub(crate) fn stable_records(
    transaction: &ReadTransaction<'_>,
    place: &str,
) -> Result<StableRecords, Failure> {
    let sealed = record(transaction, place, &records::stable_name(GROUP))?;
    Ok(records::decode_stable(place, GROUP, &sealed)?)
}

/// The stable records of a damaged database, or rather of a copy of one. What is broken in the log of
/// writes is left out, and what follows is not: the newest record that is whole counts.
pub(crate) fn look_at(path: &Path, config: &RocksdbConfig) -> Result<StableRecords, StoreError> {
    let place = path.display().to_string();
    guarded(&place, "read", || {
        verified::leave_whole_records(path)?;
        let mut options = config.options();
        options.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
        options.set_track_and_verify_wals_in_manifest(false);
        let rocks = open_families(path, &options, config)?;
        stable_records(&ReadTransaction::new(&rocks, &place)?, &place)
    })
}

fn open_families(path: &Path, options: &Options, config: &RocksdbConfig) -> Result<DB, Failure> {
    let cache = config.cache();
    let families = ["default", ENTRIES, RECORDS]
        .map(|name| ColumnFamilyDescriptor::new(name, config.family_options(&cache)));
    Ok(DB::open_cf_descriptors(options, path, families)?)
}

fn family<'a>(rocks: &'a DB, place: &str, name: &str) -> Result<&'a ColumnFamily, Failure> {
    let found = rocks.cf_handle(name);
    Ok(found.ok_or_else(|| StoreError::damaged(place, name, &"the column family is missing"))?)
}

/// The log must begin and end where its bounds say, with nothing behind. Every entry between is
/// read when the node starts.
fn cross_check(
    transaction: &ReadTransaction<'_>,
    place: &str,
    bounds: LogBounds,
) -> Result<(), Failure> {
    let name = records::log_name(GROUP);
    let end = bounds.last.id.index.next();
    let mut behind = transaction.entries(end..LogIndex::new(u64::MAX));
    behind.seek_to_first();
    behind.status()?;
    if bounds.range().start > end || behind.valid() {
        let detail = format!(
            "the log lies after {} and through {}, and there are entries behind",
            bounds.purged, bounds.last
        );
        return Err(StoreError::damaged(place, name, &detail).into());
    }
    check_ends(place, &name, &bounds, |index| {
        read_entry(transaction, place, index)
    })
}
