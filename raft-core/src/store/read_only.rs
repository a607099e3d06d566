//! A node's stores, opened for looking.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{
    LogBounds, LogReader, LogStore, SnapshotRead, SnapshotStore, StableKey, StableRecord,
    StoreError, Stores,
};
use crate::entry::Entry;
use crate::id::{LogId, LogIndex};
use crate::snapshot::SnapshotMeta;

/// Everything a node keeps, without a way to change it: for tools that inspect, verify or copy.
///
/// A store crate opens its own so that not a byte of its files changes, and refuses while a node has
/// them open. [`ReadOnlyStores::of`] gives the same view of stores that are open already.
///
/// One thread owns the value; every call may block.
pub struct ReadOnlyStores {
    bounds: LogBounds,
    log: Box<dyn LogReader>,
    records: BTreeMap<StableKey, Vec<u8>>,
    snapshots: Arc<dyn SnapshotStore>,
    /// Kept open for the reader.
    _owner: Option<Box<dyn LogStore>>,
    /// What goes when all the others have gone.
    kept: Vec<Box<dyn Any + Send>>,
}

impl ReadOnlyStores {
    /// For store crates: the parts, opened for reading. `records` are the stable records that are
    /// there.
    pub fn new(
        bounds: LogBounds,
        log: Box<dyn LogReader>,
        records: BTreeMap<StableKey, Vec<u8>>,
        snapshots: Arc<dyn SnapshotStore>,
    ) -> Self {
        Self {
            bounds,
            log,
            records,
            snapshots,
            _owner: None,
            kept: Vec::new(),
        }
    }

    /// Stores that are open, and from now on only read.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn of(stores: Stores) -> Result<Self, StoreError> {
        let mut records = BTreeMap::new();
        for key in StableKey::ALL {
            if let Some(value) = stores.stable.get(key)? {
                records.insert(key, value);
            }
        }
        Ok(Self {
            bounds: stores.log.bounds()?,
            log: stores.log.reader()?,
            records,
            snapshots: stores.snapshots,
            _owner: Some(stores.log),
            kept: Vec::new(),
        })
    }

    /// For store crates: keeps `what` until the stores are closed, for instance a directory in which
    /// they lie for the time being.
    #[must_use]
    pub fn keeping(mut self, what: impl Any + Send) -> Self {
        self.kept.push(Box::new(what));
        self
    }

    /// Where the log begins and ends.
    pub fn bounds(&self) -> LogBounds {
        self.bounds
    }

    /// Reads entries, as [`LogReader::read`].
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn read(
        &mut self,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.log.read(range, bytes_max)
    }

    /// Log and snapshots, to read both.
    pub(crate) fn parts(&mut self) -> (&mut dyn LogReader, &dyn SnapshotStore) {
        (self.log.as_mut(), self.snapshots.as_ref())
    }

    /// A stable record; `None` if it was never stored.
    ///
    /// # Errors
    /// As [`StableRecord::load`].
    pub fn record<R: StableRecord>(&self) -> Result<Option<R>, StoreError> {
        let stored = self.records.get(&R::KEY);
        stored.map(|record| R::from_record(record)).transpose()
    }

    /// The finished snapshots, the newest first, as [`SnapshotStore::list`].
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    pub fn snapshots(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        self.snapshots.list()
    }

    /// The snapshots that cannot be listed, as [`SnapshotStore::damaged`].
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    pub fn damaged_snapshots(&self) -> Result<Vec<StoreError>, StoreError> {
        self.snapshots.damaged()
    }

    /// Opens a snapshot, as [`SnapshotStore::open`].
    ///
    /// # Errors
    /// As [`SnapshotStore::open`].
    pub fn open_snapshot(
        &self,
        last: LogId,
    ) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        self.snapshots.open(last)
    }
}

impl fmt::Debug for ReadOnlyStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnlyStores")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
