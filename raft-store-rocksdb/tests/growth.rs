//! How much of the disk and of memory a store takes when its log is appended to and purged, and
//! what compaction gives back.

#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use raft_core::conformance::sized;
use raft_core::entry::Entry;
use raft_core::id::ChainLink;
use raft_core::store::{StableKey, Stores};
use raft_core::units::Size;
use raft_store_rocksdb::{RocksdbConfig, compact, open_with};
use tempfile::TempDir;

#[test]
fn a_log_that_is_purged_takes_no_more_of_the_disk_and_memory_however_long_it_lives() {
    let directory = TempDir::new().expect("a directory");
    let mut stores = open_with(directory.path(), &config()).expect("open");
    let mut last = ChainLink::ORIGIN;
    let (mut most, mut resident) = (0, 0);
    for round in 0..ROUNDS {
        last = append(&mut stores, last);
        most = most.max(stored_bytes(directory.path()));
        stores.log.purge_prefix(last).expect("purge");
        stores.log.sync().expect("sync");
        if round == ROUNDS / 2 {
            resident = resident_bytes();
        }
    }
    assert!(most < BYTES_MAX, "{most} bytes for {ROUND_BYTES} at a time");
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < ROUND_BYTES, "{grown} bytes more than half way");
    assert!(stores.log.bounds().expect("the bounds").is_empty());
}

#[test]
fn compaction_shrinks_the_database_and_changes_nothing() {
    let directory = TempDir::new().expect("a directory");
    let mut stores = open_with(directory.path(), &config()).expect("open");
    let vote = b"term 1";
    stores.stable.set(StableKey::HardState, vote).expect("set");
    let purged = append(&mut stores, ChainLink::ORIGIN);
    let kept = entries_of(purged, 20);
    stores.log.append(&kept).expect("append");
    stores.log.purge_prefix(purged).expect("purge");
    stores.log.sync().expect("sync");
    drop(stores);
    let before = stored_bytes(directory.path());
    assert!(compact(directory.path(), &config()).expect("compact"));
    let after = stored_bytes(directory.path());
    assert!(after * 4 < before, "{before} to {after} bytes");
    let stores = open_with(directory.path(), &config()).expect("open");
    let range = stores.log.bounds().expect("the bounds").range();
    let mut reader = stores.log.reader().expect("a reader");
    let found = reader.read(range, usize::MAX).expect("all is there");
    assert_eq!(found, kept);
    let found = stores.stable.get(StableKey::HardState).expect("get");
    assert_eq!(found.as_deref(), Some(&vote[..]));
}

/// Appends [`ROUND_BYTES`] of entries, in commits of 64 KiB.
fn append(stores: &mut Stores, mut last: ChainLink) -> ChainLink {
    for _ in 0..ROUND_BYTES / COMMIT_BYTES {
        let entries = entries_of(last, COMMIT_BYTES / ENTRY_BYTES);
        last = entries[entries.len() - 1].link();
        stores.log.append(&entries).expect("append");
        stores.log.sync().expect("sync");
    }
    last
}

fn entries_of(mut last: ChainLink, count: usize) -> Vec<Entry> {
    let next = |_| {
        let entry = sized(last, 1, ENTRY_BYTES);
        last = entry.link();
        entry
    };
    (0..count).map(next).collect()
}

fn stored_bytes(path: &Path) -> usize {
    let metadata = match fs::metadata(path) {
        // The database's own threads remove what was merged, also while this walks its directory.
        Err(error) if error.kind() == ErrorKind::NotFound => return 0,
        metadata => metadata.expect("what is there can be looked at"),
    };
    if !metadata.is_dir() {
        return usize::try_from(metadata.len()).expect("a small file");
    }
    let items = fs::read_dir(path).expect("a directory");
    items
        .map(|item| stored_bytes(&item.expect("an item").path()))
        .sum()
}

/// The memory of this process; zero where the system does not say.
fn resident_bytes() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: usize| pages * 4096)
}

const ROUNDS: usize = 24;
const ROUND_BYTES: usize = 4 << 20;
const COMMIT_BYTES: usize = 64 << 10;
const ENTRY_BYTES: usize = 1 << 10;

/// A round in table files, one more that is merged with it, and the logs of writes.
const BYTES_MAX: usize = 4 * ROUND_BYTES;

fn config() -> RocksdbConfig {
    RocksdbConfig {
        write_buffer: Size(1 << 20),
        block_cache: Size(1 << 20),
        ..RocksdbConfig::default()
    }
}
