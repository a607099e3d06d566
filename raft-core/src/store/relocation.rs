//! What stores remember of a move: so that no two copies of one node ever run.

use serde::{Deserialize, Serialize};

use super::{StableRecord, StableStore, StoreError};
use crate::hard_state::Identity;

/// Written by [`crate::migrate`], into both stores of a move.
///
/// The same node with the same incarnation on two disks could vote twice in one term, and acknowledge
/// two histories. So a copy is marked before its first byte, the original before the copy counts, and
/// a node starts on neither a copy that is not complete nor on what was moved away.
///
/// The ticket is drawn once for each copy, and is the same in both stores: it tells the copy that an
/// original was moved to from an older attempt elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relocation {
    /// Data is being copied into these stores.
    Arriving {
        /// Of this copy.
        ticket: u64,
        /// Whose data it is.
        identity: Identity,
        /// Where the data comes from, for people.
        from: String,
    },
    /// The data was moved away, completely: these stores are retired.
    Departed {
        /// Of the copy that counts.
        ticket: u64,
        /// Where the data went, for people.
        to: String,
    },
    /// The data came from elsewhere, is complete, and counts.
    Arrived {
        /// Of this copy.
        ticket: u64,
        /// Where the data came from, for people.
        from: String,
    },
}

impl Relocation {
    /// Refuses stores on which no node may start.
    ///
    /// # Errors
    /// [`StoreError::Moved`] or [`StoreError::Unfinished`], or that the record cannot be read.
    pub fn check(stable: &dyn StableStore) -> Result<(), StoreError> {
        Self::load(stable)?.map_or(Ok(()), Self::permit)
    }

    /// As [`Relocation::check`], for a record that was read.
    ///
    /// # Errors
    /// [`StoreError::Moved`] or [`StoreError::Unfinished`].
    pub fn permit(self) -> Result<(), StoreError> {
        match self {
            Self::Arriving { from, .. } => Err(StoreError::Unfinished { from }),
            Self::Departed { to, .. } => Err(StoreError::Moved { to }),
            Self::Arrived { .. } => Ok(()),
        }
    }
}
