//! Which snapshot a node is taking, and who waits for it: the rules of the node's own shell.
//!
//! One is taken at a time, for the core or for callers. Who asks meanwhile waits for the next one, for
//! the one under way need not contain what was applied when it was asked for.

use super::check::{Asked, Broken, Held, broken};
use super::cluster::{Cluster, Own};
use crate::consensus::Event;
use crate::id::{LogIndex, NodeId};
use crate::snapshot::SnapshotMeta;

/// Of one life of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshotting {
    in_progress: bool,
    /// It waits for the end of a restoration.
    is_delayed: bool,
    /// The core waits to hear of it.
    for_core: bool,
    /// Each with what was applied when it was asked for.
    waiting: Vec<(u64, LogIndex)>,
    waiting_for_next: Vec<(u64, LogIndex)>,
}

impl Snapshotting {
    pub(super) fn is_in_progress(&self) -> bool {
        self.in_progress
    }

    /// Whether another must be begun.
    fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.in_progress, true)
    }

    /// Whether the one that is under way, if any, has to be begun for this request.
    fn ask(&mut self, request: u64, applied: LogIndex) -> bool {
        if self.in_progress {
            self.waiting_for_next.push((request, applied));
            return false;
        }
        self.waiting.push((request, applied));
        self.begin()
    }

    /// It has ended: whoever waited for it, and whether the core did, and whether another follows.
    fn end(&mut self) -> (Vec<(u64, LogIndex)>, bool, bool) {
        let next = std::mem::take(&mut self.waiting_for_next);
        let waited = std::mem::replace(&mut self.waiting, next);
        self.in_progress = !self.waiting.is_empty();
        self.is_delayed = false;
        let for_core = std::mem::take(&mut self.for_core);
        (waited, for_core, self.in_progress)
    }
}

impl Cluster {
    pub(super) fn core_asks_for_snapshot(&mut self, id: NodeId) {
        let begins = self.nodes.get_mut(&id).is_some_and(|node| {
            node.snapshotting.for_core = true;
            node.snapshotting.begin()
        });
        if begins {
            self.schedule_machine(id, Own::TakeSnapshot);
        }
    }

    /// Somebody wants a snapshot of all that this node has applied.
    pub(super) fn ask_for_snapshot(&mut self, id: NodeId) {
        let request = self.asks.number();
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.raft.is_some()) else {
            return;
        };
        let applied = node.machine.applied();
        let newest = node.disk.newest_snapshot();
        if newest.is_some_and(|(meta, _)| meta.id().index >= applied) {
            return; // It is there already.
        }
        if node.snapshotting.is_delayed {
            return; // That is said at once.
        }
        let begins = node.snapshotting.ask(request, applied);
        self.count("snapshots asked for");
        self.futures.ask(id, Asked::Snapshot(request), self.now);
        if begins {
            self.schedule_machine(id, Own::TakeSnapshot);
        }
    }

    /// The one under way waits for the end of a restoration. Callers are told, and do not.
    pub(super) fn snapshot_delayed(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let snapshotting = &mut node.snapshotting;
        snapshotting.is_delayed = true;
        let next = snapshotting.waiting_for_next.drain(..);
        for (request, _) in snapshotting.waiting.drain(..).chain(next) {
            self.futures.answer(id, Asked::Snapshot(request));
        }
    }

    /// A snapshot is stored, or could not be taken.
    pub(super) fn snapshot_ended(
        &mut self,
        id: NodeId,
        taken: Option<SnapshotMeta>,
    ) -> Result<(), Broken> {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let (waited, for_core, again) = node.snapshotting.end();
        for (request, applied) in waited {
            self.futures.answer(id, Asked::Snapshot(request));
            holds_what_was_asked_for(id, taken.as_ref(), applied)?;
        }
        if again {
            self.schedule_machine(id, Own::TakeSnapshot);
        }
        match taken {
            Some(meta) => {
                self.heal_after_snapshot(id);
                self.step(id, Event::SnapshotTaken(meta))
            }
            None if for_core => self.step(id, Event::SnapshotNotTaken),
            None => Ok(()),
        }
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
