//! The node: the shell around the core. Channels, tasks, threads and the clock are here, and no
//! decision of the protocol.
//!
//! # The journey of one command
//!
//! Each step is one function in one file.
//!
//! 1. [`Node::propose`] seals the command with its checksum, on the caller's thread, and puts it
//!    with a slot for the answer into a bounded queue (`node/request.rs`).
//! 2. The event loop wakes up, and takes the batch that has gathered (`node/event_loop.rs`:
//!    `Sources::wait`, `node/inputs.rs`: `on_requests`).
//! 3. The core gives each command its term and index, and appends it to its view of the log
//!    (`consensus/leader.rs`: `on_proposed`).
//! 4. Out of the step come [`Effect::Accepted`], [`Effect::Send`] and [`Effect::Persist`]: the
//!    network and the disk race each other (`consensus/replication.rs`, `consensus/pending.rs`).
//! 5. `execute` gives the messages to the transport, and the writes to the log thread
//!    (`node/execute.rs`).
//! 6. A follower checks the entries and wants them on its disk; its acknowledgement waits
//!    (`consensus/follower.rs`, `consensus/pending.rs`).
//! 7. The log thread makes everything that is queued durable with one sync, and reports once
//!    (`node/log_writer.rs`); that releases the acknowledgement.
//! 8. The leader counts the acknowledgements and advances the commit index
//!    (`consensus/leader.rs`: `advance_commit`).
//! 9. The apply thread runs the state machine on the committed commands (`node/applier.rs`).
//! 10. `waiting` finds the slot by index and term: the caller gets the response, or the honest
//!     error (`node/callers.rs`, `node/waiting.rs`).
//!
//! # Threads
//!
//! | thread | what | when |
//! |---|---|---|
//! | `raft-1` | the event loop, and the transport's tasks | unless [`NodeBuilder::runtime`] is given |
//! | `raft-1-log` | owns the log store and the stable store | they [may block](crate::store::LogStore::may_block) |
//! | `raft-1-reader` | reads old entries for followers that lag | as `log` |
//! | `raft-1-apply` | owns the state machine | it [may block](StateMachine::may_block) |
//! | `raft-1-snapshots` | writes, opens and removes snapshots | always |
//! | `raft-1-restore` | reads a backup | while [`Node::restore`] is at work |
//!
//! What never blocks is called on the event loop itself: a write on memory stores then costs no hop
//! between threads at all. Every hand-off takes all that is queued and wakes the other side once;
//! nothing waits for a batch to fill.
//!
//! # What is simulated
//!
//! What a node does is kept apart from when and on which thread it is done. The first is plain code, and
//! the [simulator](crate::manual::simulate_your_own_machine) drives it as it is, beside the core: the
//! recovery of the stores (`recover`), the writer of the log (`log_writer`), the applier with its
//! restorations (`applier`, `replacing`), who waits for which snapshot (`snapshotting`), and who waits for
//! any other answer (`callers`). The event loop, the threads and the channels between them run in the
//! tests of the node alone.
//!
//! # The end
//!
//! [`Node::shutdown`], the drop of the last handle, a [fault](StopReason::Fault), or a failure of a
//! store or the state machine ends a node. In the first two cases a leader hands over before.
//! Everybody who waits is answered first, with the reason; then the threads are joined and the
//! stores closed; then [`Node::stopped`] resolves. Dropping the handles does the same in the
//! background.
//!
//! [`Effect::Accepted`]: crate::consensus::Effect::Accepted
//! [`Effect::Send`]: crate::consensus::Effect::Send
//! [`Effect::Persist`]: crate::consensus::Effect::Persist

pub(crate) mod administration;
pub(crate) mod applier;
mod assembly;
mod backup;
mod builder;
pub(crate) mod callers;
mod checking;
mod clock;
mod completion;
mod crew;
mod entropy;
mod error;
mod event_loop;
mod events;
mod execute;
mod forwarding;
mod hand;
pub(crate) mod initial_state;
mod inputs;
mod launch;
mod log_reader;
pub(crate) mod log_writer;
mod peers;
mod pieces;
mod propose;
pub(crate) mod recover;
pub(crate) mod replacing;
mod request;
mod restoring;
mod snapshots;
pub(crate) mod snapshotting;
mod status;
pub(crate) mod waiting;

pub use backup::{BackupMeta, ForeignBackup};
pub use builder::NodeBuilder;
pub use error::{
    ChangeMembershipError, Outcome, ProposeError, ReadError, RestoreError, SnapshotError,
    StartError, StopReason, TransferLeadershipError,
};
pub use events::{EventStream, NodeEvent};
pub use propose::ProposeOptions;
pub use restoring::Restored;
pub use status::{Counters, ReadMode, Status};
pub use waiting::Applied;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::clock::Clock;
use self::request::{ProposalGate, Request};
use crate::change::MembershipChange;
use crate::consensus::{Standing, To};
use crate::hard_state::Identity;
use crate::id::{LogId, LogIndex, NodeId};
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{RestoreCheck, StateMachine};
use crate::store::{SnapshotStore, Stores};
use crate::transport::Transport;

/// A handle to a running node. Clone it freely: the node runs until [`Node::shutdown`], or until
/// the last handle is dropped.
///
/// Every method may be called on any thread and any executor. Every future resolves: with a result,
/// with an error that says what is known, or with the reason why the node stopped (RULE 6).
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

