//! How many bytes a store writes for each byte of entries, and how much memory it takes meanwhile.
//!
//! `cargo test -p raft-store-rocksdb --test written -- --nocapture` prints the figures.

#![cfg(target_os = "linux")]

use raft_core::conformance::cost::{Load, work};
use raft_core::units::Size;
use raft_store_rocksdb::{RocksdbConfig, open_with};
use tempfile::TempDir;

/// The write buffer is larger than the log ever is: almost all is purged before it leaves the buffer, and
/// the log of writes is all that is written.
#[test]
fn what_is_purged_in_the_write_buffer_is_written_once() {
    let load = Load {
        entry_bytes: 1 << 10,
        commit_entries: 64,
        kept_bytes: 256 << 10,
        bytes: 32 << 20,
    };
    let cost = load.cost("child", 4 << 20);
    assert!((101..150).contains(&cost.written_per_hundred), "{cost}");
    assert!(cost.memory < 5 * (4 << 20), "{cost}");
}

/// The log is many buffers long: all is written to a table once more. Few tables are merged, for they are
/// dropped as a whole.
#[test]
fn a_log_longer_than_the_write_buffer_is_written_twice_and_hardly_merged() {
    let load = Load {
        entry_bytes: 1 << 10,
        commit_entries: 64,
        kept_bytes: 8 << 20,
        bytes: 160 << 20,
    };
    let cost = load.cost("child", 2 << 20);
    assert!((180..350).contains(&cost.written_per_hundred), "{cost}");
    assert!(cost.memory < 8 * (2 << 20), "{cost}");
}

#[test]
#[ignore = "the child of the other tests, which start it"]
fn child() {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    let directory = made.expect("a directory");
    work(|memory| {
        let config = config(Size(memory as u64));
        open_with(directory.path(), &config).expect("open")
    });
}

fn config(memory: Size) -> RocksdbConfig {
    RocksdbConfig {
        write_buffer: memory,
        block_cache: memory,
        ..RocksdbConfig::default()
    }
}
