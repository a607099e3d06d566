//! Looks at the snapshots of a directory that is not open, and leaves it as it is.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::{Directory, DirectoryLock, FileSnapshotStore};
use crate::id::{LogId, LogIndex};
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError};

/// The snapshots that a [`FileSnapshotStore`] keeps, for reading. What it would remove when it is
/// opened stays, and everything that writes is refused.
#[derive(Debug)]
pub struct ReadOnlySnapshots {
    place: String,
    /// None where the directory is missing: then there is no snapshot.
    store: Option<FileSnapshotStore>,
}

impl ReadOnlySnapshots {
    /// Opens the snapshots in `directory`, which need not be there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if the directory is open elsewhere, or [`StoreError::Io`].
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = directory.into();
        let place = path.display().to_string();
        let there = path
            .try_exists()
            .map_err(StoreError::io(&place, "look for"))?;
        let directory = there.then(|| {
            let lock = DirectoryLock::share(&path)?;
            Ok(Directory {
                _lock: lock,
                path,
                unfinished: AtomicU64::new(0),
                partial: Mutex::default(),
            })
        });
        let store = directory.transpose()?.map(|directory| FileSnapshotStore {
            directory: Arc::new(directory),
        });
        Ok(Self { place, store })
    }

    fn refused<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Misuse {
            place: self.place.clone(),
            detail: "the snapshots are open for reading only".to_owned(),
        })
    }
}

impl SnapshotStore for ReadOnlySnapshots {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        self.store
            .as_ref()
            .map_or(Ok(Vec::new()), SnapshotStore::list)
    }

    fn damaged(&self) -> Result<Vec<StoreError>, StoreError> {
        let store = self.store.as_ref();
        store.map_or(Ok(Vec::new()), SnapshotStore::damaged)
    }

    fn create(&self, _: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        self.refused()
    }

    fn receive(&self, _: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        self.refused()
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        match &self.store {
            Some(store) => SnapshotStore::open(store, last),
            None => Err(StoreError::Misuse {
                place: self.place.clone(),
                detail: format!("there is no snapshot {last}"),
            }),
        }
    }

    fn retain(&self, _: usize, _: LogIndex) -> Result<(), StoreError> {
        self.refused()
    }
}
