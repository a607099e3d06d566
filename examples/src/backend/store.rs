//! Which store a word stands for.

use std::path::Path;

use raft_core::memory::MemoryStores;
use raft_core::store::{ReadOnlyStores, Stores};

#[cfg(not(all(feature = "redb", feature = "rocksdb")))]
use super::not_built;
use crate::config::{RedbSection, RocksdbSection, ServerConfig, StoreKind};
use crate::failure::Failure;
#[cfg(any(feature = "redb", feature = "rocksdb"))]
use crate::failure::OrFail;

/// What each store can be told. Whichever is chosen takes its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// For `redb`.
    pub redb: RedbSection,
    /// For `rocksdb`.
    pub rocksdb: RocksdbSection,
}

impl StoreSettings {
    /// The settings of a configuration.
    pub fn of(config: &ServerConfig) -> Self {
        Self {
            redb: config.redb.clone(),
            rocksdb: config.rocksdb.clone(),
        }
    }

    /// Opens the store of this kind in `directory`, and creates it if there is none. A store in memory
    /// is new each time, and needs no directory.
    ///
    /// # Errors
    /// [`Failure`] if it is in use, damaged, or of another kind, or if this build has no such store.
    pub fn open(&self, kind: StoreKind, directory: &Path) -> Result<Stores, Failure> {
        if kind.is_durable() {
            refuse_other(kind, directory)?;
        }
        match kind {
            #[cfg(feature = "redb")]
            StoreKind::Redb => {
                let opened = raft_store_redb::open_with(directory, &self.redb);
                opened.or_fail(|| cannot_open(directory))
            }
            #[cfg(feature = "rocksdb")]
            StoreKind::Rocksdb => {
                let opened = raft_store_rocksdb::open_with(directory, &self.rocksdb);
                opened.or_fail(|| cannot_open(directory))
            }
            StoreKind::Memory => Ok(MemoryStores::new().open()),
            #[cfg(not(all(feature = "redb", feature = "rocksdb")))]
            other => Err(not_built(other.as_str(), other.lacks_feature())),
        }
    }

    /// Opens the store of this kind in `directory` for looking: nothing is written, nothing created.
    ///
    /// # Errors
    /// [`Failure`] if a node has it open, or if it is damaged, or if this build has no such store.
    #[cfg_attr(
        not(any(feature = "redb", feature = "rocksdb")),
        expect(unused_variables, reason = "no database is there to open it")
    )]
    pub fn open_read_only(
        &self,
        kind: StoreKind,
        directory: &Path,
    ) -> Result<ReadOnlyStores, Failure> {
        match kind {
            #[cfg(feature = "redb")]
            StoreKind::Redb => raft_store_redb::open_read_only(directory, &self.redb)
                .or_fail(|| cannot_open(directory)),
            #[cfg(feature = "rocksdb")]
            StoreKind::Rocksdb => raft_store_rocksdb::open_read_only(directory, &self.rocksdb)
                .or_fail(|| cannot_open(directory)),
            StoreKind::Memory => Err(Failure::new(
                "a store in memory is gone with its process: there is nothing to look at",
            )),
            #[cfg(not(all(feature = "redb", feature = "rocksdb")))]
            other => Err(not_built(other.as_str(), other.lacks_feature())),
        }
    }
}

/// The store whose files are in `directory`, if any is. Needs no adapter: a build without one can
/// still say what it lacks.
pub fn detect(directory: &Path) -> Option<StoreKind> {
    let files = [
        (StoreKind::Redb, REDB_FILE),
        (StoreKind::Rocksdb, ROCKSDB_FILE),
    ];
    let mut found = files
        .iter()
        .filter(|(_, file)| directory.join(file).exists());
    found.next().map(|(kind, _)| *kind)
}

/// A directory that another store has used holds a node's promises: a second store beside it would
/// know nothing of them, and vote and acknowledge as if there were none.
fn refuse_other(kind: StoreKind, directory: &Path) -> Result<(), Failure> {
    match detect(directory) {
        Some(found) if found != kind => Err(Failure::new(format!(
            "{} holds a {found} store: write store = \"{found}\", or move the data with `kv migrate`",
            directory.display()
        ))),
        Some(_) | None => Ok(()),
    }
}

#[cfg(any(feature = "redb", feature = "rocksdb"))]
fn cannot_open(directory: &Path) -> String {
    format!("cannot open the store in {}", directory.display())
}

/// What each store cannot do without.
const REDB_FILE: &str = "raft.redb";
const ROCKSDB_FILE: &str = "raft.rocksdb";
