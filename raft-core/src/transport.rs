//! The contract of a transport, and the inbox through which it reaches the node.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::hard_state::Identity;
use crate::id::{LogId, NodeId, Term};
use crate::membership::Peer;
use crate::message::Message;
use crate::snapshot::SnapshotMeta;
use crate::store::{SnapshotSink, SnapshotStore, StoreError};

/// Carries messages between nodes.
///
/// **Promise.** A message may be lost, repeated, delayed or reordered, across restarts of either
/// end. It is never altered, and never reaches a node of another name, cluster or group.
///
/// **Thread.** `start` is called once, on the node's runtime, so tasks spawned there share its
/// thread. `send` is called on the event loop: it never blocks and never waits; where a bounded
/// queue is full, the message is dropped (and counted), for Raft sends again what matters.
///
/// **Lanes.** Messages whose body [is control](crate::message::Body::is_control) never queue
/// behind entries, and neither behind a snapshot (RULE 7).
pub trait Transport: Send + Sync + 'static {
    /// Begins to listen and to deliver into `inbox`.
    ///
    /// # Errors
    /// Of the system, for instance an address in use.
    fn start(&self, local: Identity, inbox: Inbox) -> io::Result<()>;

    /// Sends a message to `to`, connecting first if need be. A changed address ends the old
    /// connection.
    fn send(&self, to: &Peer, message: Message);

    /// Streams a snapshot to `to` on a lane of its own, on a thread that may block. The outcome is
    /// told to [`Inbox::snapshot_sent`]: success means that the receiver has it durably.
    fn send_snapshot(&self, to: &Peer, snapshot: OutboundSnapshot);

    /// Stops listening, closes every connection and ends every task. Idempotent. Later sends do
    /// nothing.
    fn stop(&self);

    /// Where it listens, if anywhere.
    fn local_address(&self) -> Option<String> {
        None
    }
}

/// A snapshot on its way out.
pub struct OutboundSnapshot {
    /// The leader's term.
    pub term: Term,
    /// What is sent.
    pub meta: SnapshotMeta,
    /// Its bytes, `meta.size` of them.
    pub data: Box<dyn Read + Send>,
}

/// Where a transport delivers. Cloning gives another handle to the same inbox.
#[derive(Clone)]
pub struct Inbox {
    control: mpsc::Sender<Inbound>,
    bulk: mpsc::Sender<Inbound>,
    bulk_bytes: Arc<Semaphore>,
    bulk_bytes_max: u32,
    snapshots: Arc<dyn SnapshotStore>,
}

/// The node's end of an [`Inbox`].
#[derive(Debug)]
pub struct InboxReceiver {
    /// Heartbeats, votes, replies and notices: read first.
    pub control: mpsc::Receiver<Inbound>,
    /// Entries.
    pub bulk: mpsc::Receiver<Inbound>,
}

/// What a transport delivered.
#[derive(Debug)]
#[non_exhaustive]
pub enum Inbound {
    /// A message, with its share of the inbox, given back when this is dropped.
    Message(Message, Option<OwnedSemaphorePermit>),
    /// A peer's connection broke, or cannot be made: what was sent may be lost.
    Unreachable(NodeId),
    /// A snapshot arrived and is durable.
    SnapshotReceived {
        /// Who sent it.
        from: NodeId,
        /// The sender's term.
        term: Term,
        /// What arrived.
        meta: SnapshotMeta,
    },
    /// A snapshot was sent, and is durable at the receiver, or was not.
    SnapshotSent {
        /// The receiver.
        to: NodeId,
        /// The term in which it was sent ([`OutboundSnapshot::term`]).
        term: Term,
        /// Which snapshot.
        last: LogId,
        /// Why not.
        outcome: Result<(), String>,
    },
}

/// The inbox is gone: the node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// Takes in one snapshot, then tells the node.
pub struct IncomingSnapshot {
    from: NodeId,
    term: Term,
    expected: SnapshotMeta,
    sink: Box<dyn SnapshotSink>,
    size: u64,
    checksum: u32,
    control: mpsc::Sender<Inbound>,
}

const CONTROL_MESSAGES_MAX: usize = 16_384;
const BULK_MESSAGES_MAX: usize = 4_096;

impl Inbox {
    /// An inbox that holds up to `bytes_max` of entries, and its other end. Snapshots go into
    /// `snapshots`.
    pub fn new(bytes_max: u32, snapshots: Arc<dyn SnapshotStore>) -> (Self, InboxReceiver) {
        let (control, control_receiver) = mpsc::channel(CONTROL_MESSAGES_MAX);
        let (bulk, bulk_receiver) = mpsc::channel(BULK_MESSAGES_MAX);
        let bulk_bytes = Arc::new(Semaphore::new(bytes_max as usize));
        let inbox = Self {
            control,
            bulk,
            bulk_bytes,
            bulk_bytes_max: bytes_max,
            snapshots,
        };
        (
            inbox,
            InboxReceiver {
                control: control_receiver,
                bulk: bulk_receiver,
            },
        )
    }

