//! The conformance suites that need a medium: power that fails at any write, and syncs that fail.

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
