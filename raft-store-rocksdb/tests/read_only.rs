//! Looking into a store leaves it as it is, and shows what a start would find.
#![expect(
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::conformance::entries_after;
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::membership::Membership;
use raft_core::snapshot::SnapshotHeader;
use raft_core::store::{ReadOnlyStores, StableRecord, StoreError, Stores};
use raft_core::time::ClusterTime;
use raft_core::{HardState, Identity};
use raft_store_rocksdb::{RocksdbConfig, open, open_read_only};
use tempfile::TempDir;

fn vote() -> HardState {
    HardState {
        term: Term::new(9),
        vote: None,
    }
}

/// Entries 5 to 40, a snapshot at entry 8, and a vote.
fn fill(stores: &mut Stores) -> Vec<Entry> {
    let entries = entries_after(ChainLink::ORIGIN, 1, 40);
    stores.log.append(&entries).expect("append");
    stores.log.sync().expect("sync");
    let header = SnapshotHeader {
        last: entries[7].link(),
        time: ClusterTime::ZERO,
        membership: Arc::new(Membership::of_voters([(1, "a:1")]).expect("a voter")),
        membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
    };
    let mut sink = stores.snapshots.create(&header).expect("create");
    sink.write_all(b"state").expect("write");
    sink.finish().expect("finish");
    stores.log.purge_prefix(entries[3].link()).expect("purge");
    stores.log.sync().expect("sync");
    vote().save(stores.stable.as_mut()).expect("save");
    entries[4..].to_vec()
}

/// Every file below.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in fs::read_dir(directory).expect("a directory") {
        let path = item.expect("an item").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files
}

/// Every file below, with its bytes and when it was last written.
fn image(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let look = |path: PathBuf| {
        let changed = fs::metadata(&path).expect("metadata").modified();
        let bytes = fs::read(&path).expect("read");
        (path, (bytes, changed.expect("a time")))
    };
    files(directory).into_iter().map(look).collect()
}

fn look(directory: &Path) -> Result<ReadOnlyStores, StoreError> {
    open_read_only(directory, &RocksdbConfig::default())
}

fn assert_holds(looked: &mut ReadOnlyStores, entries: &[Entry]) {
    let bounds = looked.bounds();
    let read = looked.read(bounds.range(), usize::MAX).expect("entries");
    assert_eq!(read, entries);
    assert_eq!(looked.record().expect("a record"), Some(vote()));
    assert_eq!(looked.record::<Identity>().expect("no damage"), None);
    let snapshots = looked.snapshots().expect("the list");
    assert_eq!(snapshots.len(), 1);
    let (_, mut data) = looked.open_snapshot(snapshots[0].id()).expect("open");
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes, b"state");
}

#[test]
fn a_closed_store_is_shown_and_no_byte_changes() {
    let directory = TempDir::new().expect("a directory");
    let entries = fill(&mut open(directory.path()).expect("open"));
    let before = image(directory.path());
    let mut looked = look(directory.path()).expect("look");
    assert_holds(&mut looked, &entries);
    let mut second = look(directory.path()).expect("two may look");
    assert_holds(&mut second, &entries);
    drop((looked, second));
    assert!(before == image(directory.path()), "something changed");
}

#[test]
fn a_store_whose_process_was_killed_is_shown_and_no_byte_changes() {
    let directory = TempDir::new().expect("a directory");
    let mut stores = open(directory.path()).expect("open");
    let entries = fill(&mut stores);
    // What a killed process leaves: the files as they are while it runs, and leftovers.
    let copy = TempDir::new().expect("a directory");
    for name in ["snapshots", "raft.rocksdb"] {
        fs::create_dir(copy.path().join(name)).expect("create");
    }
    for path in files(directory.path()) {
        let name = path.strip_prefix(directory.path()).expect("below");
        match fs::copy(&path, copy.path().join(name)) {
            // RocksDB removes in the background what it needs no more.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            copied => drop(copied.expect("copy")),
        }
    }
    fs::write(copy.path().join("snapshots/1.0.tmp"), b"unfinished").expect("write");
    let before = image(copy.path());
    let mut looked = look(copy.path()).expect("look");
    assert_holds(&mut looked, &entries);
    drop(looked);
    assert!(before == image(copy.path()), "something changed");
    drop(open(copy.path()).expect("it still opens"));
}

#[test]
fn a_store_in_use_is_refused_and_one_that_is_looked_at_cannot_be_opened() {
    let directory = TempDir::new().expect("a directory");
    let mut stores = open(directory.path()).expect("open");
    fill(&mut stores);
    let refused = look(directory.path()).map(drop);
    assert!(
        matches!(refused, Err(StoreError::InUse { .. })),
        "{refused:?}"
    );
    drop(stores);
    let looked = look(directory.path()).expect("look");
    let refused = open(directory.path()).map(drop);
    assert!(
        matches!(refused, Err(StoreError::InUse { .. })),
        "{refused:?}"
    );
    drop(looked);
    open(directory.path()).expect("open");
}

#[test]
fn where_nothing_is_nothing_is_created() {
    let directory = TempDir::new().expect("a directory");
    let missing = directory.path().join("node-1");
    assert!(look(&missing).is_err());
    assert!(!missing.exists());
    assert!(look(directory.path()).is_err());
    assert!(image(directory.path()).is_empty());
}

#[test]
fn damage_is_named_and_kept() {
    let directory = TempDir::new().expect("a directory");
    fill(&mut open(directory.path()).expect("open"));
    let floor = directory.path().join("floor");
    let intact = fs::read(&floor).expect("read");
    fs::remove_file(&floor).expect("remove");
    let before = image(directory.path());
    let error = look(directory.path()).expect_err("the floor is missing");
    assert!(error.is_damage(), "{error}");
    let text = error.to_string();
    let named = floor.display().to_string();
    assert!(text.starts_with(&named), "the original is named: {text}");
    assert!(before == image(directory.path()), "something changed");
    fs::write(&floor, intact).expect("write");
    look(directory.path()).expect("it is whole again");
}
