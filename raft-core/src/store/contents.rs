//! Whether stores were used before.

use super::{StableRecord, StoreError, Stores};
use crate::former_lives::FormerLives;
use crate::hard_state::HardState;
use crate::id::ChainLink;
use crate::snapshot::SnapshotMeta;

impl Stores {
    /// Whether a node that starts on these stores goes on with what they hold: an initial membership, or
    /// an initial state, would be ignored. A node that waits to be added to a group has stored whose its
    /// stores are, and no state yet.
    ///
    /// # Errors
    /// [`StoreError`] of the medium, or of damage. Damage is never taken for absence.
    pub fn has_state(&self) -> Result<bool, StoreError> {
        let began_anew = FormerLives::load(self.stable.as_ref())?.is_some();
        let hard_state = HardState::load(self.stable.as_ref())?;
        let (snapshots, damaged) = (self.snapshots.list()?, self.snapshots.damaged()?);
        let last = self.log.bounds()?.last;
        let contents = contents(last, hard_state, &snapshots, damaged.first());
        Ok(began_anew || contents.is_some())
    }
}

/// What stores hold besides an identity, in words, from what was read of them; `None` if nothing.
pub(crate) fn contents(
    last: ChainLink,
    hard_state: Option<HardState>,
    snapshots: &[SnapshotMeta],
    damaged: Option<&StoreError>,
) -> Option<String> {
    if let Some(newest) = snapshots.first() {
        Some(newest.to_string())
    } else if last != ChainLink::ORIGIN {
        Some(format!("a log through entry {}", last.id))
    } else if let Some(hard_state) = hard_state {
        Some(hard_state.to_string())
    } else {
        // Never taken for empty stores: what is damaged was there.
        damaged.map(ToString::to_string)
    }
}
