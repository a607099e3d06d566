//! What happens in a node, as a stream that anybody may watch.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::error::StopReason;
use crate::consensus::{Nonsense, Standing};
use crate::id::{Incarnation, LogId, NodeId};
use crate::membership::Membership;
use crate::snapshot::SnapshotMeta;

/// Something happened that people and programs may want to know of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeEvent {
    /// Role, term or known leader changed.
    StandingChanged(Standing),
    /// Another membership is in force.
    MembershipChanged {
        /// The entry that holds it.
        at: LogId,
        /// The membership.
        membership: Arc<Membership>,
    },
    /// This node was started with empty stores under the name of a member, and the group knows
    /// another life of it. It abstains from elections and counts for nothing until it is removed
    /// from the group and added again.
    Displaced {
        /// The life that has the vote.
        by: Incarnation,
    },
    /// This node's stores were damaged and have begun anew. It has heard a leader, from which it gets
    /// what it lost; it abstains from elections, and becomes a voter again without an operator.
    /// [`crate::consensus::RaftStatus::repairing`] says so from the start.
    Repairing {
        /// What was found damaged.
        reason: String,
    },
    /// The repair is over: what was lost is here again, and the group counts this node as before.
    Repaired,
    /// A snapshot of this node's state machine is durable.
    SnapshotTaken(SnapshotMeta),
    /// A [restored](crate::node::Node::restore) backup has become the state, with this entry.
    BackupRestored {
        /// The entry with which the restoration ended.
        at: LogId,
    },
    /// A snapshot could not be taken. Nothing is lost; it will be tried again.
    SnapshotFailed {
        /// Why.
        detail: String,
    },
    /// A leader's snapshot arrived and is durable.
    SnapshotReceived {
        /// The leader.
        from: NodeId,
        /// What arrived.
        meta: SnapshotMeta,
    },
    /// A snapshot was sent, and is durable at its receiver.
    SnapshotSent {
        /// The receiver.
        to: NodeId,
        /// The snapshot's last entry.
        last: LogId,
    },
    /// A snapshot could not be sent. It will be tried again.
    SnapshotNotSent {
        /// The receiver.
        to: NodeId,
        /// Why.
        detail: String,
    },
    /// The newest snapshot, which a follower needs, is damaged or gone. This node takes another, and
    /// hands leadership over to a voter that may have one.
    SnapshotUnreadable {
        /// The follower.
        to: NodeId,
        /// Which file, and what is wrong with it.
        detail: String,
    },
    /// A peer's connection broke or cannot be made.
    PeerUnreachable(NodeId),
    /// A peer sent something that makes no sense; it was ignored.
    NonsenseDropped(Nonsense),
    /// The node has stopped. The last event.
    Stopped(StopReason),
}

/// The events of one node from the moment of [`super::Node::events`] on.
///
/// The stream is bounded and never holds up the node: a reader that is slow misses the oldest
/// events, and [`EventStream::missed`] counts them.
#[derive(Debug)]
pub struct EventStream {
    events: broadcast::Receiver<NodeEvent>,
    stopped: watch::Receiver<Option<StopReason>>,
    missed: u64,
}

/// Events that a slow reader may lag behind.
pub(super) const EVENTS_MAX: usize = 1_024;

impl EventStream {
    pub(super) fn new(
        events: broadcast::Receiver<NodeEvent>,
        stopped: watch::Receiver<Option<StopReason>>,
    ) -> Self {
        Self {
            events,
            stopped,
            missed: 0,
        }
    }

    /// Waits for the next event; `None` after the node has stopped and all were read.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        loop {
            let received = tokio::select! {
                biased;
                received = self.events.recv() => Some(received),
                _ = self.stopped.wait_for(Option::is_some) => None,
            };
            match received {
                Some(Ok(event)) => return Some(event),
                Some(Err(broadcast::error::RecvError::Lagged(count))) => self.missed += count,
                Some(Err(broadcast::error::RecvError::Closed)) => return None,
                None => return self.left_over(),
            }
        }
    }

    /// How many events this reader was too slow for.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn left_over(&mut self) -> Option<NodeEvent> {
        loop {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(count)) => self.missed += count,
                Err(_) => return None,
            }
        }
    }
}
