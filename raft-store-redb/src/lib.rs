//! [`LogStore`](raft_core::store::LogStore) and [`StableStore`](raft_core::store::StableStore) of
//! raft-core on redb, a database in pure Rust: nothing to install, one file, one sync a commit.
//!
//! ```no_run
//! let stores = raft_store_redb::open("data/node-1")?;
//! # Ok::<(), raft_core::store::StoreError>(())
//! ```
//!
//! # The directory
//!
//! ```text
//! data/node-1/
//!   lock          held by the process that has the directory open
//!   raft.redb     the log, term and vote, identity
//!   floor         how far the database had got, see raft_core::store::Floor
//!   snapshots/    see raft_core::store::FileSnapshotStore
//!   damaged-1/    what was found damaged, if these stores have begun anew, see [`begin_anew`]
//! ```
//!
//! # The database
//!
//! | table | key | value |
//! |---|---|---|
//! | `entries` | group, index | the entry's record ([`raft_core::entry`]), as it came over the wire |
//! | `records` | `store` | format version and number of commits |
//! | | `log/GROUP` | the last purged link and the last link |
//! | | `stable/GROUP` | all stable records |
//!
//! The values of `records` are sealed, see [`raft_core::store::records`]; an entry's record has its
//! own checksums. So a value that was altered, or that stands under another key, is noticed on
//! every read; and as all three records are there from the creation on, a missing one is damage
//! and never "not yet set". Keys carry the group from the first day; today there is group 0.
//!
//! Calls of the log store are kept in memory until the sync, which is one transaction with one
//! `fdatasync` (redb's one-phase commit): removed ranges, new entries, the log's bounds and the
//! commit's number go together or not at all. To set a stable record is a transaction of its own.
//!
//! # What a crash leaves
//!
//! | crash | what is found | what becomes of it |
//! |---|---|---|
//! | while the database is created | `raft.redb.tmp` | removed; the directory is new |
//! | before the floor is created | a database without commits, no floor | the floor is created |
//! | between two commits | the last commit | opened as it is |
//! | during a commit | the pages' checksums tell whether it is whole | that commit or the one before |
//! | while the floor is written | one slot torn | the other slot |
//!
//! # Looking without touching
//!
//! [`open_read_only`] opens the files for reading alone and does there what every opening does: it
//! verifies all pages, undoes a commit that a crash cut off, compares with the floor. What redb writes
//! meanwhile stays in memory. So it shows what a start would find, also after a crash, and not a byte of
//! the directory changes.
//!
//! # Damage
//!
//! What redb does not do: it does not verify pages when it reads them, and may panic on one that
//! was altered; it writes new checksums over what it copies from such a page; and it takes a commit
//! whose pages do not match their checksums for an unfinished one, and undoes it. Therefore:
//!
//! - every opening verifies the whole file (about a second a GiB);
//! - a page that is read again later is compared with a checksum kept in memory;
//! - every record is verified on every read, and a panic of redb is damage;
//! - a database that holds fewer commits than its floor is damaged;
//! - a database file that is missing beside a floor or a snapshot is damage, never a new log.
//!
//! What is damaged does not open, and is left as it is. [`begin_anew`] moves it aside and puts new stores
//! in its place, which remember that they are not those of a new node; the node that is started on them
//! gets its data from the others, and is a voter again when it has it. [`open_or_begin_anew`] does so
//! whenever it finds damage. The steps, and what a crash between them leaves, are listed in the source of
//! [`raft_core::store::BeginningAnew`].
//!
//! The window that remains: after a power cut, the newest commits, which no floor on the disk counts
//! yet, could be lost without being missed if the disk did not keep what it had synced.
//!
//! It is assumed that the medium keeps what it has synced, and that a write of one sector of the
//! other slot does not spoil this one.
//!
//! # Disk and memory
//!
//! Purged entries leave free pages, which later commits use again; the file does not shrink by
//! itself. So it is as large as the log ever was, and what commits need while they are under way:
//! in the test that appends and purges 4 MiB at a time it stays below 12 MiB however long it goes on.
//! [`compact`] gives back what is free. Memory is the cache, and 8 bytes for each page of the file.
//!
//! For 100 bytes of entries of 1 KiB, 64 a commit, 180 are written. An entry of 128 bytes that is committed by
//! itself is written 170 times over: a commit writes some pages of 4 KiB, however little is in it.
//! `cargo test -p raft-store-redb --test written -- --nocapture` measures both again, and fails above 250, and
//! above 250 times.

mod begin_anew;
mod config;
mod database;
mod error;
mod layout;
mod log;
mod open;
mod read_only;
mod reader;
mod stable;
mod verified;

#[cfg(test)]
mod tests;

pub use begin_anew::{begin_anew, open_or_begin_anew};
pub use config::RedbConfig;
pub use open::{compact, open, open_with};
pub use read_only::open_read_only;
