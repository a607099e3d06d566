//! Power cuts, on copies of a directory whose newest bytes are lost and torn.

mod medium;
mod power;

use std::path::Path;
use std::sync::Arc;

use raft_core::conformance::entries_after;
use raft_core::entry::Entry;
use raft_core::id::ChainLink;
use raft_core::store::records::StableRecords;
use raft_core::store::{DirectoryLock, Floor, LogStore, StableKey, StableStore, StoreError};
use raft_core::units::Size;
use tempfile::TempDir;

use crate::config::RocksdbConfig;
use crate::database::{self, Database};
use crate::log::RocksdbLog;
use crate::reader::RocksdbReader;
use crate::stable::RocksdbStable;

/// An open store, without a snapshot store.
struct Store {
    log: RocksdbLog,
    stable: RocksdbStable,
    database: Arc<Database>,
}

fn open(directory: &Path) -> Result<Store, StoreError> {
    let lock = DirectoryLock::acquire(directory)?;
    let path = directory.join("floor");
    let floor = |_, lock: &DirectoryLock| match path.exists() {
        true => Floor::open(&path),
        false => Floor::create(&path, lock),
    };
    let place = directory.join("database");
    let database = Arc::new(Database::open(&place, &config(), lock, floor)?);
    Ok(Store {
        log: RocksdbLog::new(Arc::clone(&database))?,
        stable: RocksdbStable::new(Arc::clone(&database))?,
        database,
    })
}

/// A new store, closed.
fn created() -> TempDir {
    let directory = directory();
    database::create(
        &directory.path().join("database"),
        &config(),
        &StableRecords::new(),
    )
    .unwrap();
    directory
}

fn config() -> RocksdbConfig {
    RocksdbConfig {
        write_buffer: Size(1 << 20),
        block_cache: Size(64 << 10),
        ..RocksdbConfig::default()
    }
}

/// In memory where the system has such a directory.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.unwrap()
}

/// Everything that a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    purged: ChainLink,
    entries: Vec<Entry>,
    hard_state: Option<Vec<u8>>,
}

impl Store {
    fn state(&self) -> Result<State, StoreError> {
        use raft_core::store::LogReader;
        let bounds = self.log.bounds()?;
        let entries = match bounds.is_empty() {
            true => Vec::new(),
            false => RocksdbReader::new(&self.database).read(bounds.range(), usize::MAX)?,
        };
        Ok(State {
            purged: bounds.purged,
            entries,
            hard_state: self.stable.get(StableKey::HardState)?,
        })
    }
}

/// One durable step of a script.
enum Step {
    Vote(u64),
    Append {
        term: u64,
        count: usize,
    },
    Replace {
        keep: usize,
        term: u64,
        count: usize,
    },
    Purge {
        count: usize,
    },
}

impl Step {
    /// A script that touches everything, several times over.
    fn script() -> Vec<Self> {
        vec![
            Self::Vote(1),
            Self::Append { term: 1, count: 5 },
            Self::Append { term: 1, count: 40 },
            Self::Vote(2),
            Self::Replace {
                keep: 30,
                term: 2,
                count: 3,
            },
            Self::Purge { count: 20 },
            Self::Append { term: 2, count: 1 },
            Self::Replace {
                keep: 0,
                term: 3,
                count: 9,
            },
            Self::Vote(3),
            Self::Purge { count: 9 },
            Self::Append { term: 3, count: 60 },
        ]
    }

    /// Does the step; durable on return.
    fn run(&self, store: &mut Store) -> Result<(), StoreError> {
        let bounds = store.log.bounds()?;
        match *self {
            Self::Vote(term) => {
                return store.stable.set(StableKey::HardState, &term.to_le_bytes());
            }
            Self::Append { term, count } => {
                store.log.append(&entries_after(bounds.last, term, count))?;
            }
            Self::Replace { keep, term, count } => {
                let from = bounds.purged.id.index.plus(keep as u64 + 1);
                store.log.truncate_suffix(from)?;
                let last = store.log.bounds()?.last;
                store.log.append(&entries_after(last, term, count))?;
            }
            Self::Purge { count } => {
                let through = bounds.purged.id.index.plus(count as u64);
                let read = store.state()?.entries;
                let entry = read.iter().find(|entry| entry.index() == through);
                store.log.purge_prefix(entry.unwrap().link())?;
            }
        }
        store.log.sync()
    }

    /// What the store must hold afterwards.
    fn apply(&self, state: &State) -> State {
        let mut state = state.clone();
        let last = |state: &State| state.entries.last().map_or(state.purged, Entry::link);
        match *self {
            Self::Vote(term) => state.hard_state = Some(term.to_le_bytes().to_vec()),
            Self::Append { term, count } => {
                let more = entries_after(last(&state), term, count);
                state.entries.extend(more);
            }
            Self::Replace { keep, term, count } => {
                state.entries.truncate(keep);
                let more = entries_after(last(&state), term, count);
                state.entries.extend(more);
            }
            Self::Purge { count } => {
                state.purged = state.entries[count - 1].link();
                state.entries.drain(..count);
            }
        }
        state
    }
}
