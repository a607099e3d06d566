//! What can go wrong with a store, told apart by what must be done about it.

use std::io;

use crate::id::LogIndex;

/// Why a store cannot do what it was asked. Final for the node: it stops, and never retries
/// (RULE 4).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused an operation. Whether it took effect is unknown.
    #[error("{place}: {operation} failed: {source}")]
    Io {
        /// The file or directory.
        place: String,
        /// What was attempted.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something that was stored is not what it was. Never used for what was not stored.
    #[error(
        "{place}: damaged at {what}: {detail}; keep the directory for inspection, and do not start the node on it: bring the node back with an intact copy, by the store's begin_anew, or as a new member with an empty directory"
    )]
    Damaged {
        /// The file or directory.
        place: String,
        /// Which record: an entry's index, a key, a snapshot.
        what: String,
        /// How it was noticed.
        detail: String,
    },
    /// The entries were purged: a snapshot has replaced them.
    #[error("entry {requested} was purged, the log begins after {purged}")]
    Purged {
        /// The first entry asked for.
        requested: LogIndex,
        /// The last purged entry.
        purged: LogIndex,
    },
    /// The call broke the contract: a gap, a wrong predecessor, an entry that is not there.
    #[error("{place}: {detail}")]
    Misuse {
        /// The store.
        place: String,
        /// Which rule was broken, with the values.
        detail: String,
    },
    /// Another process, or another store in this one, has it open.
    #[error("{place} is in use by another process: stop it, or choose another directory")]
    InUse {
        /// The file or directory.
        place: String,
    },
    /// The data went to other stores. Started here too, the same node would live twice.
    #[error(
        "the data of this node was moved to {to}: start the node there; this copy can be removed once that runs"
    )]
    Moved {
        /// Where to.
        to: String,
    },
    /// The stores were being filled from others, and are not complete.
    #[error(
        "the stores hold an unfinished copy of {from}: repeat the migration, it goes on where it was; or remove this copy and start the node there"
    )]
    Unfinished {
        /// Where the data came from.
        from: String,
    },
    /// Damage was found here again and again.
    #[error(
        "{place}: damage was found {times} times already, so the disk keeps failing: replace it, and \
         bring the node back with an empty directory; the directories damaged-1 to damaged-{times} hold \
         what was there"
    )]
    KeepsFailing {
        /// The directory.
        place: String,
        /// How often.
        times: usize,
    },
    /// The format is one that this build cannot read.
    #[error(
        "{place} has format {found}, this build reads {known}: use the build that wrote it, or migrate"
    )]
    Format {
        /// The file or directory.
        place: String,
        /// What is there.
        found: String,
        /// What is understood.
        known: String,
    },
}

impl StoreError {
    /// For `map_err`: an operation on a place that the system refused.
    pub fn io(place: impl Into<String>, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let place = place.into();
        move |source| Self::Io {
            place,
            operation,
            source,
        }
    }

    /// Something stored is not what it was.
    pub fn damaged(
        place: impl Into<String>,
        what: impl Into<String>,
        detail: &impl ToString,
    ) -> Self {
        Self::Damaged {
            place: place.into(),
            what: what.into(),
            detail: detail.to_string(),
        }
    }

    /// Whether the error says that stored data is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
