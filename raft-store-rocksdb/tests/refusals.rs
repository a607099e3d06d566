//! What cannot be opened, and what an unfinished creation leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use raft_core::conformance::{entries_after, sized};
use raft_core::entry::{Entry, HEADER_BYTES};
use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::membership::Membership;
use raft_core::snapshot::SnapshotHeader;
use raft_core::store::{StableKey, StoreError, Stores};
use raft_core::time::ClusterTime;
use raft_core::units::Size;
use raft_store_rocksdb::{RocksdbConfig, compact, open, open_with};
use rocksdb::{DB, Options};
use tempfile::TempDir;

/// A closed store with twelve entries and a vote.
fn used() -> (TempDir, Vec<Entry>) {
    let directory = TempDir::new().expect("a directory");
    let mut stores = open(directory.path()).expect("open");
    let entries = entries_after(ChainLink::ORIGIN, 1, 12);
    stores.log.append(&entries).expect("append");
    stores.log.sync().expect("sync");
    let vote = b"term 1";
    stores.stable.set(StableKey::HardState, vote).expect("set");
    (directory, entries)
}

#[track_caller]
fn assert_damaged(directory: &Path, words: &str) {
    let error = open(directory).expect_err("it is damaged");
    assert!(error.is_damage(), "{error}");
    let text = error.to_string();
    assert!(text.contains(words), "{text}");
    // Asking again changes nothing.
    assert!(open(directory).expect_err("still").is_damage());
}

fn assert_holds(stores: &Stores, entries: &[Entry]) {
    let range = stores.log.bounds().expect("the bounds").range();
    let mut reader = stores.log.reader().expect("a reader");
    let found = reader.read(range, usize::MAX).expect("all is there");
    assert_eq!(found, entries);
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let (directory, entries) = used();
    let stores = open(directory.path()).expect("open");
    let reader = stores.log.reader();
    for refused in [
        open(directory.path()).map(drop),
        compact(directory.path(), &RocksdbConfig::default()).map(drop),
    ] {
        let text = refused.as_ref().map_err(ToString::to_string);
        assert!(matches!(refused, Err(StoreError::InUse { .. })), "{text:?}");
    }
    drop(stores);
    let reopened = open(directory.path()).expect("open again");
    assert_holds(&reopened, &entries);
    // A reader that was left behind does not keep the store open, and says so.
    let left = reader.expect("a reader").read(first_two(), 1);
    assert!(matches!(left, Err(StoreError::Misuse { .. })));
}

fn first_two() -> std::ops::Range<LogIndex> {
    LogIndex::new(1)..LogIndex::new(3)
}

#[test]
fn a_missing_database_beside_a_floor_is_damage() {
    let (directory, _) = used();
    fs::remove_dir_all(directory.path().join("raft.rocksdb")).expect("remove");
    assert_damaged(
        directory.path(),
        "raft.rocksdb: damaged at the whole database",
    );
    assert!(!directory.path().join("raft.rocksdb").exists());
}

#[test]
fn a_missing_database_beside_a_snapshot_is_damage() {
    let (directory, entries) = used();
    let stores = open(directory.path()).expect("open");
    let header = SnapshotHeader {
        last: entries[3].link(),
        time: ClusterTime::ZERO,
        membership: Arc::new(Membership::of_voters([(1, "a:1")]).expect("a voter")),
        membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
    };
    let mut sink = stores.snapshots.create(&header).expect("create");
    sink.write_all(b"state").expect("write");
    sink.finish().expect("finish");
    drop(stores);
    fs::remove_dir_all(directory.path().join("raft.rocksdb")).expect("remove");
    fs::remove_file(directory.path().join("floor")).expect("remove");
    assert_damaged(directory.path(), "a snapshot is there");
}

#[test]
fn a_missing_floor_beside_a_used_database_is_damage() {
    let (directory, _) = used();
    fs::remove_file(directory.path().join("floor")).expect("remove");
    assert_damaged(directory.path(), "floor: damaged");
}

#[test]
fn an_older_copy_of_the_database_is_damage() {
    let (directory, entries) = used();
    let path = directory.path().join("raft.rocksdb");
    let old = files(&path);
    let mut stores = open(directory.path()).expect("open");
    let more = entries_after(entries[11].link(), 1, 1);
    stores.log.append(&more).expect("append");
    stores.log.sync().expect("sync");
    drop(stores);
    restore(&path, &old);
    assert_damaged(directory.path(), "commit 3 was made durable");
}

