//! Suites that every backend must pass: one property, one function, one named test.
//!
//! The author of a store implements [`Backend`] in a test file of theirs and calls a macro for each
//! suite; each expands to one `#[test]` a property, so none is forgotten and each has a name. A
//! failed property panics with what it expected and what it found. The more a test can do to a
//! backend, the more can be asked of it:
//!
//! | what the backend can do | implement | macros |
//! |---|---|---|
//! | open its stores | [`Backend`] | [`log_conformance!`](crate::log_conformance), [`stable_conformance!`](crate::stable_conformance), [`snapshot_conformance!`](crate::snapshot_conformance) |
//! | fail a sync when told | [`FaultyBackend`] | [`fault_conformance!`](crate::fault_conformance) |
//! | show its files and open copies of them | [`FileBackend`] | [`file_conformance!`](crate::file_conformance), [`snapshot_file_conformance!`](crate::snapshot_file_conformance) |
//! | lie on a [`medium::Medium`] | [`CrashBackend`] | [`crash_conformance!`](crate::crash_conformance) |
//! | be opened by another process | a function | [`kill_conformance!`](crate::kill_conformance), [`snapshot_kill_conformance!`](crate::snapshot_kill_conformance) |
//! | the same, on Linux, with a C compiler | a function | `disk_conformance!` |
//!
//! Each capability is a trait of its own and not a method that may say "no": a suite that was not
//! run is not called, rather than passed.
//!
//! # A store
//!
//! ```
//! use raft_core::conformance::Backend;
//! use raft_core::memory::MemoryStores;
//! use raft_core::store::Stores;
//!
//! #[derive(Default)]
//! struct Memory(MemoryStores);
//!
//! impl Backend for Memory {
//!     fn open(&mut self) -> Stores {
//!         self.0.open()
//!     }
//! }
//!
//! raft_core::log_conformance!(Memory::default());
//! raft_core::stable_conformance!(Memory::default());
//! raft_core::snapshot_conformance!(Memory::default());
//! # fn main() {
//! #     use raft_core::conformance::log;
//! #     log::synced_entries_outlive_reopening(&mut Memory::default());
//! # }
//! ```
//!
//! # A device that fails
//!
//! How a sync is made to fail is the backend's affair: a layer of its engine, or of its files.
//!
//! ```
//! # use raft_core::conformance::Backend;
//! # use raft_core::memory::MemoryStores;
//! # use raft_core::store::Stores;
//! use raft_core::conformance::FaultyBackend;
//!
//! #[derive(Default)]
//! struct Memory(MemoryStores);
//!
//! impl Backend for Memory {
//!     fn open(&mut self) -> Stores {
//!         self.0.crash();
//!         self.0.open()
//!     }
//! }
//!
//! impl FaultyBackend for Memory {
//!     fn fail_next_sync(&mut self) {
//!         self.0.break_down();
//!     }
//! }
//!
//! raft_core::fault_conformance!(Memory::default());
//! # fn main() {
//! #     use raft_core::conformance::faults;
//! #     faults::a_failed_sync_is_final_until_the_store_is_opened_anew(&mut Memory::default());
//! # }
//! ```
//!
//! # Files
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use raft_core::conformance::OnDirectory;
//! use raft_core::memory::MemoryStores;
//! use raft_core::store::{FileSnapshotStore, StoreError, Stores};
//! use tempfile::TempDir;
//!
//! fn open(directory: &Path) -> Result<Stores, StoreError> {
//!     let snapshots = Arc::new(FileSnapshotStore::open(directory)?);
//!     Ok(Stores { snapshots, ..MemoryStores::new().open() })
//! }
//!
//! fn directory() -> TempDir {
//!     TempDir::new().expect("a directory")
//! }
//!
//! fn backend() -> OnDirectory<TempDir> {
//!     OnDirectory::new(directory, open)
//! }
//!
//! raft_core::snapshot_file_conformance!(backend());
//! // The children of this test are killed, 20 of them.
//! raft_core::snapshot_kill_conformance!(
//!     directory(),
//!     |directory: &Path| open(directory).expect("open"),
//!     20
//! );
//! # fn main() {
//! #     use raft_core::conformance::snapshot_files;
//! #     snapshot_files::a_snapshot_cut_short_is_noticed_before_it_is_used(&mut backend());
//! # }
//! ```
//!
//! [`OnDirectory`] is for stores that have a directory for themselves; others implement [`FileBackend`].
//!
//! A log on files calls `file_conformance!` and `kill_conformance!` in the same way. What a killed
//! process leaves is exact, and found quickly; what is left when the power fails depends on more.
//!
//! # A loss of power
//!
//! An engine that lets its files be replaced (a storage backend, an environment) is put on a
//! [`medium::Medium`]. It remembers every write, and the suite opens the store on whatever each
//! moment could have left.
//!
//! ```
//! use raft_core::conformance::CrashBackend;
//! use raft_core::conformance::medium::Medium;
//! use raft_core::store::{StoreError, Stores};
//!
//! struct OnMedium;
//!
//! impl CrashBackend for OnMedium {
//!     fn open_on(&mut self, disk: &Medium) -> Result<Stores, StoreError> {
//!         open_engine(disk.file("log"), disk.file("records"))
//!     }
//! }
//! # use raft_core::conformance::medium::MediumFile;
//! # fn open_engine(log: MediumFile, records: MediumFile) -> Result<Stores, StoreError> {
//! #     log.write_at(0, b"entry").and_then(|()| log.sync()).expect("written");
//! #     records.write_at(0, b"vote").and_then(|()| records.sync()).expect("written");
//! #     Ok(raft_core::memory::MemoryStores::new().open())
//! # }
//!
//! raft_core::crash_conformance!(OnMedium);
//! # fn main() {
//! #     let disk = Medium::new();
//! #     OnMedium.open_on(&disk).expect("open");
//! #     assert_eq!(disk.crashes(1).last().expect("a crash").files, disk.synced_files());
//! # }
//! ```
//!
//! # A disk that fails
//!
//! An engine that lets nothing be replaced is watched from below: `disk_conformance!` fails each of its
//! calls to the system, and lays out what a loss of power would leave of its files. How, the chapter of
//! the module `disk` tells (on Linux, where it is).
//!
//! What a store writes and takes for a load of yours, the module `cost` measures (on Linux).
//!
//! Transports have a suite of their own: [`transport`].
//!
//! The suites themselves are tested: `tests/broken_stores` and `tests/broken_transports` have a
//! backend for each property that breaks it.

mod calls;
#[cfg(target_os = "linux")]
pub mod cost;
pub mod crash;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub mod disk;
pub mod faults;
pub mod files;
mod history;
pub mod kill;
pub mod kill_snapshots;
pub mod log;
mod make;
pub mod medium;
pub mod model;
pub mod reading;
pub mod snapshot;
pub mod snapshot_files;
pub mod stable;
pub mod transport;

pub use crash::CrashBackend;
pub use faults::FaultyBackend;
pub use files::{FileBackend, OnDirectory};
pub use make::{command, entries_after, sized};

use crate::store::Stores;

/// Stores under test.
pub trait Backend {
    /// Opens the stores; everything from an earlier opening was dropped before. The first opening
    /// finds them empty, a later one finds what was made durable.
    fn open(&mut self) -> Stores;

    /// How many entries a long log has. A million takes a fast store a few seconds; a slow one may
    /// say less, at least ten.
    fn long_log_entries(&self) -> usize {
        1_000_000
    }
}

/// One `#[test]` for each named property.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $backend:expr, [$($property:ident,)*]) => {
        $(
            #[test]
            fn $property() {
                $crate::conformance::$suite::$property(&mut $backend);
            }
        )*
    };
}
