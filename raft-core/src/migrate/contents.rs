//! What is to be moved, and whether there is room for it.

use crate::hard_state::Identity;
use crate::id::ChainLink;
use crate::snapshot::SnapshotMeta;
use crate::store::{LogBounds, StableKey, StableRecord, StoreError, Stores};

use super::error::MigrateError;

/// What the source holds.
pub(super) struct Contents {
    pub(super) identity: Identity,
    pub(super) bounds: LogBounds,
    /// The newest first.
    pub(super) snapshots: Vec<SnapshotMeta>,
    /// Every record that is there, but for the identity, which comes last, and the move's own.
    pub(super) records: Vec<(StableKey, Vec<u8>)>,
}

impl Contents {
    /// Looks at everything but entries and the bytes of snapshots.
    pub(super) fn of(stores: &Stores) -> Result<Self, MigrateError> {
        let Some(identity) = Identity::load(stores.stable.as_ref())? else {
            return Err(MigrateError::NoNode);
        };
        if let Some(damage) = stores.snapshots.damaged()?.into_iter().next() {
            return Err(damage.into());
        }
        Ok(Self {
            identity,
            bounds: stores.log.bounds()?,
            snapshots: stores.snapshots.list()?,
            records: records(stores)?,
        })
    }

    /// The bytes of all snapshots.
    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.snapshots.iter().map(|meta| meta.size).sum()
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> u64 {
        let (last, purged) = (self.bounds.last.id.index, self.bounds.purged.id.index);
        last.distance_from(purged)
    }
}

/// The records that are copied as they are.
pub(super) fn records(stores: &Stores) -> Result<Vec<(StableKey, Vec<u8>)>, StoreError> {
    let own = [StableKey::Identity, StableKey::Relocation];
    let mut records = Vec::new();
    for key in StableKey::ALL.into_iter().filter(|key| !own.contains(key)) {
        if let Some(value) = stores.stable.get(key)? {
            records.push((key, value));
        }
    }
    Ok(records)
}

/// What is in stores that should be empty.
pub(super) fn occupied_by(stores: &Stores) -> Result<Option<String>, StoreError> {
    if let Some(identity) = Identity::load(stores.stable.as_ref())? {
        return Ok(Some(format!("the data of {identity}")));
    }
    let bounds = stores.log.bounds()?;
    if bounds.last != ChainLink::ORIGIN {
        return Ok(Some(format!("a log through entry {}", bounds.last.id)));
    }
    if let Some(snapshot) = stores.snapshots.list()?.first() {
        return Ok(Some(snapshot.to_string()));
    }
    if let Some(damage) = stores.snapshots.damaged()?.first() {
        return Ok(Some(damage.to_string()));
    }
    let record = records(stores)?.into_iter().next();
    Ok(record.map(|(key, _)| format!("the record {}", key.name())))
}
