//! Whatever byte is flipped: it is noticed, or it does no harm. Never other data, never fewer
//! entries, never an empty log, never a panic.
//!
//! Every byte of every file is flipped that RocksDB reads; `refusals` shows that it does not need
//! the others.

#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use raft_core::conformance::{entries_after, sized};
use raft_core::entry::Entry;
use raft_core::id::ChainLink;
use raft_core::store::{StableKey, StoreError, Stores};
use raft_core::units::Size;
use raft_store_rocksdb::{RocksdbConfig, compact};
use tempfile::TempDir;

/// A small store: entries of two terms after a purge, one of them large, and both records. Some
/// are in table files, some in the log of writes.
struct Small {
    directory: TempDir,
    purged: ChainLink,
    entries: Vec<Entry>,
}

const DATABASE: &str = "raft.rocksdb";
const FLOOR: &str = "floor";
const HARD_STATE: &[u8] = b"term 2, vote 3";
const IDENTITY: &[u8] = b"node 1";

impl Small {
    fn new() -> Self {
        let directory = directory();
        let mut stores = open(directory.path()).expect("open");
        let old = entries_after(ChainLink::ORIGIN, 1, 12);
        let mut entries = entries_after(old[7].link(), 2, 6);
        set(&mut stores, StableKey::Identity, IDENTITY);
        stores.log.append(&old).expect("append");
        stores.log.sync().expect("sync");
        // Into table files that RocksDB has no reason to merge: a merge that meets a flipped byte waits a
        // second, and who closes the database waits for it.
        drop(stores);
        compact(directory.path(), &config()).expect("compact");
        let mut stores = open(directory.path()).expect("open");
        set(&mut stores, StableKey::HardState, HARD_STATE);
        let from = entries[0].index();
        stores.log.truncate_suffix(from).expect("truncate");
        stores.log.append(&entries).expect("append");
        stores.log.purge_prefix(old[3].link()).expect("purge");
        stores.log.sync().expect("sync");
        let large = sized(entries[5].link(), 2, 900);
        stores
            .log
            .append(std::slice::from_ref(&large))
            .expect("append");
        stores.log.sync().expect("sync");
        entries.push(large);
        entries.splice(..0, old[4..8].iter().cloned());
        Self {
            directory,
            purged: old[3].link(),
            entries,
        }
    }

    /// Opens and reads everything. Panics if something is not what was written.
    fn verify(&self, directory: &Path) -> Result<(), StoreError> {
        self.verify_open(&open(directory)?)
    }

    fn verify_open(&self, stores: &Stores) -> Result<(), StoreError> {
        let bounds = stores.log.bounds()?;
        assert_eq!(bounds.purged, self.purged);
        assert_eq!(bounds.last, self.entries[self.entries.len() - 1].link());
        let found = stores.log.reader()?.read(bounds.range(), usize::MAX)?;
        assert_eq!(found, self.entries);
        let hard_state = stores.stable.get(StableKey::HardState)?;
        assert_eq!(hard_state.as_deref(), Some(HARD_STATE));
        let identity = stores.stable.get(StableKey::Identity)?;
        assert_eq!(identity.as_deref(), Some(IDENTITY));
        Ok(())
    }

    /// The files that RocksDB reads whose names begin or end so, from the store's directory.
    fn files(&self, part: &str) -> Vec<String> {
        let listed = fs::read_dir(self.directory.path().join(DATABASE)).expect("a directory");
        let mut names: Vec<String> = listed
            .map(|item| {
                item.expect("an item")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .filter(|name| name.starts_with(part) || name.ends_with(part))
            .map(|name| format!("{DATABASE}/{name}"))
            .collect();
        names.sort();
        names
    }

    fn length(&self, file: &str) -> usize {
        let metadata = fs::metadata(self.directory.path().join(file)).expect("a file");
        usize::try_from(metadata.len()).expect("a small file")
    }

    /// A copy, without what RocksDB does not need.
    fn copy(&self) -> TempDir {
        let copy = directory();
        fs::create_dir(copy.path().join(DATABASE)).expect("create");
        let needed = [".log", ".sst", "MANIFEST", "CURRENT"];
        for name in needed.iter().flat_map(|part| self.files(part)) {
            let from = self.directory.path().join(&name);
            fs::copy(from, copy.path().join(&name)).expect("copy");
        }
        let from = self.directory.path().join(FLOOR);
        fs::copy(from, copy.path().join(FLOOR)).expect("copy");
        copy
    }
}

/// A small buffer makes small files.
fn open(directory: &Path) -> Result<Stores, StoreError> {
    raft_store_rocksdb::open_with(directory, &config())
}

fn config() -> RocksdbConfig {
    RocksdbConfig {
        write_buffer: Size(256 << 10),
        block_cache: Size(64 << 10),
        ..RocksdbConfig::default()
    }
}

fn set(stores: &mut Stores, key: StableKey, value: &[u8]) {
    stores.stable.set(key, value).expect("set");
}

/// In memory where the system has such a directory: nothing here depends on a real disk.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}

fn flip(directory: &TempDir, file: &str, at: usize) {
    let mut options = File::options();
    let path = directory.path().join(file);
    let mut file = options.read(true).write(true).open(path).expect("open");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at as u64)).expect("seek");
    file.read_exact(&mut byte).expect("read");
    byte[0] ^= if at.is_multiple_of(3) {
        0xff
    } else {
        1 << (at % 8)
    };
    file.seek(SeekFrom::Start(at as u64)).expect("seek");
    file.write_all(&byte).expect("write");
}

