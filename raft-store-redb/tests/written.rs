//! How many bytes a store writes for each byte of entries, and how much memory it takes meanwhile.
//!
//! `cargo test -p raft-store-redb --test written -- --nocapture` prints the figures.

#![cfg(target_os = "linux")]

use raft_core::conformance::cost::{Load, work};
use raft_core::units::Size;
use raft_store_redb::{RedbConfig, open_with};
use tempfile::TempDir;

/// Pages that a commit touches are written anew, and so are those on the way to them: little beside a
/// commit of many entries.
#[test]
fn many_entries_a_commit_are_written_less_than_two_and_a_half_times() {
    let load = Load {
        entry_bytes: 1 << 10,
        commit_entries: 64,
        kept_bytes: 1 << 20,
        bytes: 16 << 20,
    };
    let cost = load.cost("child", 4 << 20);
    assert!((101..250).contains(&cost.written_per_hundred), "{cost}");
    assert!(cost.memory < 4 * (4 << 20), "{cost}");
}

/// The other end: a commit of one small entry writes some pages of 4 KiB all the same.
#[test]
fn a_small_entry_by_itself_costs_a_few_pages() {
    let load = Load {
        entry_bytes: 128,
        commit_entries: 1,
        kept_bytes: 64 << 10,
        bytes: 256 << 10,
    };
    let cost = load.cost("child", 4 << 20);
    assert!(
        (1_000..25_000).contains(&cost.written_per_hundred),
        "{cost}"
    );
    assert!(cost.memory < 4 * (4 << 20), "{cost}");
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

fn config(memory: Size) -> RedbConfig {
    RedbConfig { cache: memory }
}
