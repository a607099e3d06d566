//! What a store costs: how many bytes it writes for each byte of entries, and how much memory it takes
//! meanwhile.
//!
//! The work is done by the test's own binary again, as a child in which nothing else writes; what it wrote
//! is what Linux says of a process.
//!
//! ```no_run
//! use raft_core::conformance::cost::{Load, work};
//! use raft_core::memory::MemoryStores;
//!
//! #[test]
//! fn a_log_is_written_about_once() {
//!     let load = Load {
//!         entry_bytes: 1 << 10,
//!         commit_entries: 64,
//!         kept_bytes: 256 << 10,
//!         bytes: 32 << 20,
//!     };
//!     let cost = load.cost("child", 4 << 20);
//!     assert!(cost.written_per_hundred < 150, "{cost}");
//! }
//!
//! #[test]
//! #[ignore = "the child of the other test, which starts it"]
//! fn child() {
//!     work(|_memory| MemoryStores::new().open());
//! }
//! # fn main() {}
//! ```

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use super::make::sized;
use crate::entry::Entry;
use crate::id::ChainLink;
use crate::store::Stores;

/// A log as a node keeps it: appended at its end, and purged at its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The payload of each entry.
    pub entry_bytes: usize,
    /// How many entries are synced at once.
    pub commit_entries: usize,
    /// When the log has twice so many bytes, its beginning is purged down to this.
    pub kept_bytes: usize,
    /// How many bytes are appended in all.
    pub bytes: usize,
}

/// What a load costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Bytes that the process wrote for a hundred bytes of entries.
    pub written_per_hundred: usize,
    /// The most memory that it took, in bytes, beyond what it had before the stores were opened.
    pub memory: usize,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            written_per_hundred,
            memory,
        } = self;
        write!(
            f,
            "{written_per_hundred} bytes written for 100, {memory} bytes of memory taken"
        )
    }
}

/// Does, in a child that [`Load::cost`] has started, what that asks for. `open` is given the memory that
/// the stores may take. Its directory must outlive the call.
///
/// # Panics
/// If a store fails, or nobody has started this as a child.
pub fn work(open: impl FnOnce(usize) -> Stores) {
    let words = env::var(ORDER).expect("the parent has set it");
    let [entry_bytes, commit_entries, kept_bytes, bytes, memory] = numbers_of(&words);
    let load = Load {
        entry_bytes,
        commit_entries,
        kept_bytes,
        bytes,
    };
    let (written, resident) = (of_process("io", "wchar"), of_process("status", "VmRSS"));
    let mut stores = open(memory);
    let appended = load.run(&mut stores);
    drop(stores);
    let written = of_process("io", "wchar") - written;
    let memory = of_process("status", "VmHWM").saturating_sub(resident);
    // Past the harness, which keeps what tests print.
    writeln!(io::stdout(), "\n{MARK} {written} {appended} {memory}").expect("the parent listens");
}

impl Load {
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
                let purged = held.drain(..held.len() - kept).next_back();
                let through = purged.expect("more are held than are kept");
                stores.log.purge_prefix(through).expect("purge");
                stores.log.sync().expect("sync");
            }
        }
        appended
    }

    /// What this costs the stores that the test `child` opens with [`work`], with so many bytes of memory
    /// for them. Tells the standard error.
    ///
    /// # Panics
    /// If the child cannot be started, or fails.
    pub fn cost(&self, child: &str, memory: usize) -> Cost {
        let Self {
            entry_bytes,
            commit_entries,
            kept_bytes,
            bytes,
        } = self;
        let program = env::current_exe().expect("this program");
        let output = Command::new(program)
            .args([child, "--exact", "--ignored", "--nocapture"])
            .env(
                ORDER,
                format!("{entry_bytes} {commit_entries} {kept_bytes} {bytes} {memory}"),
            )
            .stdin(Stdio::null())
            .output()
            .expect("the child is started");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let said = text.lines().find_map(|line| line.strip_prefix(MARK));
        let [written, appended, taken] = numbers_of(said.expect("the child says what it did"));
        let cost = Cost {
            written_per_hundred: written * 100 / appended,
            memory: taken,
        };
        let told = writeln!(
            io::stderr(),
            "{commit_entries} entries of {entry_bytes} bytes a commit, {kept_bytes} bytes kept, {memory} of \
             memory: {cost}"
        );
        told.expect("somebody may read it");
        cost
    }
}

fn numbers_of<const COUNT: usize>(words: &str) -> [usize; COUNT] {
    let words = words.split_whitespace();
    let numbers: Vec<usize> = words.map(|word| word.parse().expect("a number")).collect();
    numbers.try_into().expect("so many numbers")
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

const ORDER: &str = "RAFT_COST_ORDER";
/// How the child's line begins: the harness prints others.
const MARK: &str = "raft-cost";
