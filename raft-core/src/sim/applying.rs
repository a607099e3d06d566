//! What happens at a node's state machine, one thing after the other.

use super::check::{Asked, Broken, broken};
use super::client::End;
use super::cluster::{Cluster, Happening, Own};
use super::driver::SimNode;
use super::machine::Machine;
use super::situation::Situation;
use crate::consensus::{Event, Gathered, Gathering, Refusal};
use crate::entry::Entry;
use crate::id::{LogIndex, NodeId};
use crate::message::ReadId;
use crate::snapshot::SnapshotMeta;

impl Cluster {
    /// The state machine does one thing after the other.
    pub(super) fn schedule_machine(&mut self, id: NodeId, own: Own) {
        let is_slow = self.plan.adversary.slow_restore && matches!(own, Own::Restore(_));
        let after = self.latency() + self.held_up(is_slow);
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.busy_until = node.busy_until.max(self.now) + after;
        let (at, life) = (node.busy_until, node.life);
        self.schedule_at(at, Happening::Own(id, life, own));
    }

    pub(super) fn apply(&mut self, id: NodeId, entries: &[Entry]) -> Result<(), Broken> {
        let (mut answered, mut replaced) = (Vec::new(), Vec::new());
        let mut taken = 0;
        for entry in entries {
            if !self.apply_one(id, entry, &mut replaced)? {
                break;
            }
            let Some(node) = self.nodes.get_mut(&id) else {
                return Ok(());
            };
            self.checks.state_is(id, entry.index(), node.machine.hash)?;
            if let Some((term, client)) = node.writes.remove(&entry.index()) {
                answered.push((client, entry.id(), term == entry.term()));
            }
            self.take_delayed_snapshot(id)?;
            taken += 1;
        }
        let (entries, _) = entries.split_at(taken);
        let Some(node) = self.nodes.get(&id).filter(|_| taken > 0) else {
            return Ok(()); // It has stopped, or waits for a snapshot that has overtaken it.
        };
        let applied = node.machine.applied();
        for entry in entries {
            self.futures.applied(id, entry.index());
            self.answer_forwarded(id, entry)?;
        }
        let responses = match &mut self.subject {
            Some(subject) => subject.apply(id, entries)?,
            None => Vec::new(),
        };
        let mut responses = responses.into_iter();
        for (client, entry, is_own) in answered {
            let response = responses.find(|(id, _)| *id == entry);
            let response = response.map(|(_, response)| response);
            self.write_applied(client, entry, is_own, response.as_ref())?;
        }
        self.step(id, Event::Applied(applied))?;
        self.keep_replaced(id, replaced)
    }

    /// Whether the machine has taken the entry.
    fn apply_one(
        &mut self,
        id: NodeId,
        entry: &Entry,
        replaced: &mut Vec<Machine>,
    ) -> Result<bool, Broken> {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.is_overtaken) else {
            return Ok(false);
        };
        let Gathered::Whole(backup) = node.gathering.take(entry) else {
            node.machine.apply(entry);
            return Ok(true);
        };
        let is_replaced = self.replace_state(id, entry, &backup)?;
        let node = self.nodes.get(&id).filter(|_| is_replaced);
        replaced.extend(node.map(|node| node.machine.clone()));
        Ok(is_replaced)
    }

    pub(super) fn restore(&mut self, id: NodeId, meta: &SnapshotMeta) -> Result<(), Broken> {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let stored = match node.disk.snapshot(meta.id()) {
            Ok(stored) => stored,
            Err(damaged) => {
                self.stop_for_damage(id, &damaged);
                return Ok(());
            }
        };
        let Some(machine) = stored else {
            let detail = format!("node {id} is to restore {meta}, which is gone");
            return broken("a snapshot is kept until it is restored", detail);
        };
        let is_open = node.gathering.is_open();
        node.machine = machine;
        node.gathering = Gathering::default();
        node.is_overtaken = false;
        node.restores -= 1;
        node.retain_snapshots();
        if let Some(subject) = &mut self.subject {
            subject.start(id, &node.machine)?;
        }
        self.checks
            .state_is(id, node.machine.applied(), node.machine.hash)?;
        self.forget_placed(id, meta.id());
        if is_open {
            self.meet(Situation::RestorationLeftToSnapshot);
        }
        self.step(id, Event::Applied(meta.id().index))?;
        self.take_delayed_snapshot(id)
    }

    pub(super) fn take_snapshot(&mut self, id: NodeId) -> Result<(), Broken> {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.is_delayed = true;
            if node.gathering.is_open() || node.is_overtaken {
                self.meet(Situation::SnapshotDelayed);
                self.snapshot_delayed(id)?;
            }
        }
        self.take_delayed_snapshot(id)
    }

    /// Takes the snapshot that was asked for, unless it would end within a restoration.
    fn take_delayed_snapshot(&mut self, id: NodeId) -> Result<(), Broken> {
        let may = |node: &&mut SimNode| {
            node.is_delayed && !node.is_overtaken && !node.gathering.is_open()
        };
        let Some(node) = self.nodes.get_mut(&id).filter(may) else {
            return Ok(());
        };
        node.is_delayed = false;
        let life = node.life;
        self.count("snapshots taken");
        let Some(node) = self.nodes.get(&id) else {
            return Ok(());
        };
        let mut machine = node.machine.clone();
        let saved = match &mut self.subject {
            Some(subject) => subject.snapshot(id)?,
            None => machine.encode(),
        };
        machine.saved = Some(saved);
        let Some(meta) = machine.meta() else {
            return self.snapshot_ended(id, None); // Nothing was applied.
        };
        let written = Own::SnapshotWritten(Box::new((meta, machine)));
        let after = 4 * self.latency();
        self.schedule(after, Happening::Own(id, life, written));
        Ok(())
    }

    pub(super) fn reads_ready(
        &mut self,
        id: NodeId,
        reads: &[ReadId],
        index: LogIndex,
    ) -> Result<(), Broken> {
        for read in reads {
            self.futures.answer(id, Asked::Read(*read));
            if let Some(client) = self.clients.reader(id, *read) {
                let at = self
                    .nodes
                    .get(&id)
                    .map_or(index, |node| node.machine.applied());
                self.read_answered(id, client, at)?;
            }
        }
        Ok(())
    }

    pub(super) fn reads_failed(&mut self, id: NodeId, reads: &[ReadId], reason: &Refusal) {
        for read in reads {
            self.futures.answer(id, Asked::Read(*read));
            if let Some(client) = self.clients.reader(id, *read) {
                let operation = self.clients.waiting.get(&client);
                let is_awaited = operation.is_some_and(|operation| operation.awaits.is_some());
                if is_awaited && *reason == Refusal::TimedOut {
                    self.meet(Situation::AwaitedEntryMissed);
                }
                self.finish(client, End::ReadFailed);
            }
        }
    }
}
