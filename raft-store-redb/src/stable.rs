//! The stable store.

use std::sync::Arc;

use raft_core::store::{StableKey, StableStore, StoreError};
use redb::ReadableTable;

use crate::database::{Change, Database, GROUP};
use crate::layout::{self, RECORDS};

/// Each record is a commit of its own.
#[derive(Debug)]
pub(crate) struct RedbStable {
    database: Arc<Database>,
}

impl RedbStable {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl StableStore for RedbStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        let name = layout::stable_name(GROUP, key);
        self.database
            .read("read a stable record", |transaction, place| {
                let records = transaction.open_table(RECORDS)?;
                let Some(sealed) = ReadableTable::get(&records, name.as_str())? else {
                    return Ok(None);
                };
                Ok(Some(layout::unseal(place, &name, sealed.value())?.to_vec()))
            })
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        let name = layout::stable_name(GROUP, key);
        let sealed = layout::seal(&name, value.to_vec());
        let change = Change {
            apply: &|transaction| {
                let mut records = transaction.open_table(RECORDS)?;
                records.insert(name.as_str(), sealed.as_slice())?;
                Ok(())
            },
            last: None,
            sync_floor: false,
        };
        self.database.commit("write a stable record", &change)
    }
}
