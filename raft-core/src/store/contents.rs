//! Whether stores were used before.

use super::{StableRecord, StoreError, Stores};
use crate::former_lives::FormerLives;
use crate::hard_state::HardState;
use crate::id::ChainLink;

impl Stores {
    /// Whether a node that starts on these stores goes on with what they hold: an initial membership, or
    /// an initial state, would be ignored. A node that waits to be added to a group has stored whose its
    /// stores are, and no state yet.
    ///
    /// # Errors
    /// [`StoreError`] of the medium, or of damage. Damage is never taken for absence.
    pub fn has_state(&self) -> Result<bool, StoreError> {
        let began_anew = FormerLives::load(self.stable.as_ref())?.is_some();
        Ok(began_anew || self.contents()?.is_some())
    }

    /// What they hold besides an identity, in words; `None` if nothing.
    pub(crate) fn contents(&self) -> Result<Option<String>, StoreError> {
        let hard_state = HardState::load(self.stable.as_ref())?;
        let bounds = self.log.bounds()?;
        Ok(if let Some(newest) = self.snapshots.list()?.first() {
            Some(newest.to_string())
        } else if bounds.last != ChainLink::ORIGIN {
            Some(format!("a log through entry {}", bounds.last.id))
        } else if let Some(hard_state) = hard_state {
            Some(hard_state.to_string())
        } else {
            // Never taken for empty stores: what is damaged was there.
            let damaged = self.snapshots.damaged()?.into_iter().next();
            damaged.map(|error| error.to_string())
        })
    }
}
