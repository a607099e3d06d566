//! What only this store knows of itself: torn ends, damage, and the file that is written anew.

use std::fs;
use std::path::Path;

use raft_core::conformance::{entries_after, sized};
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::store::{StableKey, StoreError, Stores};
use raft_examples::own::file_store::open;
use tempfile::TempDir;

/// Three commits: a stable record, three entries, two more.
fn filled() -> (TempDir, Vec<Entry>) {
    let directory = TempDir::new().unwrap();
    let mut stores = open(directory.path()).unwrap();
    stores.stable.set(StableKey::HardState, b"three").unwrap();
    let entries = entries_after(ChainLink::ORIGIN, 3, 5);
    for part in [&entries[..3], &entries[3..]] {
        stores.log.append(part).unwrap();
        stores.log.sync().unwrap();
    }
    (directory, entries)
}

fn read_all(stores: &Stores) -> Result<Vec<Entry>, StoreError> {
    let range = stores.log.bounds()?.range();
    stores.log.reader()?.read(range, usize::MAX)
}

fn log_bytes(directory: &Path) -> Vec<u8> {
    fs::read(directory.join("log")).unwrap()
}

#[test]
fn a_commit_that_no_floor_counts_is_cut_off_where_it_is_torn() {
    let (directory, entries) = filled();
    let whole = log_bytes(directory.path());
    // The floor as it was before the last commit: the power failed before that returned.
    let earlier = TempDir::new().unwrap();
    {
        let mut stores = open(earlier.path()).unwrap();
        stores.stable.set(StableKey::HardState, b"three").unwrap();
        stores.log.append(&entries[..3]).unwrap();
        stores.log.sync().unwrap();
    }
    let before = log_bytes(earlier.path());
    assert_eq!(whole[..before.len()], before);
    for torn in before.len()..whole.len() {
        fs::write(earlier.path().join("log"), &whole[..torn]).unwrap();
        let stores = open(earlier.path()).unwrap();
        assert_eq!(stores.log.bounds().unwrap().last, entries[2].link());
        drop(stores);
        assert_eq!(log_bytes(earlier.path()), before, "torn at {torn}");
    }
}

#[test]
fn a_commit_that_the_floor_counts_is_missed_wherever_the_file_is_cut() {
    let (directory, _) = filled();
    let whole = log_bytes(directory.path());
    for length in 0..whole.len() {
        fs::write(directory.path().join("log"), &whole[..length]).unwrap();
        assert!(open(directory.path()).unwrap_err().is_damage(), "{length}");
    }
}

#[test]
fn a_torn_commit_before_an_intact_one_is_damage() {
    let (directory, _) = filled();
    let mut bytes = log_bytes(directory.path());
    bytes[60] ^= 1;
    fs::write(directory.path().join("log"), bytes).unwrap();
    // As if no commit had been counted.
    let fresh = TempDir::new().unwrap();
    drop(open(fresh.path()).unwrap());
    fs::copy(fresh.path().join("floor"), directory.path().join("floor")).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("a later one is"),
        "{error}"
    );
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (directory, _) = filled();
    let whole = log_bytes(directory.path());
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(directory.path().join("log"), bytes).unwrap();
            let error = open(directory.path()).and_then(|stores| read_all(&stores));
            assert!(error.unwrap_err().is_damage(), "byte {at} with {flip:#x}");
        }
    }
}

#[test]
fn a_purged_log_gives_its_space_back_and_keeps_what_counts() {
    let directory = TempDir::new().unwrap();
    let mut stores = open(directory.path()).unwrap();
    stores.stable.set(StableKey::Identity, b"me").unwrap();
    let mut last = ChainLink::ORIGIN;
    let mut length_max = 0;
    for round in 1..=40 {
        for _ in 0..4 {
            let entry = sized(last, round, 64 << 10);
            last = entry.link();
            stores.log.append(&[entry]).unwrap();
        }
        stores.log.sync().unwrap();
        if round % 4 == 0 {
            let range = stores.log.bounds().unwrap().range();
            let before = LogIndex::new(range.end.get() - 3);
            let kept = stores.log.reader().unwrap().read(before..before.next(), 1);
            let through = kept.unwrap()[0].link();
            stores.log.purge_prefix(through).unwrap();
            stores.log.sync().unwrap();
        }
        length_max = length_max.max(log_bytes(directory.path()).len());
    }
    // 160 entries of 64 KiB have passed; 16 are there at most, and as much may wait to be given back.
    assert!(length_max < 4 << 20, "{length_max} bytes");
    let (bounds, entries) = (stores.log.bounds().unwrap(), read_all(&stores).unwrap());
    drop(stores);
    let stores = open(directory.path()).unwrap();
    assert_eq!(stores.log.bounds().unwrap(), bounds);
    assert_eq!(read_all(&stores).unwrap(), entries);
    let identity = stores.stable.get(StableKey::Identity).unwrap();
    assert_eq!(identity.as_deref(), Some(&b"me"[..]));
}

#[test]
fn a_floor_that_is_missing_beside_a_used_log_is_damage() {
    let (directory, _) = filled();
    fs::remove_file(directory.path().join("floor")).unwrap();
    assert!(open(directory.path()).unwrap_err().is_damage());
}

#[test]
fn a_log_that_is_missing_beside_its_floor_is_damage() {
    let (directory, _) = filled();
    fs::remove_file(directory.path().join("log")).unwrap();
    assert!(open(directory.path()).unwrap_err().is_damage());
}
