//! What can go wrong for a client.

use std::time::Duration;

/// Why one request to one server has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The server never got it: nothing was done.
    #[error("{address} cannot be reached ({reason})")]
    NotSent {
        /// The server.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The connection broke, or time ran out, while the answer was awaited: the server may have
    /// done it.
    #[error("{address} gave no answer ({reason})")]
    NoAnswer {
        /// The server.
        address: String,
        /// What the system said.
        reason: String,
    },
}

/// Why a client's operation did not succeed before its deadline.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing was done, and trying again will not help.
    #[error("{0}")]
    Refused(String),
    /// Nothing was done, as long as the client tried. Trying again is safe.
    #[error(
        "nothing was done within {within:?}: {last}; is a majority of the nodes running? See \
         `kv status`"
    )]
    NotDone {
        /// How long the client tried.
        within: Duration,
        /// What came last.
        last: String,
    },
    /// The change may have been made, may yet be made, or may never be.
    #[error(
        "the outcome is unknown after {within:?}: {last}; the change may have been made or may yet \
         be made. Read the key to see, or repeat the command: repeating it is safe unless somebody \
         else writes the same key"
    )]
    Unknown {
        /// How long the client tried.
        within: Duration,
        /// What came last.
        last: String,
    },
}
