//! The contract of a stable store.

use super::StoreError;

/// Keeps a few small records, each replaced as a whole.
///
/// **Thread.** One thread owns the store, the same that owns the log store. Every call may block,
/// unless [`StableStore::may_block`] says otherwise.
///
/// **Durability.** When [`StableStore::set`] returns, the new record is durable. A crash during
/// the call leaves the old record or the new one, never a mixture and never none.
///
/// **Checks.** The node wraps each record in a version and a checksum of its own, so a store keeps
/// opaque bytes. A store whose medium notices damage says [`StoreError::Damaged`], never `None`.
pub trait StableStore: Send + 'static {
    /// The record under `key`, or `None` if none was ever set.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the record under `key`, durably.
    ///
    /// # Errors
    /// [`StoreError`]; whether the record was replaced is then unknown.
    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError>;

    /// Whether calls may block on a device.
    fn may_block(&self) -> bool {
        true
    }
}

/// The records that a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StableKey {
    /// Term and vote ([`crate::HardState`]).
    HardState,
    /// Whose data this is ([`crate::Identity`]).
    Identity,
    /// Whether the data came from other stores, or went there ([`super::Relocation`]).
    Relocation,
    /// Whose data was damaged, before these stores began anew ([`crate::FormerLives`]).
    FormerLives,
}

impl StableKey {
    /// Each of them: whoever copies a store copies these.
    pub const ALL: [Self; 4] = [
        Self::HardState,
        Self::Identity,
        Self::Relocation,
        Self::FormerLives,
    ];

    /// The key as text, for stores that have named keys. Part of the format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HardState => "hard_state",
            Self::Identity => "identity",
            Self::Relocation => "relocation",
            Self::FormerLives => "former_lives",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is added must be put in here, and the test then asks for it in the list.
    fn after(key: StableKey) -> Option<StableKey> {
        match key {
            StableKey::HardState => Some(StableKey::Identity),
            StableKey::Identity => Some(StableKey::Relocation),
            StableKey::Relocation => Some(StableKey::FormerLives),
            StableKey::FormerLives => None,
        }
    }

    #[test]
    fn the_list_has_every_key() {
        let all = std::iter::successors(Some(StableKey::HardState), |key| after(*key));
        assert_eq!(all.collect::<Vec<_>>(), StableKey::ALL);
    }
}