/// Flips one byte after the other in copies of a closed store. Returns how many were tried, and
/// how many of them were noticed.
fn flip_at_rest(part: &str) -> (usize, usize) {
    let small = Small::new();
    let (mut tried, mut noticed) = (0, 0);
    for file in small.files(part) {
        for at in 0..small.length(&file) {
            let copy = small.copy();
            flip(&copy, &file, at);
            tried += 1;
            if let Err(error) = small.verify(copy.path()) {
                noticed += 1;
                assert_names(&error, DATABASE, &format!("{file}, byte {at}"));
            }
        }
    }
    (tried, noticed)
}

fn assert_names(error: &StoreError, place: &str, flipped: &str) {
    let text = error.to_string();
    assert!(text.contains(place), "{flipped}: {text}");
    let named = error.is_damage() || matches!(error, StoreError::Format { .. });
    assert!(named, "{flipped}: {text}");
}

#[test]
fn a_flipped_byte_of_the_log_of_writes_is_noticed() {
    let (tried, noticed) = flip_at_rest(".log");
    assert!(tried > 1_500, "{tried} tried");
    assert_eq!(noticed, tried);
}

#[test]
fn a_flipped_byte_of_a_table_is_noticed_or_harmless() {
    let (tried, noticed) = flip_at_rest(".sst");
    assert!(tried > 2_000 && noticed > tried / 2, "{noticed} of {tried}");
}

#[test]
fn a_flipped_byte_of_the_manifest_is_noticed_or_harmless() {
    let (tried, noticed) = flip_at_rest("MANIFEST");
    assert!(tried > 300 && noticed > tried / 2, "{noticed} of {tried}");
}

#[test]
fn a_flipped_byte_of_the_name_of_the_manifest_is_noticed() {
    let (tried, noticed) = flip_at_rest("CURRENT");
    assert!(tried > 10);
    assert_eq!(noticed, tried);
}

#[test]
fn a_flipped_byte_of_the_floor_is_noticed_or_harmless() {
    let small = Small::new();
    let (slot, length) = (small.length(FLOOR) / 2, 44);
    for at in (0..length).flat_map(|at| [at, slot + at]) {
        let copy = small.copy();
        flip(&copy, FLOOR, at);
        if let Err(error) = small.verify(copy.path()) {
            assert_names(&error, FLOOR, &format!("floor, byte {at}"));
        }
    }
    // The rest of each slot is empty: all of it at once.
    let copy = small.copy();
    for at in (length..slot).flat_map(|at| [at, slot + at]) {
        flip(&copy, FLOOR, at);
    }
    small.verify(copy.path()).expect("nothing is kept there");
}

/// The medium changes behind RocksDB's back.
#[test]
fn a_byte_that_flips_while_the_store_is_open_is_noticed_or_harmless() {
    let small = Small::new();
    let mut noticed = 0;
    let files = [small.files(".sst"), small.files(".log")].concat();
    let bytes = |file: &String| (0..small.length(file)).step_by(23);
    for (file, at) in files
        .iter()
        .flat_map(|file| bytes(file).map(move |at| (file, at)))
    {
        let copy = small.copy();
        let mut stores = open(copy.path()).expect("open");
        if copy.path().join(file).exists() {
            flip(&copy, file, at);
        }
        noticed += usize::from(small.verify_open(&stores).is_err());
        let last = stores.log.bounds().expect("the bounds").last;
        let more = entries_after(last, 3, 3);
        stores.log.append(&more).expect("append");
        let synced = stores.log.sync();
        drop(stores);
        let mut expected = Small {
            directory: directory(),
            purged: small.purged,
            entries: small.entries.clone(),
        };
        if synced.is_ok() {
            expected.entries.extend(more);
        }
        if let Err(error) = expected.verify(copy.path()) {
            assert!(error.is_damage(), "{file}, byte {at}: {error}");
            noticed += 1;
        }
    }
    assert!(noticed > 20, "{noticed} noticed");
}

