//! Which store a word stands for.

use std::path::Path;

use raft_core::memory::MemoryStores;
use raft_core::store::{ReadOnlyStores, StoreError, Stores};

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
    /// [`OpenError`] if it is in use, damaged, or of another kind, or if this build has no such store.
    pub fn open(&self, kind: StoreKind, directory: &Path) -> Result<Stores, OpenError> {
        refuse_other(kind, directory)?;
        let opened = match kind {
            #[cfg(feature = "redb")]
            StoreKind::Redb => raft_store_redb::open_with(directory, &self.redb),
            #[cfg(feature = "rocksdb")]
            StoreKind::Rocksdb => raft_store_rocksdb::open_with(directory, &self.rocksdb),
            StoreKind::Memory => Ok(MemoryStores::new().open()),
            #[cfg(not(all(feature = "redb", feature = "rocksdb")))]
            other => return Err(not_built(other.as_str(), other.lacks_feature()).into()),
        };
        opened.map_err(|source| OpenError::store(directory, source))
    }

    /// Lets the stores of this kind in `directory` begin anew, for `reason`: they were found damaged.
    /// A store in memory does so with every opening.
    ///
    /// # Errors
    /// [`OpenError`] if they are in use, or have begun anew too often, or if this build has no such
    /// store.
    #[cfg_attr(
        not(any(feature = "redb", feature = "rocksdb")),
        expect(unused_variables, reason = "no database is there to begin anew")
    )]
    pub fn begin_anew(
        &self,
        kind: StoreKind,
        directory: &Path,
        reason: &str,
    ) -> Result<(), OpenError> {
        let begun = match kind {
            #[cfg(feature = "redb")]
            StoreKind::Redb => raft_store_redb::begin_anew(directory, &self.redb, reason),
            #[cfg(feature = "rocksdb")]
            StoreKind::Rocksdb => raft_store_rocksdb::begin_anew(directory, &self.rocksdb, reason),
            StoreKind::Memory => Ok(MemoryStores::new().open()),
            #[cfg(not(all(feature = "redb", feature = "rocksdb")))]
            other => return Err(not_built(other.as_str(), other.lacks_feature()).into()),
        };
        begun
            .map(drop)
            .map_err(|source| OpenError::store(directory, source))
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

/// Why stores were not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store said no.
    #[error("cannot open the store in {directory}: {source}")]
    Store {
        /// Where it is.
        directory: String,
        /// Why.
        source: StoreError,
    },
    /// It was not even tried.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl OpenError {
    /// Whether what is stored is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store { source, .. } if source.is_damage())
    }

    fn store(directory: &Path, source: StoreError) -> Self {
        let directory = directory.display().to_string();
        Self::Store { directory, source }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::of(&error)
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
