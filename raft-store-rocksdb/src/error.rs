//! What RocksDB says, in the words of the contract.

use std::io::{self, ErrorKind};

use raft_core::store::StoreError;

/// Why an access to the database ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// RocksDB's own error.
    Rocks(rocksdb::Error),
    /// An error that is already in the contract's words.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rocksdb::Error> for Failure {
    fn from(error: rocksdb::Error) -> Self {
        Self::Rocks(error)
    }
}

impl Failure {
    /// The contract's error.
    pub(crate) fn into_store_error(self, place: &str, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Rocks(error) => translate(&error, place, operation),
        }
    }
}

/// Runs an access to the database. `place` is its directory, `operation` what is attempted.
pub(crate) fn guarded<T>(
    place: &str,
    operation: &'static str,
    access: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, StoreError> {
    access().map_err(|failure| failure.into_store_error(place, operation))
}

/// RocksDB has kinds of errors and says the rest in words, which name the file.
fn translate(error: &rocksdb::Error, place: &str, operation: &'static str) -> StoreError {
    use rocksdb::ErrorKind as Kind;
    let text: &str = error.as_ref();
    let says = |words: &str| text.contains(words);
    match error.kind() {
        Kind::IOError if says("lock hold by current process") || says("While lock file") => {
            StoreError::InUse {
                place: place.to_owned(),
            }
        }
        // Files are only ever looked for because another one names them.
        Kind::IOError if says("No such file or directory") => {
            StoreError::damaged(place, "the files", &text)
        }
        Kind::Corruption => StoreError::damaged(place, "the files", &text),
        Kind::NotSupported => other_format(place, text),
        Kind::InvalidArgument if says("Column families not opened") => other_format(place, text),
        Kind::InvalidArgument => StoreError::damaged(place, "the files", &text),
        Kind::IOError if says("No space left") => {
            let source = io::Error::new(ErrorKind::StorageFull, text);
            StoreError::io(place, operation)(source)
        }
        _ => StoreError::io(place, operation)(io::Error::other(text)),
    }
}

/// A newer build of this crate, or of RocksDB, has written it.
fn other_format(place: &str, text: &str) -> StoreError {
    StoreError::Format {
        place: place.to_owned(),
        found: text.to_owned(),
        known: "what RocksDB 11 writes, with the column families `entries` and `records`"
            .to_owned(),
    }
}
