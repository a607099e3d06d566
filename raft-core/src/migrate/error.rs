//! Why a node's data is not moved.

use crate::store::StoreError;

/// Why a move was refused or is not complete. Nothing is lost, and it is safe to repeat.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// No node was ever started on the source.
    #[error("there is nothing to move: no node was ever started on these stores")]
    NoNode,
    /// The source was moved, to other stores than these.
    #[error("the data was moved already, to {to}: only that copy counts")]
    Departed {
        /// Where to.
        to: String,
    },
    /// The source is itself a copy that is not complete.
    #[error("the source is an unfinished copy of {from}: finish that move first")]
    Unfinished {
        /// Where its data comes from.
        from: String,
    },
    /// The target holds something that no earlier attempt of this move has put there.
    #[error("the target is not empty, it holds {what}: move into a new place")]
    Occupied {
        /// What.
        what: String,
    },
    /// The target holds what the source does not have: of an attempt from another source, or from before
    /// the source was restored.
    #[error(
        "the target holds {what}, and the source does not: remove the target, which is an unfinished copy, and begin anew"
    )]
    Stale {
        /// What.
        what: String,
    },
    /// What was read back is not what was to be copied.
    #[error(
        "the copy differs from the source at {what}, though it was just written: mistrust the target's disk; the source has lost nothing"
    )]
    Differs {
        /// Where.
        what: String,
    },
    /// A store failed, or is damaged: the error names where.
    #[error(transparent)]
    Store(#[from] StoreError),
}