/// What RocksDB makes of a damaged log of writes in each of its modes, and why none is enough by
/// itself. The crate's documentation has the table.
mod modes {
    use std::fs;
    use std::path::{Path, PathBuf};

    use rocksdb::{DB, DBRecoveryMode, Options, WriteOptions};
    use tempfile::TempDir;

    const RECORDS: usize = 300;

    /// How the log of writes, whose last record begins at `last`, is damaged.
    type Damage = fn(log: &mut Vec<u8>, last: usize);

    #[test]
    fn no_mode_of_replay_tells_a_torn_end_from_a_flipped_bit() {
        let damages: [(&str, Damage); 6] = [
            ("cut", |log, last| log.truncate(last + 30)),
            ("zeros", |log, last| log[last + 30..].fill(0)),
            ("garbage", |log, last| log[last + 30..].fill(0xa5)),
            ("flip in the last", |log, last| log[last + 50] ^= 4),
            ("flip in the middle", |log, last| log[last / 2] ^= 4),
            // Some forty before the last; it then seems to reach beyond the end.
            ("flip in a length", |log, last| {
                let at = record_after(log, last - 8_000);
                log[at + 5] ^= 0x40;
            }),
        ];
        let modes = [
            DBRecoveryMode::AbsoluteConsistency,
            DBRecoveryMode::TolerateCorruptedTailRecords,
            DBRecoveryMode::PointInTime,
        ];
        let (directory, log) = written();
        let bytes = fs::read(&log).expect("read");
        let last = last_record(&bytes);
        let mut table = Vec::new();
        for (name, damage) in damages {
            let mut damaged = bytes.clone();
            damage(&mut damaged, last);
            let found = modes.map(|mode| {
                let copy = copy(directory.path());
                fs::write(copy.path().join(log.file_name().expect("a name")), &damaged)
                    .expect("write");
                count(copy.path(), mode)
            });
            table.push(format!("{name}: {}", found.join(", ")));
        }
        let expected = [
            "cut: refused, 299, 299",
            "zeros: refused, refused, 299",
            "garbage: refused, refused, 299",
            "flip in the last: refused, refused, 299",
            "flip in the middle: refused, refused, 149",
            "flip in a length: refused, 255, 255",
        ];
        assert_eq!(table, expected);
    }

    /// A closed database with so many records, each synced, and its log of writes.
    fn written() -> (TempDir, PathBuf) {
        let directory = TempDir::new().expect("a directory");
        let mut options = Options::default();
        options.create_if_missing(true);
        let database = DB::open(&options, directory.path()).expect("open");
        let mut write = WriteOptions::default();
        write.set_sync(true);
        for number in 0..RECORDS {
            let done = database.put_opt(number.to_be_bytes(), [7; 150], &write);
            done.expect("put");
        }
        drop(database);
        let listed = fs::read_dir(directory.path()).expect("a directory");
        let mut paths = listed.map(|item| item.expect("an item").path());
        let log = paths.find(|path| path.extension().is_some_and(|end| end == "log"));
        (directory, log.expect("a log"))
    }

    /// Where the last record begins.
    fn last_record(log: &[u8]) -> usize {
        let (mut last, mut at) = (0, 0);
        while at < log.len() {
            (last, at) = (at, next_record(log, at));
        }
        last
    }

    fn record_after(log: &[u8], place: usize) -> usize {
        let mut at = 0;
        while at < place {
            at = next_record(log, at);
        }
        at
    }

    /// The first four bytes of a record are its checksum, the next two its length, and one its kind.
    fn next_record(log: &[u8], at: usize) -> usize {
        let length = usize::from(log[at + 4]) + 256 * usize::from(log[at + 5]);
        let (next, block) = (at + 7 + length, 32 << 10);
        let room = block - next % block;
        if room < 7 { next + room } else { next }
    }

    fn copy(from: &Path) -> TempDir {
        let copy = TempDir::new().expect("a directory");
        for item in fs::read_dir(from).expect("a directory") {
            let path = item.expect("an item").path();
            let name = path.file_name().expect("a name");
            fs::copy(&path, copy.path().join(name)).expect("copy");
        }
        copy
    }

    /// How many records are found, if the database opens.
    fn count(path: &Path, mode: DBRecoveryMode) -> String {
        let mut options = Options::default();
        options.set_wal_recovery_mode(mode);
        let Ok(database) = DB::open(&options, path) else {
            return "refused".to_owned();
        };
        let found = (0..RECORDS).filter(|number| {
            let got = database.get(number.to_be_bytes());
            got.expect("get").is_some()
        });
        found.count().to_string()
    }
}
