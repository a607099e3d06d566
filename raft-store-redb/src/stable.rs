//! The stable store.

use std::sync::Arc;

use raft_core::store::records::{self, StableRecords};
use raft_core::store::{CommitMark, StableKey, StableStore, StoreError};

use crate::database::{self, Change, Database};
use crate::layout::{GROUP, RECORDS};

/// All stable records are one value, so that none can be lost alone: a missing one was never set.
/// Each set is a commit of its own.
#[derive(Debug)]
pub(crate) struct RedbStable {
    database: Arc<Database>,
    records: StableRecords,
}

impl RedbStable {
    pub(crate) fn new(database: Arc<Database>) -> Result<Self, StoreError> {
        let records = database.read("read the stable records", database::stable_records)?;
        Ok(Self { database, records })
    }
}

impl StableStore for RedbStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.records.get(key.name()).cloned())
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        let mut records = self.records.clone();
        records.insert(key.name().to_owned(), value.to_vec());
        let sealed = records::encode_stable(self.database.place(), GROUP, &records)?;
        let change = Change {
            apply: &|transaction| {
                let mut table = transaction.open_table(RECORDS)?;
                let name = records::stable_name(GROUP);
                table.insert(name.as_str(), sealed.as_slice())?;
                Ok(())
            },
            mark: CommitMark::default(),
        };
        self.database.commit("write a stable record", &change)?;
        self.records = records;
        Ok(())
    }
}