    /// Delivers a message, waiting while the inbox is full. Call it from one task a lane: waiting
    /// for room for entries must not hold up heartbeats.
    ///
    /// # Errors
    /// [`Stopped`] once the node is gone.
    pub async fn deliver(&self, message: Message) -> Result<(), Stopped> {
        let (lane, permit) = if message.body.is_control() {
            (&self.control, None)
        } else {
            let bytes = Arc::clone(&self.bulk_bytes);
            let permit = bytes.acquire_many_owned(self.permits(&message)).await;
            (&self.bulk, Some(permit.map_err(|_| Stopped)?))
        };
        lane.send(Inbound::Message(message, permit))
            .await
            .map_err(|_| Stopped)
    }

    /// Delivers a message if there is room at once, and says whether it did.
    pub fn try_deliver(&self, message: Message) -> bool {
        if message.body.is_control() {
            return self
                .control
                .try_send(Inbound::Message(message, None))
                .is_ok();
        }
        let bytes = Arc::clone(&self.bulk_bytes);
        match bytes.try_acquire_many_owned(self.permits(&message)) {
            Ok(permit) => self
                .bulk
                .try_send(Inbound::Message(message, Some(permit)))
                .is_ok(),
            Err(_) => false,
        }
    }

    /// Says that what was sent to `peer` may be lost.
    pub fn unreachable(&self, peer: NodeId) {
        // A full lane loses this hint; time-outs find out too.
        let _ = self.control.try_send(Inbound::Unreachable(peer));
    }

    /// Says how sending a snapshot in `term` ended. Waits for room, so that the outcome is never lost.
    ///
    /// # Errors
    /// [`Stopped`] once the node is gone.
    pub async fn snapshot_sent(
        &self,
        to: NodeId,
        term: Term,
        last: LogId,
        outcome: Result<(), String>,
    ) -> Result<(), Stopped> {
        let sent = Inbound::SnapshotSent {
            to,
            term,
            last,
            outcome,
        };
        self.control.send(sent).await.map_err(|_| Stopped)
    }

    /// Begins to take in a snapshot. May block.
    ///
    /// # Errors
    /// [`StoreError`] if no snapshot can be written, or the sender cannot have such a one.
    pub fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<IncomingSnapshot, StoreError> {
        // Checked before it is in the store, where the next start would take it for the truth.
        if !meta.is_possible_in(term) {
            return Err(StoreError::Misuse {
                place: format!("node {from}"),
                detail: format!("{meta} cannot exist in term {term}"),
            });
        }
        let sink = self.snapshots.create(&meta.header)?;
        let control = self.control.clone();
        Ok(IncomingSnapshot {
            from,
            term,
            expected: meta,
            sink,
            size: 0,
            checksum: 0,
            control,
        })
    }

    fn permits(&self, message: &Message) -> u32 {
        // A message larger than the whole inbox passes alone (RULE 5).
        u32::try_from(message.bytes())
            .unwrap_or(u32::MAX)
            .min(self.bulk_bytes_max)
    }
}

impl IncomingSnapshot {
    /// Verifies size and checksum, makes the snapshot durable, and tells the node. May block.
    /// Dropping an unfinished snapshot removes what arrived of it.
    ///
    /// # Errors
    /// `InvalidData` if the bytes are not those that were announced; the store's error otherwise.
    pub fn finish(self) -> io::Result<()> {
        let Self {
            from,
            term,
            expected,
            sink,
            size,
            checksum,
            control,
        } = self;
        if (size, checksum) != (expected.size, expected.checksum) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{expected} arrived as {size} bytes with checksum {checksum:08x}"),
            ));
        }
        let meta = sink.finish().map_err(io::Error::other)?;
        let received = Inbound::SnapshotReceived { from, term, meta };
        control.blocking_send(received).map_err(io::Error::other)
    }
}

impl Write for IncomingSnapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > self.expected.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more bytes than the {} announced", self.expected.size),
            ));
        }
        let written = self.sink.write(bytes)?;
        let (taken, _) = bytes.split_at(written);
        self.checksum = crc32c::crc32c_append(self.checksum, taken);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl fmt::Debug for IncomingSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingSnapshot")
            .field("from", &self.from)
            .field("expected", &self.expected)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OutboundSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSnapshot")
            .field("term", &self.term)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
