//! The contract of a transport, and the inbox through which it reaches the node.

mod incoming;
mod outgoing;

pub use incoming::{IncomingSnapshot, SnapshotIntake};
pub use outgoing::{OutboundSnapshot, SnapshotPart, SnapshotParts};

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::incoming::Horizon;
use crate::hard_state::Identity;
use crate::id::{LogId, LogIndex, NodeId, Term};
use crate::membership::Peer;
use crate::message::Message;
use crate::snapshot::SnapshotMeta;
use crate::store::SnapshotStore;

/// Carries messages between nodes.
///
/// **Promise.** A message may be lost, repeated, delayed or reordered, across restarts of either
/// end. It is never altered, and never reaches a node of another name, cluster or group.
///
/// **Order.** None is promised, neither among lanes nor within one, so that a transport may use what
/// datagrams it likes: every message says for itself what it is about, and Raft takes a repeated or
/// a late one for what it is. One that keeps order all the same spares the leader a step back: the
/// transports of this workspace deliver a message once at most, and those of a lane in the order in
/// which they were sent, with gaps. The parts of a snapshot do have an order, which
/// [`IncomingSnapshot::take`] holds them to: one that is repeated, left out or early ends the stream.
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
    /// told to [`Inbox::snapshot_sent`]: success means that the receiver has it durably, or all that
    /// it contains. Each time the receiver confirms more of it, [`Inbox::snapshot_progressed`] is
    /// told. A receiver that has part of it already is sent the rest.
    fn send_snapshot(&self, to: &Peer, snapshot: OutboundSnapshot);

    /// Stops listening, closes every connection and ends every task. Idempotent. Later sends do
    /// nothing.
    fn stop(&self);

    /// The largest message that it carries, as [`Message::bytes`] counts; `None` for any size. A node
    /// whose entries may be larger does not start.
    fn message_bytes_max(&self) -> Option<usize> {
        None
    }

    /// Where it listens, if anywhere.
    fn local_address(&self) -> Option<String> {
        None
    }
}

/// Where a transport delivers. Cloning gives another handle to the same inbox.
#[derive(Clone)]
pub struct Inbox {
    control: mpsc::Sender<Inbound>,
    bulk: mpsc::Sender<Inbound>,
    bulk_bytes: Arc<Semaphore>,
    bulk_bytes_max: u32,
    snapshots: Arc<dyn SnapshotStore>,
    horizon: Arc<Horizon>,
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
    /// The receiver of a snapshot has more of it than before.
    SnapshotProgressed {
        /// The receiver.
        to: NodeId,
        /// The term in which it is sent.
        term: Term,
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
            horizon: Arc::default(),
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

    /// Says that the receiver of a snapshot has confirmed more of it: it lives, and the stream moves.
    pub fn snapshot_progressed(&self, to: NodeId, term: Term) {
        // A full lane loses this; the next one says the same.
        let _ = self
            .control
            .try_send(Inbound::SnapshotProgressed { to, term });
    }

    /// Says how far the node is, so that snapshots that it does not need are not taken in.
    pub fn node_is_at(&self, term: Term, committed: LogIndex) {
        self.horizon.set(term, committed);
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

    fn permits(&self, message: &Message) -> u32 {
        // A message larger than the whole inbox passes alone (RULE 5).
        u32::try_from(message.bytes())
            .unwrap_or(u32::MAX)
            .min(self.bulk_bytes_max)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
