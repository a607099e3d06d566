//! What happens at a node's state machine, one thing after the other.

use bytes::Bytes;

use super::check::{Broken, broken};
use super::cluster::{Cluster, Happening, Own};
use super::driver::SimNode;
use super::machine::{Command, Machine};
use super::situation::Situation;
use crate::consensus::{Event, Gathered, Gathering};
use crate::entry::{Entry, Payload};
use crate::id::{LogId, NodeId};
use crate::node::applier::Progress;
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
        let mut replaced = Vec::new();
        let mut taken = 0;
        for entry in entries {
            if !self.apply_one(id, entry, &mut replaced)? {
                break;
            }
            let Some(node) = self.nodes.get_mut(&id) else {
                return Ok(());
            };
            self.checks.state_is(id, entry.index(), node.machine.hash)?;
            self.take_delayed_snapshot(id)?;
            taken += 1;
        }
        let (entries, _) = entries.split_at(taken);
        let Some(node) = self.nodes.get(&id).filter(|_| taken > 0) else {
            return Ok(()); // It has stopped, or waits for a snapshot that has overtaken it.
        };
        let through = node.machine.last.id;
        let responses = match &mut self.subject {
            Some(subject) => subject.apply(id, entries)?,
            None => self.own_responses(entries)?,
        };
        let mut progress = Progress {
            through: Some(through),
            responses,
            ..Progress::default()
        };
        if let Some(node) = self.nodes.get_mut(&id) {
            node.calls.own.progressed(&mut progress);
        }
        self.step(id, Event::Applied(through.index))?;
        self.keep_replaced(id, replaced)
    }

    fn own_responses(&mut self, entries: &[Entry]) -> Result<Vec<(LogId, Bytes)>, Broken> {
        let mut responses = Vec::new();
        for entry in entries {
            match entry.payload() {
                Payload::Command(bytes) => {
                    let value = Command::decode(bytes).map(|command| command.value);
                    let value = value.unwrap_or_default();
                    self.checks.applied(value, entry.index())?;
                    let response = Bytes::copy_from_slice(&value.to_le_bytes());
                    responses.push((entry.id(), response));
                }
                Payload::Restoration { .. } => responses.push((entry.id(), Bytes::new())),
                Payload::Blank | Payload::Membership { .. } => {}
            }
        }
        Ok(responses)
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
                return self.stop_for_damage(id, &damaged);
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
        let mut progress = Progress {
            through: Some(meta.id()),
            restored: 1,
            ..Progress::default()
        };
        if let Some(node) = self.nodes.get_mut(&id) {
            node.calls.own.progressed(&mut progress);
        }
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
}
