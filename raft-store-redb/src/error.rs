//! What redb says, in the words of the contract.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};

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
    /// The contract's error.
    pub(crate) fn into_store_error(self, place: &str, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Redb(error) => translate(*error, place, operation),
        }
    }
}

/// Runs an access to the database. `place` is its file, `operation` what is attempted.
///
/// A panic becomes damage. None is known to be left: this is for pages that pass redb's check and
/// ours and still break its assumptions. Nothing of ours is left half changed by that: reading
/// changes nothing, and a failed commit ends the store's use.
pub(crate) fn guarded<T>(
    place: &str,
    operation: &'static str,
    access: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, StoreError> {
    match panic::catch_unwind(AssertUnwindSafe(access)) {
        Ok(result) => result.map_err(|failure| failure.into_store_error(place, operation)),
        Err(panicked) => {
            let detail = format!("redb panicked: {}", message(&*panicked));
            Err(StoreError::damaged(place, "the pages", &detail))
        }
    }
}

fn message(panicked: &(dyn Any + Send)) -> &str {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panicked.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
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
