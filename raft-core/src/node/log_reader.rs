//! Reads entries that are no longer in memory: on the reader thread, or in place.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::completion::Completion;
use super::error::StopReason;
use crate::consensus::{IndexRange, Reader};
use crate::store::{LogReader, StoreError};

/// One thing to read.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) reader: Reader,
    pub(super) range: IndexRange,
    pub(super) bytes_max: usize,
    /// How often the log had lost entries when this was wanted.
    pub(super) removals: u64,
}

/// Reads, and says how it ended. A log that cannot be read stops the node.
pub(super) fn fetch(log: &mut dyn LogReader, fetch: Fetch) -> Completion {
    let Fetch {
        reader,
        range,
        bytes_max,
        removals,
    } = fetch;
    let from = range.start;
    match log.read(range, bytes_max) {
        Ok(entries) => Completion::Fetched {
            reader,
            from,
            entries,
        },
        Err(StoreError::Purged { .. }) => Completion::FetchPurged { reader },
        Err(error @ StoreError::Misuse { .. }) => Completion::FetchMissing {
            reader,
            removals,
            error,
        },
        Err(error) => Completion::Failed(StopReason::Store(Arc::new(error))),
    }
}

/// The reader thread. Each read is reported alone: whoever waits for it need not wait for others.
pub(super) fn run(
    mut log: Box<dyn LogReader>,
    mut queue: mpsc::UnboundedReceiver<Vec<Fetch>>,
    completions: &mpsc::UnboundedSender<Completion>,
) {
    while let Some(batch) = queue.blocking_recv() {
        for wanted in batch {
            let completion = fetch(log.as_mut(), wanted);
            let failed = matches!(completion, Completion::Failed(_));
            // If the event loop is gone, the queue ends as well.
            let _ = completions.send(completion);
            if failed {
                return;
            }
        }
    }
}