/// What the handles share.
struct Shared {
    identity: Identity,
    address: Option<String>,
    clock: Clock,
    entry_bytes_max: usize,
    /// Of a backup, an entry takes so many bytes.
    piece_bytes: usize,
    /// How a backup is checked that is to be restored.
    restore_check: Option<RestoreCheck>,
    /// A backup is being restored from here.
    restores: AtomicBool,
    snapshots: Arc<dyn SnapshotStore>,
    gate: Arc<ProposalGate>,
    requests: mpsc::UnboundedSender<Request>,
    standing: watch::Receiver<Standing>,
    events: broadcast::Sender<NodeEvent>,
    stopped: watch::Receiver<Option<StopReason>>,
}

impl Node {
    /// Begins to build a node from what has no good default.
    pub fn builder(
        id: impl Into<NodeId>,
        stores: Stores,
        transport: impl Transport,
        machine: impl StateMachine,
    ) -> NodeBuilder {
        NodeBuilder::new(id.into(), stores, Arc::new(transport), Box::new(machine))
    }

    /// As [`Node::builder`], for parts that were chosen at run time.
    pub fn builder_boxed(
        id: impl Into<NodeId>,
        stores: Stores,
        transport: Box<dyn Transport>,
        machine: Box<dyn StateMachine>,
    ) -> NodeBuilder {
        NodeBuilder::new(id.into(), stores, Arc::from(transport), machine)
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.shared.identity.node
    }

    /// Cluster, group, node, incarnation and recovery epoch.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// Where the transport listens, if anywhere: with the port that the system chose.
    pub fn local_address(&self) -> Option<&str> {
        self.shared.address.as_deref()
    }

    /// Waits until this node's state machine may be read with the freshness of `mode`, and returns
    /// the index through which it has applied. Works on every member.
    ///
    /// # Errors
    /// [`ReadError`]; nothing was changed, so the read may be tried again.
    pub async fn read_barrier(&self, mode: ReadMode) -> Result<LogIndex, ReadError> {
        if matches!(mode, ReadMode::Bounded { lag } if lag.is_zero()) {
            return Err(ReadError::ZeroLag);
        }
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Read(mode, reply), answer)
            .await
            .unwrap_or_else(|reason| Err(ReadError::Stopped(reason)))
    }

    /// One consistent view of the node.
    ///
    /// # Errors
    /// The reason, if the node has stopped.
    pub async fn status(&self) -> Result<Status, StopReason> {
        let (reply, answer) = oneshot::channel();
        let status = self.ask(Request::Status(reply), answer).await?;
        Ok(*status)
    }

    /// Role, term and known leader, as a value that changes. Cheap to look at: the event loop is
    /// not asked.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.shared.standing.clone()
    }

    /// What happens in the node from now on.
    pub fn events(&self) -> EventStream {
        let events = self.shared.events.subscribe();
        EventStream::new(events, self.shared.stopped.clone())
    }

    /// Takes a snapshot of everything that is applied now, and returns once it is durable. If there
    /// is one that contains all of it, that one is returned.
    ///
    /// # Errors
    /// [`SnapshotError`]; the node goes on unless it says otherwise.
    pub async fn snapshot(&self) -> Result<SnapshotMeta, SnapshotError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Snapshot(reply), answer)
            .await
            .unwrap_or_else(|reason| Err(SnapshotError::Stopped(reason)))
    }

    /// Makes the group what `change` says, and returns the entry of the membership that it ends
    /// with, once that is committed. Only the leader does this; whoever leads after it goes on.
    ///
    /// New voters are learners until they have caught up, so a voter that cannot be reached keeps
    /// the change waiting: give up with [`MembershipChange::abort`].
    ///
    /// # Errors
    /// [`ChangeMembershipError`] says whether anything was begun.
    pub async fn change_membership(
        &self,
        change: MembershipChange,
    ) -> Result<LogId, ChangeMembershipError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Change(change, reply), answer)
            .await
            .unwrap_or_else(|reason| Err(ChangeMembershipError::Stopped(reason)))
    }

    /// Hands leadership over, and returns the new leader once it leads (thesis §3.10). Proposals
    /// are refused meanwhile, and taken again if it fails; it takes an election timeout at most.
    ///
    /// # Errors
    /// [`TransferLeadershipError`] says why the target does not lead.
    pub async fn transfer_leadership(&self, to: To) -> Result<NodeId, TransferLeadershipError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Transfer(to, reply), answer)
            .await
            .unwrap_or_else(|reason| Err(TransferLeadershipError::Stopped(reason)))
    }

    /// Asks for an election now, as if no leader had been heard. For operators and tests; a node
    /// that leads, or does not vote, ignores it.
    pub fn campaign(&self) {
        // A node that has stopped does not campaign.
        let _ = self.shared.requests.send(Request::Campaign);
    }

    /// Stops the node, and returns when its threads have ended and its stores are closed. A leader
    /// hands over first, so that the others need no election; that takes an election timeout at
    /// most, whoever can be reached. Other handles see [`StopReason::Shutdown`]. Stopping twice is
    /// fine.
    ///
    /// # Errors
    /// The reason, if the node had stopped, or stopped meanwhile, for another one.
    pub async fn shutdown(&self) -> Result<(), StopReason> {
        // If it cannot be asked any more, it has stopped or is about to.
        let _ = self.shared.requests.send(Request::Shutdown);
        match self.stopped().await {
            StopReason::Shutdown => Ok(()),
            reason => Err(reason),
        }
    }

    /// Resolves when the node has stopped, with the reason.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.shared.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::RuntimeGone),
            Err(_) => StopReason::RuntimeGone,
        }
    }

    fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks the event loop, and waits for its answer or its end.
    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, StopReason> {
        // If it cannot be sent, its slot is dropped, and the answer says so.
        let _ = self.shared.requests.send(request);
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.stopped().await),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("standing", &*self.shared.standing.borrow())
            .finish_non_exhaustive()
    }
}
