//! The stable records in memory.

use super::disk::Handle;
use crate::store::{StableKey, StableStore, StoreError};

/// Implements [`StableStore`] on the shared disk.
pub(super) struct MemoryStable {
    handle: Handle,
}

impl MemoryStable {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl StableStore for MemoryStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.handle.read()?.stable.get(&key).cloned())
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.handle.write("set a stable record")?;
        disk.stable.insert(key, value.to_vec());
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }
}
