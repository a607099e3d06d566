//! A stable store, broken in one way.

use raft_core::store::{StableKey, StableStore, StoreError};

use crate::broken::{Fault, Remembered};

pub(crate) struct BrokenStable {
    inner: Box<dyn StableStore>,
    remembered: Remembered,
}

impl BrokenStable {
    pub(crate) fn new(inner: Box<dyn StableStore>, remembered: Remembered) -> Self {
        Self { inner, remembered }
    }
}

impl StableStore for BrokenStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.inner.get(key)?;
        let memory = self.remembered.get();
        Ok(match memory.fault {
            Some(Fault::AbsentIsEmpty) => Some(found.unwrap_or_default()),
            Some(Fault::EmptyIsAbsent) => found.filter(|value| !value.is_empty()),
            Some(Fault::RecordIsNotDurable) if key == StableKey::HardState => memory.record.clone(),
            _ => found,
        })
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        let fault = self.remembered.get().fault;
        match fault {
            Some(Fault::RecordIsNotDurable) => self.remembered.get().record = Some(value.to_vec()),
            Some(Fault::RecordKeepsTheTailOfALongerOne) => {
                let mut record = value.to_vec();
                let old = self.inner.get(key)?.unwrap_or_default();
                record.extend_from_slice(old.get(value.len()..).unwrap_or_default());
                return self.inner.set(key, &record);
            }
            Some(Fault::RecordsTouchEachOther) => self.inner.set(StableKey::Identity, value)?,
            _ => {}
        }
        self.inner.set(key, value)
    }
}
