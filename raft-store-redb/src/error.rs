//! What redb says, in the words of the contract.

use std::io;

use raft_core::store::StoreError;

/// Why an access to the database ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// redb's own error.
    Redb(Box<redb::Error>),
    /// An error that is already in the contract's words.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(
            impl From<$error> for Failure {
                fn from(error: $error) -> Self {
                    Self::Redb(Box::new(error.into()))
                }
            }
        )*
    };
}

from_redb!(
    redb::CommitError,
    redb::CompactionError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);

impl Failure {
    /// The contract's error. `place` is the database's file, `operation` what was attempted.
    pub(crate) fn into_store_error(self, place: &str, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Redb(error) => translate(*error, place, operation),
        }
    }
}

fn translate(error: redb::Error, place: &str, operation: &'static str) -> StoreError {
    use redb::Error;
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => StoreError::InUse {
            place: place.to_owned(),
        },
        Error::Corrupted(detail) => StoreError::damaged(place, "the pages", &detail),
        Error::TableDoesNotExist(_)
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TypeDefinitionChanged { .. } => StoreError::damaged(place, "the tables", &error),
        Error::UpgradeRequired(version) => StoreError::Format {
            place: place.to_owned(),
            found: format!("redb format {version}"),
            known: "redb format 3".to_owned(),
        },
        Error::Io(source) if is_damage(&source) => StoreError::damaged(place, "the file", &source),
        Error::Io(source) => StoreError::io(place, operation)(source),
        other => StoreError::io(place, operation)(io::Error::other(other)),
    }
}

/// redb reports a foreign file as invalid data, and one that is cut short as its end.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
