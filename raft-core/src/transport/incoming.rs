//! A snapshot on its way in: verified, gone on with after a break, and refused where it is stale.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::{Inbound, Inbox};
use crate::id::{LogIndex, NodeId, Term};
use crate::snapshot::{Kept, SnapshotMeta};
use crate::store::{SnapshotSink, SnapshotStore, StoreError};

/// How far the node is, for judging what a stream is worth. Set by the event loop, a little late.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    term: AtomicU64,
    committed: AtomicU64,
}

/// What becomes of a snapshot that a leader offers.
#[derive(Debug)]
pub enum SnapshotIntake {
    /// Take it in.
    Wanted(IncomingSnapshot),
    /// The node has everything that it contains. Acknowledge it, without its bytes.
    Unneeded,
}

/// Takes in one snapshot, then tells the node. Dropped unfinished, it leaves what has arrived to the
/// next attempt, if the store [can keep it](SnapshotStore::receive).
pub struct IncomingSnapshot {
    from: NodeId,
    term: Term,
    expected: SnapshotMeta,
    kept: Kept,
    /// Always there until the end.
    sink: Option<Box<dyn SnapshotSink>>,
    snapshots: Arc<dyn SnapshotStore>,
    horizon: Arc<Horizon>,
    control: mpsc::Sender<Inbound>,
}

impl Horizon {
    pub(super) fn set(&self, term: Term, committed: LogIndex) {
        self.term.store(term.get(), Ordering::Relaxed);
        self.committed.store(committed.get(), Ordering::Relaxed);
    }

    fn term(&self) -> Term {
        Term::new(self.term.load(Ordering::Relaxed))
    }

    fn committed(&self) -> LogIndex {
        LogIndex::new(self.committed.load(Ordering::Relaxed))
    }
}

impl Inbox {
    /// Begins to take in a snapshot that the leader of `term` offers, or goes on with it: see
    /// [`IncomingSnapshot::kept`]. May block, for as long as it takes to read what was kept.
    ///
    /// # Errors
    /// [`StoreError`] if no snapshot can be written; [`StoreError::Misuse`] if the sender's term is
    /// over, or it cannot have such a snapshot.
    pub fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<SnapshotIntake, StoreError> {
        let refuse = |detail: String| {
            let place = format!("node {from}");
            Err(StoreError::Misuse { place, detail })
        };
        let now = self.horizon.term();
        if term < now {
            return refuse(format!("its term {term} is over, this is term {now}"));
        }
        // Checked before it is in the store, where the next start would take it for the truth.
        if !meta.is_possible_in(term) {
            return refuse(format!("{meta} cannot exist in term {term}"));
        }
        if meta.id().index <= self.horizon.committed() {
            return Ok(SnapshotIntake::Unneeded);
        }
        let sink = self.snapshots.receive(&meta)?;
        Ok(SnapshotIntake::Wanted(IncomingSnapshot {
            from,
            term,
            expected: meta,
            kept: sink.kept(),
            sink: Some(sink),
            snapshots: Arc::clone(&self.snapshots),
            horizon: Arc::clone(&self.horizon),
            control: self.control.clone(),
        }))
    }
}

impl IncomingSnapshot {
    /// What is there already. The next byte to write is the one after it; a sender that cannot go on
    /// there [starts over](Self::start_over).
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// Takes the next bytes, which begin at `offset`: right after what is there, or at the very
    /// beginning if the sender has to start over. May block.
    ///
    /// # Errors
    /// `InvalidData` for any other offset, or for more bytes than were announced; the store's error
    /// otherwise.
    pub fn take(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset == 0 && self.kept.size > 0 {
            self.start_over()?;
        }
        if offset != self.kept.size {
            let have = self.kept.size;
            return Err(invalid(format!("a chunk at {offset} instead of {have}")));
        }
        self.write_all(bytes)
    }

    /// Throws away what is there. May block.
    ///
    /// # Errors
    /// The store's.
    pub fn start_over(&mut self) -> io::Result<()> {
        if let Some(sink) = self.sink.take() {
            sink.discard();
        }
        let sink = self.snapshots.receive(&self.expected);
        let sink = sink.map_err(io::Error::other)?;
        self.kept = sink.kept();
        self.sink = Some(sink);
        Ok(())
    }

    /// Whether going on is of use. If not, the node has got everything in another way, or its
    /// sender's term is over: then end the stream with the outcome that is given here.
    ///
    /// # Errors
    /// Why the stream ends, or `Ok(false)` if it has become unneeded.
    pub fn is_wanted(&self) -> io::Result<bool> {
        let now = self.horizon.term();
        if self.term < now {
            let term = self.term;
            return Err(invalid(format!(
                "term {term} of node {} is over, this is term {now}",
                self.from
            )));
        }
        Ok(self.expected.id().index > self.horizon.committed())
    }

    /// Nobody needs it any more: nothing of it is kept. May block.
    pub fn discard(mut self) {
        if let Some(sink) = self.sink.take() {
            sink.discard();
        }
    }

    /// Verifies size and checksum of the whole, makes the snapshot durable, and tells the node. May
    /// block.
    ///
    /// # Errors
    /// `InvalidData` if the bytes are not those that were announced: then none of them is kept. The
    /// store's error otherwise.
    pub fn finish(self) -> io::Result<()> {
        let (from, term, control) = (self.from, self.term, self.control.clone());
        let meta = self.complete()?;
        let received = Inbound::SnapshotReceived { from, term, meta };
        control.blocking_send(received).map_err(io::Error::other)
    }

    /// The same, but tells the node nothing.
    pub(crate) fn complete(mut self) -> io::Result<SnapshotMeta> {
        let Some(sink) = self.sink.take() else {
            return Err(invalid("it was given up".into()));
        };
        if !self.kept.is_all_of(&self.expected) {
            // Which part is wrong is not known.
            sink.discard();
            let (Kept { size, checksum }, expected) = (self.kept, &self.expected);
            return Err(invalid(format!(
                "{expected} arrived as {size} bytes with checksum {checksum:08x}"
            )));
        }
        sink.finish().map_err(io::Error::other)
    }
}

impl Write for IncomingSnapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(sink) = &mut self.sink else {
            return Err(invalid("it was given up".into()));
        };
        if self.kept.size + bytes.len() as u64 > self.expected.size {
            let announced = self.expected.size;
            return Err(invalid(format!(
                "more bytes than the {announced} announced"
            )));
        }
        let written = sink.write(bytes)?;
        let (taken, _) = bytes.split_at(written);
        self.kept.add(taken);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl fmt::Debug for IncomingSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingSnapshot")
            .field("from", &self.from)
            .field("expected", &self.expected)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