#[test]
fn a_file_of_the_database_that_is_cut_short_or_missing_is_damage() {
    let (directory, entries) = used_twice();
    let path = directory.path().join("raft.rocksdb");
    let whole = files(&path);
    let needed = |name: &str| {
        let tables = name.ends_with(".sst") || name.ends_with(".log");
        tables || name == "CURRENT" || name.starts_with("MANIFEST")
    };
    let mut tried = 0;
    for (name, bytes) in whole.iter().filter(|(name, _)| needed(name)) {
        for length in [
            None,
            Some(0),
            Some(1),
            Some(bytes.len() / 2),
            Some(bytes.len() - 1),
        ] {
            restore(&path, &whole);
            let file = path.join(name);
            match length {
                Some(length) => fs::write(file, &bytes[..length]).expect("write"),
                None => fs::remove_file(file).expect("remove"),
            }
            match open(directory.path()) {
                Err(error) => assert!(error.is_damage(), "{name}, {length:?}: {error}"),
                // What was last written there may be of no account.
                Ok(stores) => {
                    assert!(name.starts_with("MANIFEST"), "{name}, {length:?}");
                    assert_holds(&stores, &entries);
                }
            }
            tried += 1;
        }
    }
    assert!(tried >= 5 * 5, "{tried} cuts");
    restore(&path, &whole);
    assert_holds(&open(directory.path()).expect("open"), &entries);
}

/// What the system keeps for itself holds nothing of ours.
#[test]
fn a_store_without_rocksdbs_notes_holds_everything() {
    let (directory, entries) = used_twice();
    let path = directory.path().join("raft.rocksdb");
    let mut removed = 0;
    for name in files(&path).keys() {
        let notes = ["LOG", "LOCK", "OPTIONS", "IDENTITY"];
        if notes.iter().any(|note| name.starts_with(note)) {
            fs::remove_file(path.join(name)).expect("remove");
            removed += 1;
        }
    }
    assert!(removed >= 4, "{removed} removed");
    assert_holds(&open(directory.path()).expect("open"), &entries);
}

#[test]
fn a_directory_that_is_no_database_is_damage() {
    let (directory, _) = used();
    let path = directory.path().join("raft.rocksdb");
    let notes = BTreeMap::from([("notes".to_owned(), b"mine".to_vec())]);
    restore(&path, &notes);
    assert_damaged(directory.path(), "raft.rocksdb: damaged");
    fs::remove_dir_all(&path).expect("remove");
    fs::write(&path, "my notes").expect("write");
    let error = open(directory.path()).expect_err("it is a file");
    assert!(error.to_string().contains("raft.rocksdb"), "{error}");
}

/// A store whose entries are partly in table files, partly in the log of writes.
fn used_twice() -> (TempDir, Vec<Entry>) {
    let (directory, mut entries) = used();
    for _ in 0..2 {
        let mut stores = open(directory.path()).expect("open");
        let more = entries_after(entries.last().expect("some").link(), 2, 3);
        stores.log.append(&more).expect("append");
        stores.log.sync().expect("sync");
        entries.extend(more);
    }
    (directory, entries)
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let listed = fs::read_dir(path).expect("a directory");
    let file = |item: std::io::Result<fs::DirEntry>| {
        let item = item.expect("an item");
        let name = item.file_name().into_string().expect("a name");
        (name, fs::read(item.path()).expect("read"))
    };
    listed.map(file).collect()
}

fn restore(path: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::remove_dir_all(path).expect("remove");
    fs::create_dir(path).expect("create");
    for (name, bytes) in files {
        fs::write(path.join(name), bytes).expect("write");
    }
}

#[test]
fn an_unfinished_creation_is_absent() {
    let (used, _) = used();
    let whole = files(&used.path().join("raft.rocksdb"));
    for left in 0..=whole.len() {
        let directory = TempDir::new().expect("a directory");
        let aside = directory.path().join("raft.rocksdb.tmp");
        fs::create_dir(&aside).expect("create");
        for (name, bytes) in whole.iter().take(left) {
            fs::write(aside.join(name), bytes).expect("write");
        }
        fs::write(directory.path().join("floor.tmp"), b"floor").expect("write");
        let stores = open(directory.path()).expect("open");
        assert!(stores.log.bounds().expect("the bounds").is_empty());
        assert!(!aside.exists());
    }
}

#[test]
fn a_database_without_commits_gets_its_floor() {
    let directory = TempDir::new().expect("a directory");
    drop(open(directory.path()).expect("open"));
    fs::remove_file(directory.path().join("floor")).expect("remove");
    drop(open(directory.path()).expect("open"));
    assert!(directory.path().join("floor").exists());
}

