//! The snapshot thread: everything about snapshots that may block.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::applier::{Applier, Frozen, Job};
use super::completion::Completion;
use crate::id::{LogIndex, Term};
use crate::membership::Peer;
use crate::snapshot::{Kept, SnapshotMeta};
use crate::store::{SnapshotRead, SnapshotStore, StoreError};
use crate::transport::{OutboundSnapshot, Transport};

/// Something to do.
pub(super) enum SnapshotJob {
    /// Write out a view, then remove what is too old.
    Write(Frozen),
    /// Open the newest snapshot and give it to the transport.
    Send {
        to: Peer,
        term: Term,
        /// It must reach this index.
        reaches: LogIndex,
    },
    /// Replace the state of a machine that lives on the event loop, and give it back.
    Perform(Box<Applier>, Job),
    /// Remove what is too old, of the snapshots that end here or before.
    Retain { through: LogIndex },
}

/// What the thread works with.
pub(super) struct SnapshotWorker {
    pub(super) snapshots: Arc<dyn SnapshotStore>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) retained: usize,
    /// Set when the node stops: a long write is given up.
    pub(super) stopping: Arc<AtomicBool>,
}

/// The snapshot thread: one job after the other.
pub(super) fn run(
    worker: &SnapshotWorker,
    mut queue: mpsc::UnboundedReceiver<SnapshotJob>,
    completions: &mpsc::UnboundedSender<Completion>,
) {
    while let Some(job) = queue.blocking_recv() {
        let completion = match job {
            SnapshotJob::Write(frozen) => Some(Completion::SnapshotWritten(worker.write(frozen))),
            SnapshotJob::Send { to, term, reaches } => worker.send(&to, term, reaches, completions),
            SnapshotJob::Perform(applier, job) => Some(perform(applier, job)),
            SnapshotJob::Retain { through } => {
                worker.retain(through);
                None
            }
        };
        if let Some(completion) = completion {
            // If the event loop is gone, the queue ends as well.
            let _ = completions.send(completion);
        }
    }
}

impl SnapshotWorker {
    /// A snapshot that cannot be written loses nothing, so the node goes on and tries again later.
    fn write(&self, (header, view): Frozen) -> Result<SnapshotMeta, String> {
        let text = |error: &dyn fmt::Display| format!("snapshot {}: {error}", header.last.id);
        let sink = self.snapshots.create(&header).map_err(|e| text(&e))?;
        let stopping = &self.stopping;
        let mut out = Interruptible { sink, stopping };
        view.write(&mut out).map_err(|e| text(&e))?;
        out.flush().map_err(|e| text(&e))?;
        out.sink.finish().map_err(|e| text(&e))
    }

    fn send(
        &self,
        to: &Peer,
        term: Term,
        reaches: LogIndex,
        completions: &mpsc::UnboundedSender<Completion>,
    ) -> Option<Completion> {
        let to_id = to.id;
        match self.newest(reaches) {
            Ok((meta, data)) => {
                tracing::info!(to = %to_id, %meta, "sending a snapshot");
                let completions = completions.clone();
                let unreadable = move |detail| {
                    // If the event loop is gone, nobody wants to know.
                    let _ = completions.send(Completion::SnapshotUnreadable {
                        to: to_id,
                        term,
                        detail,
                    });
                };
                let data = Box::new(Watched {
                    data,
                    unreadable,
                    goes_on: false,
                });
                let outbound = OutboundSnapshot { term, meta, data };
                self.transport.send_snapshot(to, outbound);
                None
            }
            Err(detail) => Some(Completion::SnapshotUnreadable {
                to: to_id,
                term,
                detail,
            }),
        }
    }

    fn newest(&self, reaches: LogIndex) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), String> {
        let text = |error: StoreError| error.to_string();
        let list = self.snapshots.list().map_err(text)?;
        match list.first().filter(|meta| meta.id().index >= reaches) {
            Some(newest) => self.snapshots.open(newest.id()).map_err(text),
            None => Err(self.missing(reaches)),
        }
    }

    /// What is to be said of a snapshot that should be there.
    fn missing(&self, reaches: LogIndex) -> String {
        match self
            .snapshots
            .damaged()
            .unwrap_or_default()
            .into_iter()
            .next()
        {
            Some(error) => error.to_string(),
            None => format!(
                "the log begins after entry {reaches}, and no snapshot reaches that entry: was the \
                 directory of the snapshots emptied?"
            ),
        }
    }

    fn retain(&self, through: LogIndex) {
        if let Err(error) = self.snapshots.retain(self.retained, through) {
            tracing::warn!(%error, "old snapshots could not be removed");
        }
    }
}

fn perform(mut applier: Box<Applier>, job: Job) -> Completion {
    match applier.perform([job]) {
        Ok(progress) => Completion::Performed(applier, progress),
        Err(reason) => Completion::Failed(reason),
    }
}

/// Reads for a transport, and tells the node where that fails: a transport cannot tell a damaged
/// file from a broken connection.
struct Watched<F> {
    data: Box<dyn SnapshotRead>,
    unreadable: F,
    /// The receiver has the first part. What does not fit may be at its end, and is read again.
    goes_on: bool,
}

impl<F: Fn(String)> io::Read for Watched<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.data.read(bytes).inspect_err(|error| {
            let may_be_theirs = self.goes_on && error.kind() == io::ErrorKind::InvalidData;
            if error.kind() != io::ErrorKind::Interrupted && !may_be_theirs {
                (self.unreadable)(error.to_string());
            }
        })
    }
}

impl<F: Fn(String) + Send> SnapshotRead for Watched<F> {
    fn start_after(&mut self, kept: Kept) -> io::Result<bool> {
        let moved = self.data.start_after(kept)?;
        if moved {
            self.goes_on = kept.size > 0;
        }
        Ok(moved)
    }
}

/// Writes until the node stops.
struct Interruptible<'a, W> {
    sink: W,
    stopping: &'a AtomicBool,
}

impl<W: Write> Write for Interruptible<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other("the node is stopping"));
        }
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
