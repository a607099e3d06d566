//! What cannot be opened, and what an unfinished creation leaves.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use raft_core::conformance::entries_after;
use raft_core::entry::{Entry, HEADER_BYTES};
use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::membership::Membership;
use raft_core::snapshot::SnapshotHeader;
use raft_core::store::{StableKey, StoreError, Stores};
use raft_core::time::ClusterTime;
use raft_store_redb::{RedbConfig, compact, open};
use redb::{ReadableTable, TableDefinition};
use tempfile::TempDir;

const ENTRIES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("entries");

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
        compact(directory.path(), &RedbConfig::default()).map(drop),
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
    fs::remove_file(directory.path().join("raft.redb")).expect("remove");
    assert_damaged(directory.path(), "raft.redb: damaged at the whole database");
    assert!(!directory.path().join("raft.redb").exists());
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
    for name in ["raft.redb", "floor"] {
        fs::remove_file(directory.path().join(name)).expect("remove");
    }
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
    let path = directory.path().join("raft.redb");
    let old = fs::read(&path).expect("read");
    let mut stores = open(directory.path()).expect("open");
    let more = entries_after(entries[11].link(), 1, 1);
    stores.log.append(&more).expect("append");
    stores.log.sync().expect("sync");
    drop(stores);
    fs::write(&path, old).expect("write");
    assert_damaged(directory.path(), "commit 3 was made durable");
}

#[test]
fn a_database_that_is_cut_short_is_damage() {
    let (directory, entries) = used();
    let path = directory.path().join("raft.redb");
    let whole = fs::read(&path).expect("read");
    for length in [0, 1, 100, 512, 4096, 9000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("write");
        assert_damaged(directory.path(), "raft.redb: damaged");
    }
    fs::write(&path, &whole).expect("write");
    assert_holds(&open(directory.path()).expect("open"), &entries);
}

#[test]
fn a_file_that_is_no_database_is_damage() {
    let (directory, _) = used();
    let path = directory.path().join("raft.redb");
    fs::write(path, "my notes\n".repeat(2000)).expect("write");
    assert_damaged(directory.path(), "raft.redb: damaged");
}

#[test]
fn an_unfinished_creation_is_absent() {
    for left in [&b""[..], b"redb", &[0; 70_000]] {
        let directory = TempDir::new().expect("a directory");
        fs::write(directory.path().join("raft.redb.tmp"), left).expect("write");
        fs::write(directory.path().join("floor.tmp"), left).expect("write");
        let stores = open(directory.path()).expect("open");
        assert!(stores.log.bounds().expect("the bounds").is_empty());
        assert!(!directory.path().join("raft.redb.tmp").exists());
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

/// Changes a record behind the store's back, with redb's own means: its checksums hold.
fn tamper(directory: &Path, change: impl FnOnce(&mut redb::Table<'_, (u64, u64), &'static [u8]>)) {
    let database = redb::Database::open(directory.join("raft.redb")).expect("open");
    let transaction = database.begin_write().expect("begin");
    change(&mut transaction.open_table(ENTRIES).expect("the table"));
    transaction.commit().expect("commit");
}

fn record(table: &impl ReadableTable<(u64, u64), &'static [u8]>, index: u64) -> Vec<u8> {
    let record = table.get((0, index)).expect("get").expect("it is there");
    record.value().to_vec()
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
    tamper(directory.path(), |table| {
        let (third, fourth) = (record(table, 3), record(table, 4));
        table.insert((0, 3), fourth.as_slice()).expect("insert");
        table.insert((0, 4), third.as_slice()).expect("insert");
    });
    assert_read_is_damage(
        directory.path(),
        "damaged at entry 3: entry 4.1 stands there",
    );
}

#[test]
fn a_record_of_another_history_is_damage() {
    let (directory, entries) = used();
    tamper(directory.path(), |table| {
        let mut other = Vec::new();
        entries_after(entries[3].link(), 2, 1)[0].encode_into(&mut other);
        table.insert((0, 5), other.as_slice()).expect("insert");
    });
    assert_read_is_damage(
        directory.path(),
        "damaged at entry 6: it does not follow 5.2",
    );
}

#[test]
fn a_flipped_bit_in_a_payload_names_the_entry() {
    let (directory, _) = used();
    tamper(directory.path(), |table| {
        let mut changed = record(table, 7);
        changed[HEADER_BYTES + 2] ^= 4;
        table.insert((0, 7), changed.as_slice()).expect("insert");
    });
    assert_read_is_damage(directory.path(), "damaged at entry 7: payload of entry 7.1");
}

#[test]
fn a_removed_record_is_damage_wherever_it_stood() {
    for index in [1, 6, 12] {
        let (directory, _) = used();
        tamper(directory.path(), |table| {
            table.remove((0, index)).expect("remove");
        });
        assert_damaged(directory.path(), "the table has 11 entries");
    }
}