/// Changes a record behind the store's back, with RocksDB's own means: its checksums hold.
fn tamper(directory: &Path, change: impl FnOnce(&DB)) {
    let families = ["default", "entries", "records"];
    let path = directory.join("raft.rocksdb");
    let database = DB::open_cf(&Options::default(), path, families).expect("open");
    change(&database);
}

fn key(index: u64) -> [u8; 16] {
    u128::from(index).to_be_bytes()
}

fn record(database: &DB, index: u64) -> Vec<u8> {
    let entries = database.cf_handle("entries").expect("the family");
    let record = database.get_cf(entries, key(index)).expect("get");
    record.expect("it is there")
}

fn put(database: &DB, index: u64, record: &[u8]) {
    let entries = database.cf_handle("entries").expect("the family");
    let done = database.put_cf(entries, key(index), record);
    done.expect("put");
}

#[track_caller]
fn assert_read_is_damage(directory: &Path, words: &str) {
    let found = open(directory).and_then(|stores| {
        let range = stores.log.bounds()?.range();
        stores.log.reader()?.read(range, usize::MAX)
    });
    let error = found.expect_err("it is damaged");
    assert!(error.is_damage(), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn swapped_records_are_damage() {
    let (directory, _) = used();
    tamper(directory.path(), |database| {
        let (third, fourth) = (record(database, 3), record(database, 4));
        put(database, 3, &fourth);
        put(database, 4, &third);
    });
    assert_read_is_damage(
        directory.path(),
        "damaged at entry 3: entry 4.1 stands there",
    );
}

#[test]
fn a_record_of_another_history_is_damage() {
    let (directory, entries) = used();
    tamper(directory.path(), |database| {
        let mut other = Vec::new();
        entries_after(entries[3].link(), 2, 1)[0].encode_into(&mut other);
        put(database, 5, &other);
    });
    assert_read_is_damage(
        directory.path(),
        "damaged at entry 6: it does not follow 5.2",
    );
}

#[test]
fn a_flipped_bit_in_a_payload_names_the_entry() {
    let (directory, _) = used();
    tamper(directory.path(), |database| {
        let mut changed = record(database, 7);
        changed[HEADER_BYTES + 2] ^= 4;
        put(database, 7, &changed);
    });
    assert_read_is_damage(directory.path(), "damaged at entry 7: payload of entry 7.1");
}

#[test]
fn a_removed_record_is_damage_wherever_it_stood() {
    for index in [1, 6, 12] {
        let (directory, _) = used();
        tamper(directory.path(), |database| {
            let entries = database.cf_handle("entries").expect("the family");
            let done = database.delete_cf(entries, key(index));
            done.expect("delete");
        });
        let words = format!("damaged at entry {index}: the record is missing");
        assert_read_is_damage(directory.path(), &words);
    }
}

#[test]
fn a_record_behind_the_last_one_is_damage() {
    let (directory, _) = used();
    tamper(directory.path(), |database| {
        let last = record(database, 12);
        put(database, 40, &last);
    });
    assert_damaged(directory.path(), "there are entries behind");
}

#[test]
fn a_family_of_columns_that_is_not_known_is_another_format() {
    let (directory, _) = used();
    let path = directory.path().join("raft.rocksdb");
    let families = ["default", "entries", "records"];
    let mut database = DB::open_cf(&Options::default(), path, families).expect("open");
    let created = database.create_cf("of a later build", &Options::default());
    created.expect("create");
    drop(database);
    let error = open(directory.path()).expect_err("it is not understood");
    assert!(matches!(error, StoreError::Format { .. }), "{error}");
    assert!(error.to_string().contains("of a later build"), "{error}");
}

/// RocksDB begins a new log of writes when the buffer is full, and cannot.
#[test]
fn a_file_that_cannot_be_created_ends_the_use_of_the_store_and_is_named() {
    let (directory, _) = used();
    let config = RocksdbConfig {
        write_buffer: Size(1 << 20),
        ..RocksdbConfig::default()
    };
    let mut stores = open_with(directory.path(), &config).expect("open");
    let path = directory.path().join("raft.rocksdb");
    for number in 0..100 {
        let obstacle = path.join(format!("{number:06}.log"));
        if !obstacle.exists() {
            fs::create_dir(obstacle).expect("create");
        }
    }
    let error = loop {
        let last = stores.log.bounds().expect("the bounds").last;
        stores
            .log
            .append(&[sized(last, 1, 100_000)])
            .expect("append");
        if let Err(error) = stores.log.sync() {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains(".log"), "{error}");
    let again = stores.stable.set(StableKey::HardState, b"again");
    let again = again.expect_err("its use has ended").to_string();
    assert!(again.contains("an earlier commit failed"), "{again}");
}
