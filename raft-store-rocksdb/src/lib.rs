//! [`LogStore`](raft_core::store::LogStore) and [`StableStore`](raft_core::store::StableStore) of
//! raft-core on RocksDB, a log-structured database in C++: fast where many small writes come
//! together, at the price of building it.
//!
//! ```no_run
//! let stores = raft_store_rocksdb::open("data/node-1")?;
//! # Ok::<(), raft_core::store::StoreError>(())
//! ```
//!
//! # The directory
//!
//! ```text
//! data/node-1/
//!   lock            held by the process that has the directory open
//!   raft.rocksdb/   the log, term and vote, identity
//!   floor           how far the database had got, see raft_core::store::Floor
//!   snapshots/      see raft_core::store::FileSnapshotStore
//!   torn/           what was last cut off, after a crash
//!   damaged-1/      what was found damaged, before the stores began anew (see begin_anew)
//! ```
//!
//! # The database
//!
//! | column family | key | value |
//! |---|---|---|
//! | `entries` | group, index; both of 8 bytes, big-endian | the entry's record ([`raft_core::entry`]), as it came over the wire |
//! | `records` | `store` | format version and number of commits |
//! | | `log/GROUP` | the last purged link and the last link |
//! | | `stable/GROUP` | all stable records |
//!
//! The values of `records` are sealed, see [`raft_core::store::records`]; an entry's record has its
//! own checksums. So a value that was altered, or that stands under another key, is noticed on
//! every read; and as all three records are there from the creation on, a missing one is damage
//! and never "not yet set". Keys carry the group from the first day; today there is group 0.
//!
//! Calls of the log store are kept in memory until the sync, which is one batch with one
//! `fdatasync` of the log of writes: first the marks that remove ranges, then new entries, the
//! log's bounds and the commit's number go together or not at all. To set a stable record is a
//! batch of its own.
//!
//! # What a crash leaves
//!
//! | crash | what is found | what becomes of it |
//! |---|---|---|
//! | while the database is created | `raft.rocksdb.tmp` | removed; the directory is new |
//! | before the floor is created | a database without commits, no floor | the floor is created |
//! | between two commits | the last commit, in the log of writes | replayed |
//! | during a commit | the end of the log of writes is torn | that commit or the one before |
//! | while a table file is written or merged | files that no list names | removed by RocksDB |
//! | while the floor is written | one slot torn | the other slot |
//!
//! # Damage
//!
//! What RocksDB does: it verifies the checksum of every block of its tables whenever it reads one,
//! for us and for its own merges, and the size of each table, the list of tables and the list of
//! logs of writes when it is opened. What it does not: none of its modes of replay tells a torn end
//! of the log of writes from a bit that flipped in it.
//!
//! | of 300 commits in the log of writes | `AbsoluteConsistency` | `TolerateCorruptedTailRecords` | `PointInTime` | this store |
//! |---|---|---|---|---|
//! | the last is cut short | refused | 299 | 299 | 299 |
//! | the end of the last is zeros | refused | refused | 299 | 299 |
//! | the end of the last is garbage | refused | refused | 299 | 299 |
//! | a bit of the last is flipped | refused | refused | 299 | damage, by the floor |
//! | a bit in the middle is flipped | refused | refused | 149 | damage |
//! | a bit of a length is flipped | refused | 255 | 255 | damage |
//!
//! The first three are what a power cut leaves, and must open; the others lose what was
//! acknowledged, and must not. So the store uses the strictest mode, and adds what that lacks:
//!
//! - before every opening, the log of writes and the list of tables are read. A broken record with a
//!   whole one behind it was acknowledged once, for each is synced before the next is written: that is
//!   damage. A broken end was torn by a crash, and is cut off, into `torn`;
//! - a database that holds fewer commits than its floor is damaged: a broken record at the very end
//!   is noticed by this, and so are a log of writes that is missing and a list of tables whose end
//!   is;
//! - every record is verified on every read, and RocksDB's own checks are never left out;
//! - a database that is missing beside a floor or a snapshot is damage, never a new log.
//!
//! The window that remains: after a power cut, the newest commits, which no floor on the disk counts
//! yet, could be lost without being missed if the disk did not keep what it had synced; a bit that
//! flips in them is missed in the newest one alone.
//!
//! RocksDB writes several records to its list of tables with one sync. If the power fails in that moment, and
//! the disk has kept a later one and lost an earlier one, that cannot be told from damage, and is called
//! so: nothing is lost, and the node repairs itself as from any damage. Whatever else a loss of power leaves
//! opens. `tests/conformance.rs` lays it out, call by call, and fails each call too (see
//! `raft_core::conformance::disk`).
//!
//! It is assumed that the medium keeps what it has synced, and that a write of one sector of the
//! other slot does not spoil this one.
//!
//! # Disk and memory
//!
//! A log is written at its end and purged at its beginning, and the settings are chosen for that:
//!
//! | setting | why |
//! |---|---|
//! | a write buffer of 64 MiB | most entries are purged before they leave it, and are written once |
//! | purges by one mark a range, then whole tables are dropped | no entry is read or merged in order to remove it |
//! | tables of a buffer's size, merged when there are four | tables of a log do not overlap: a merge moves them as they are |
//! | no compression | commands are compressed by who knows them; no codec is compiled in |
//! | both families leave the buffer together | the rare writes of one do not keep the log of writes of the other |
//! | indexes in the block cache, 256 open tables | memory has a bound, whatever the log's size |
//! | two background threads, an info log of four times 1 MiB | the rest of the node has the machine |
//! | iterators with bounds on both sides | a read does not wade through what was removed |
//!
//! For 100 bytes of entries of 1 KiB, 64 a commit, so many are written:
//!
//! | the write buffer | the log | written |
//! |---|---|---|
//! | 64 MiB | 1 to 2 MiB | 104, no buffer was ever full |
//! | 4 MiB | 256 to 512 KiB | 132: the log of writes, and what was not purged yet when a buffer was full |
//! | 2 MiB | 8 to 16 MiB | 310: the log of writes, a table for each buffer, and some merges; 395 if purged tables were not dropped |
//!
//! `cargo test -p raft-store-rocksdb --test written -- --nocapture` measures the last two again, and fails
//! above 150 and 350.
//!
//! What was purged takes room until its table is dropped or merged: in the test that appends and
//! purges 4 MiB at a time, with a buffer of 1 MiB, the directory stays below 16 MiB however long it
//! goes on. [`compact`] gives back what is left.
//!
//! # The end of the process
//!
//! RocksDB must be closed before the process ends: its C++ library takes its locks down on the way
//! out, and a thread that closes a database after that aborts the process (`pthread lock: Invalid
//! argument`, SIGABRT). No data is lost, but the exit code is. So wait for
//! [`Node::shutdown`](raft_core::node::Node::shutdown), or for
//! [`Node::stopped`](raft_core::node::Node::stopped), before `main` returns: both resolve when the
//! stores are closed. To drop the last handle is not enough, for nobody waits for the threads then.

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
pub use config::RocksdbConfig;
pub use open::{compact, open, open_with};
pub use read_only::open_read_only;
