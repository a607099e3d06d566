//! Snapshots that the core or callers ask a node for. Which one is taken, and who waits for it, the
//! node's own bookkeeping decides ([`crate::node::snapshotting`]).

use super::calls::Lines;
use super::check::{Asked, Broken, Held, broken};
use super::cluster::Cluster;
use super::driver::SimNode;
use crate::consensus::Event;
use crate::id::{LogIndex, NodeId};
use crate::node::StopReason;
use crate::node::applier::{Applier, Job};
use crate::node::snapshotting::{SnapshotResult, Snapshotting};
use crate::snapshot::SnapshotMeta;

/// Of one life of a node.
#[derive(Debug, Default)]
pub(super) struct SnapshotRequests {
    own: Snapshotting,
    callers: Lines<Caller, SnapshotResult>,
}

/// Somebody waits for a snapshot.
#[derive(Clone, Copy, Debug)]
struct Caller {
    call: u64,
    /// What was applied when it was asked for.
    applied: LogIndex,
}

impl SnapshotRequests {
    /// `newest` is what the store lists.
    pub(super) fn new(newest: Option<SnapshotMeta>) -> Self {
        Self {
            own: Snapshotting::new(newest),
            callers: Lines::default(),
        }
    }

    pub(super) fn is_in_progress(&self) -> bool {
        self.own.is_in_progress()
    }

    /// A snapshot was received.
    pub(super) fn stored(&mut self, meta: &SnapshotMeta) {
        self.own.stored(meta);
    }
}

impl Cluster {
    /// Each millisecond, somebody may want a snapshot.
    pub(super) fn draw_requests(&mut self, ids: &[NodeId]) -> Held {
        if !self.asks.happens(self.plan.snapshot_requests) {
            return Ok(());
        }
        match self.asks.pick(ids).copied().filter(|id| self.is_up(*id)) {
            Some(node) => self.ask_for_snapshot(node),
            None => Ok(()),
        }
    }

    pub(super) fn core_asks_for_snapshot(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).filter(|node| node.raft.is_some());
        let Some(node) = node else {
            return;
        };
        if node.snapshotting.own.core_asks() {
            self.give_to_machine(id, vec![Job::TakeSnapshot]);
        }
    }

    /// Somebody wants a snapshot of all that this node has applied.
    pub(super) fn ask_for_snapshot(&mut self, id: NodeId) -> Held {
        let call = self.asks.number();
        let is_up = |node: &&mut SimNode| node.raft.is_some();
        let Some(node) = self.nodes.get_mut(&id).filter(is_up) else {
            return Ok(());
        };
        let applied = node.machine.applied();
        let reply = node.snapshotting.callers.open(Caller { call, applied });
        let begins = node.snapshotting.own.caller_asks(applied, reply);
        self.count("snapshots asked for");
        self.futures.ask(id, Asked::Snapshot(call), self.now);
        if begins {
            self.give_to_machine(id, vec![Job::TakeSnapshot]);
        }
        self.hear_of_snapshots(id)
    }

    /// A snapshot under way comes to an end, unless a restoration holds it up: without it, the log would
    /// grow and grow.
    pub(super) fn follow_snapshot(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id).filter(|node| node.raft.is_some()) else {
            return;
        };
        let is_held_up = node
            .applier
            .as_ref()
            .is_some_and(Applier::holds_snapshots_up);
        if is_held_up || !node.snapshotting.is_in_progress() {
            self.futures.answer(id, Asked::SnapshotEnd);
        } else {
            self.futures.ask(id, Asked::SnapshotEnd, self.now);
        }
    }

    /// The one under way waits for the end of a restoration. Callers are told, and do not.
    pub(super) fn snapshot_delayed(&mut self, id: NodeId) -> Held {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.snapshotting.own.delayed();
        }
        self.hear_of_snapshots(id)
    }

    /// A snapshot is stored, or could not be taken.
    pub(super) fn snapshot_ended(
        &mut self,
        id: NodeId,
        result: SnapshotResult,
    ) -> Result<(), Broken> {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let ended = node.snapshotting.own.ended(&result);
        self.futures.answer(id, Asked::SnapshotEnd);
        self.follow_snapshot(id);
        self.hear_of_snapshots(id)?;
        if ended.again {
            self.give_to_machine(id, vec![Job::TakeSnapshot]);
        }
        match result {
            Ok(meta) => {
                self.heal_after_snapshot(id);
                self.step(id, Event::SnapshotTaken(meta))
            }
            Err(_) if ended.for_core => self.step(id, Event::SnapshotNotTaken),
            Err(_) => Ok(()),
        }
    }

    /// The node stops: everybody who waits for a snapshot is told.
    pub(super) fn fail_snapshots(&mut self, id: NodeId, reason: &StopReason) -> Held {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.snapshotting.own.fail_all(reason);
        }
        self.hear_of_snapshots(id)
    }

    fn hear_of_snapshots(&mut self, id: NodeId) -> Held {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        for (Caller { call, applied }, answer) in node.snapshotting.callers.heard() {
            self.end_call(id, Asked::Snapshot(call), answer.is_some())?;
            let taken = answer.and_then(Result::ok);
            holds_what_was_asked_for(id, taken.as_ref(), applied)?;
        }
        Ok(())
    }
}

fn holds_what_was_asked_for(node: NodeId, taken: Option<&SnapshotMeta>, applied: LogIndex) -> Held {
    match taken {
        Some(meta) if meta.id().index < applied => broken(
            "a snapshot holds what was applied when it was asked for",
            format!("node {node} had applied {applied}, and answers with {meta}"),
        ),
        Some(_) | None => Ok(()),
    }
}
