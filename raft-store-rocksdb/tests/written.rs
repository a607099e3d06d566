//! How many bytes a store writes for each byte of entries, and how much memory it takes meanwhile.
//!
//! The work is done by this program again, as a child in which nothing else writes; what it wrote is what
//! Linux says of a process.
//!
//! `cargo test -p raft-store-rocksdb --test written -- --nocapture` prints the figures.

#![cfg(target_os = "linux")]
#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]
#![expect(clippy::print_stdout, reason = "the figures are for who measures")]

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use raft_core::conformance::sized;
use raft_core::entry::Entry;
use raft_core::id::ChainLink;
use raft_core::store::Stores;
use raft_core::units::Size;
use raft_store_rocksdb::{RocksdbConfig, open_with};
use tempfile::TempDir;

/// A log as a node keeps it, and what it costs.
struct Work {
    /// The payload of each entry.
    entry_bytes: usize,
    /// How many entries are synced at once.
    commit_entries: usize,
    /// When the log has so many bytes more than this, its beginning is purged up to it.
    kept_bytes: usize,
    /// How many bytes are appended in all.
    bytes: usize,
}

/// The write buffer is larger than the log ever is: almost all is purged before it leaves the buffer, and
/// the log of writes is all that is written.
#[test]
fn what_is_purged_in_the_write_buffer_is_written_once() {
    let work = Work {
        entry_bytes: 1 << 10,
        commit_entries: 64,
        kept_bytes: 256 << 10,
        bytes: 32 << 20,
    };
    let (per_hundred, memory) = work.cost(4 << 20);
    assert!((101..150).contains(&per_hundred), "{per_hundred} for 100");
    assert!(memory < 5 * (4 << 20), "{memory} bytes of memory");
}

/// The log is many buffers long: all is written to a table once more. Few tables are merged, for they are
/// dropped as a whole.
#[test]
fn a_log_longer_than_the_write_buffer_is_written_twice_and_hardly_merged() {
    let work = Work {
        entry_bytes: 1 << 10,
        commit_entries: 64,
        kept_bytes: 8 << 20,
        bytes: 48 << 20,
    };
    let (per_hundred, memory) = work.cost(2 << 20);
    assert!((180..330).contains(&per_hundred), "{per_hundred} for 100");
    assert!(memory < 8 * (2 << 20), "{memory} bytes of memory");
}

#[test]
#[ignore = "the child of the other tests, which start it"]
fn child() {
    let words = env::var(WORK).expect("the parent has set it");
    let numbers: Vec<usize> = words
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    let work = Work {
        entry_bytes: numbers[0],
        commit_entries: numbers[1],
        kept_bytes: numbers[2],
        bytes: numbers[3],
    };
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    let directory = made.expect("a directory");
    let config = config(Size(numbers[4] as u64));
    let (written, resident) = (of_process("io", "wchar"), of_process("status", "VmRSS"));
    let mut stores = open_with(directory.path(), &config).expect("open");
    let appended = work.run(&mut stores);
    drop(stores);
    let written = of_process("io", "wchar") - written;
    let memory = of_process("status", "VmHWM").saturating_sub(resident);
    println!("\n{MARK} {written} {appended} {memory}");
}

impl Work {
    /// Returns how many bytes of entries were appended.
    fn run(&self, stores: &mut Stores) -> usize {
        let (mut last, mut held, mut appended) = (ChainLink::ORIGIN, Vec::new(), 0);
        let mut record = Vec::new();
        while appended < self.bytes {
            let entries: Vec<Entry> = (0..self.commit_entries)
                .map(|_| {
                    let entry = sized(last, 1, self.entry_bytes);
                    last = entry.link();
                    entry
                })
                .collect();
            for entry in &entries {
                record.clear();
                entry.encode_into(&mut record);
                appended += record.len();
                held.push(entry.link());
            }
            stores.log.append(&entries).expect("append");
            stores.log.sync().expect("sync");
            let kept = self.kept_bytes / self.entry_bytes;
            if held.len() > 2 * kept {
                let through = held[held.len() - kept - 1];
                held.drain(..held.len() - kept);
                stores.log.purge_prefix(through).expect("purge");
                stores.log.sync().expect("sync");
            }
        }
        appended
    }

    /// Does it in a child, with so much memory for the store. Returns bytes written per hundred bytes of
    /// entries, and the memory in bytes.
    fn cost(&self, memory: usize) -> (usize, usize) {
        let Self {
            entry_bytes,
            commit_entries,
            kept_bytes,
            bytes,
        } = self;
        let program = env::current_exe().expect("this program");
        let output = Command::new(program)
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(
                WORK,
                format!("{entry_bytes} {commit_entries} {kept_bytes} {bytes} {memory}"),
            )
            .stdin(Stdio::null())
            .output()
            .expect("the child is started");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let said = text.lines().find_map(|line| line.strip_prefix(MARK));
        let numbers: Vec<usize> = said
            .expect("the child says what it did")
            .split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect();
        let per_hundred = numbers[0] * 100 / numbers[1];
        println!(
            "{commit_entries} entries of {entry_bytes} bytes a commit, {kept_bytes} bytes kept, {memory} of \
             memory: {per_hundred} bytes written for 100, {} bytes of memory taken",
            numbers[2]
        );
        (per_hundred, numbers[2])
    }
}

/// A number that Linux tells of this process, in bytes.
fn of_process(file: &str, name: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/self/{file}")).expect("Linux tells");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words = line.expect("it is there").trim_start_matches(':');
    let number: usize = words
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number");
    if words.ends_with("kB") {
        number << 10
    } else {
        number
    }
}

const WORK: &str = "RAFT_WRITTEN_WORK";
/// How the child's line begins: the harness prints others.
const MARK: &str = "raft-written";

fn config(memory: Size) -> RocksdbConfig {
    RocksdbConfig {
        write_buffer: memory,
        block_cache: memory,
        ..RocksdbConfig::default()
    }
}
