//! Power cuts and failing devices, on a medium that loses and tears what was not synced.

mod medium;
mod power;

use std::sync::Arc;

use raft_core::conformance::entries_after;
use raft_core::conformance::medium::{Medium, MediumFile};
use raft_core::entry::Entry;
use raft_core::id::ChainLink;
use raft_core::store::{DirectoryLock, Floor, LogStore, StableKey, StableStore, StoreError};
use raft_core::units::Size;
use tempfile::TempDir;

use self::medium::OnMedium;
use crate::config::RedbConfig;
use crate::database::Database;
use crate::log::RedbLog;
use crate::reader::RedbReader;
use crate::stable::RedbStable;

/// A store whose database lies on a [`Medium`]. Its floor is a file that loses nothing, which is
/// the strictest case: it names every commit that was acknowledged.
struct Store {
    log: RedbLog,
    stable: RedbStable,
    database: Arc<Database>,
}

fn open(medium: &Medium, directory: &TempDir) -> Result<Store, StoreError> {
    let lock = DirectoryLock::acquire(directory.path())?;
    let path = directory.path().join("floor");
    let floor = |_, lock: &DirectoryLock| match path.exists() {
        true => Floor::open(&path),
        false => Floor::create(&path, lock),
    };
    let config = RedbConfig {
        cache: Size(1 << 20),
    };
    let place = "medium".to_owned();
    let backend = OnMedium::of(medium);
    let database = Arc::new(Database::open(place, backend, &config, lock, floor)?);
    Ok(Store {
        log: RedbLog::new(Arc::clone(&database))?,
        stable: RedbStable::new(Arc::clone(&database))?,
        database,
    })
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
            false => RedbReader::new(&self.database).read(bounds.range(), usize::MAX)?,
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

/// The conformance suites that need a medium: power that fails at any write, and syncs that fail.
mod suites {
    use std::fs;

    use raft_core::conformance::{Backend, CrashBackend, FaultyBackend};
    use raft_core::entry::Entry;
    use raft_core::id::LogIndex;
    use raft_core::memory::MemoryStores;
    use raft_core::store::records::StableRecords;
    use raft_core::store::{LogBounds, LogReader, Stores};

    use super::medium::DATABASE;
    use super::*;
    use crate::database;

    /// A store on a medium that is lost, and on one that fails.
    struct OnPower {
        medium: Medium,
        floor: TempDir,
    }

    impl OnPower {
        fn new() -> Self {
            Self {
                medium: Medium::new(),
                floor: directory(),
            }
        }
    }

    fn create_if_new(medium: &Medium) -> Result<(), StoreError> {
        match medium.has(DATABASE) {
            true => Ok(()),
            false => database::create(
                "medium",
                OnMedium::of(medium),
                &RedbConfig::default(),
                &StableRecords::new(),
            ),
        }
    }

    /// The strictest floor: it is durable right after each commit.
    impl CrashBackend for OnPower {
        fn open_on(&mut self, disk: &Medium) -> Result<Stores, StoreError> {
            create_if_new(disk)?;
            self.floor = directory();
            let path = self.floor.path().join(FLOOR);
            if let Some(floor) = disk.files().get(FLOOR) {
                fs::write(&path, floor).unwrap();
            }
            let store = open(disk, &self.floor)?;
            let floor = FloorOnMedium {
                path,
                medium: disk.file(FLOOR),
            };
            floor.copy()?;
            let (log, stable) = (Box::new(store.log), Box::new(store.stable));
            Ok(Stores {
                log: Box::new(WithFloor(log, floor.clone())),
                stable: Box::new(WithFloor(stable, floor)),
                snapshots: MemoryStores::new().open().snapshots,
            })
        }
    }

    impl Backend for OnPower {
        fn open(&mut self) -> Stores {
            self.medium = match self.medium.has(DATABASE) {
                true => Medium::holding(self.medium.synced_files()),
                false => Medium::new(),
            };
            create_if_new(&self.medium).unwrap();
            let store = open(&self.medium, &self.floor).unwrap();
            Stores {
                log: Box::new(store.log),
                stable: Box::new(store.stable),
                snapshots: MemoryStores::new().open().snapshots,
            }
        }
    }

    impl FaultyBackend for OnPower {
        fn fail_next_sync(&mut self) {
            self.medium.fail_next_sync();
        }
    }

    const FLOOR: &str = "floor";

    /// Puts the floor's file on the medium, where it can be lost and torn.
    #[derive(Clone)]
    struct FloorOnMedium {
        path: std::path::PathBuf,
        medium: MediumFile,
    }

    impl FloorOnMedium {
        fn copy(&self) -> Result<(), StoreError> {
            let floor = fs::read(&self.path).unwrap();
            let written = self.medium.write_at(0, &floor);
            let synced = written.and_then(|()| self.medium.sync());
            synced.map_err(StoreError::io(FLOOR, "write"))
        }
    }

    struct WithFloor<S>(S, FloorOnMedium);

    impl LogStore for WithFloor<Box<RedbLog>> {
        fn bounds(&self) -> Result<LogBounds, StoreError> {
            self.0.bounds()
        }

        fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
            self.0.append(entries)
        }

        fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
            self.0.truncate_suffix(from)
        }

        fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
            self.0.purge_prefix(through)
        }

        fn sync(&mut self) -> Result<(), StoreError> {
            self.0.sync()?;
            self.1.copy()
        }

        fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
            self.0.reader()
        }
    }

    impl StableStore for WithFloor<Box<RedbStable>> {
        fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.get(key)
        }

        fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
            self.0.set(key, value)?;
            self.1.copy()
        }
    }

    raft_core::crash_conformance!(OnPower::new());
    raft_core::fault_conformance!(OnPower::new());
}
