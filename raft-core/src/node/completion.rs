//! What the node's threads report to its event loop.

use super::applier::{Applier, Progress};
use super::error::StopReason;
use super::log_writer::Persisted;
use crate::consensus::Reader;
use crate::entry::Entry;
use crate::id::{LogIndex, NodeId, Term};
use crate::snapshot::SnapshotMeta;
use crate::store::StoreError;

/// Something that the event loop asked a thread for is done.
#[derive(Debug)]
pub(super) enum Completion {
    /// Writes are durable.
    Persisted(Persisted),
    /// Entries were read.
    Fetched {
        reader: Reader,
        from: LogIndex,
        entries: Vec<Entry>,
    },
    /// The entries to read had been purged.
    FetchPurged { reader: Reader },
    /// The entries to read are not there.
    FetchMissing {
        reader: Reader,
        removals: u64,
        error: StoreError,
    },
    /// The apply thread has done everything it was given so far.
    Applied(Progress),
    /// The snapshot thread gives back a machine that lives on the event loop.
    Performed(Box<Applier>, Progress),
    /// A snapshot of our own is durable, or could not be written.
    SnapshotWritten(Result<SnapshotMeta, String>),
    /// A snapshot to be sent cannot be read here, or is not there.
    SnapshotUnreadable {
        to: NodeId,
        term: Term,
        detail: String,
    },
    /// The node cannot go on.
    Failed(StopReason),
}
