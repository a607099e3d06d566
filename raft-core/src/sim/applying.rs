//! What happens at a node's state machine, one thing after the other: the node's own applier does it
//! ([`crate::node::applier`]), and what it did is judged.

use super::check::{Broken, Held};
use super::cluster::{Cluster, Happening, Own};
use super::damage::Damaged;
use super::driver::SimNode;
use super::machine::Machine;
use super::situation::Situation;
use crate::consensus::Event;
use crate::entry::Entry;
use crate::id::{LogId, NodeId};
use crate::node::applier::{Applier, Frozen, Job, Progress};
use crate::node::{SnapshotError, StopReason};

impl Cluster {
    /// The state machine does one thing after the other.
    pub(super) fn give_to_machine(&mut self, id: NodeId, jobs: Vec<Job>) {
        let restores = jobs.iter().any(|job| matches!(job, Job::Restore(_)));
        let is_slow = self.plan.adversary.slow_restore && restores;
        let after = self.latency() + self.held_up(is_slow);
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.raft.is_some()) else {
            return;
        };
        node.jobs.push_back(jobs);
        node.busy_until = node.busy_until.max(self.now) + after;
        let (at, life) = (node.busy_until, node.life);
        self.schedule_at(at, Happening::Own(id, life, Own::Work));
    }

    /// It has got to the next part of what it is to do. In some lives it takes all that waits, as a
    /// thread does that was busy.
    pub(super) fn work(&mut self, id: NodeId) -> Held {
        // A user's machine is looked at after each.
        let takes_all = self.subject.is_none() && matches!(self.plan.seed % 19, 0 | 3 | 13 | 15);
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let parts = if takes_all { node.jobs.len() } else { 1 };
        let parts = node.jobs.drain(..parts.min(node.jobs.len()));
        let jobs: Vec<Job> = parts.flatten().collect();
        if jobs.is_empty() {
            return Ok(()); // It was done together with what came before.
        }
        let applier = node.applier.as_ref();
        let is_within = applier.is_some_and(Applier::is_within_restoration);
        let todo = Todo::of(&jobs);
        if is_within && todo.restored.is_some() {
            self.meet(Situation::RestorationLeftToSnapshot);
        }
        let Some(progress) = self.perform(id, jobs)? else {
            return Ok(());
        };
        self.judge_work(id, &todo, &progress)?;
        self.progressed(id, progress)
    }

    fn judge_work(&mut self, id: NodeId, todo: &Todo, progress: &Progress) -> Held {
        let through = progress.through.map(|through| through.index);
        let is_applied = |entry: &&Entry| Some(entry.index()) <= through;
        let applied = todo.entries.iter().take_while(is_applied).count();
        let (applied, _) = todo.entries.split_at(applied);
        match (&mut self.subject, todo.restored) {
            (Some(subject), Some(from)) => subject.restored(id, Some(from)),
            (Some(subject), None) => subject.applied(id, applied, &progress.responses)?,
            (None, _) => self.judge_commands(id)?,
        }
        for replaced in &progress.replaced {
            self.judge_replaced(id, &replaced.meta, applied)?;
        }
        Ok(())
    }

    /// The applier works. `None` if it cannot go on, for a good reason.
    fn perform(&mut self, id: NodeId, jobs: Vec<Job>) -> Result<Option<Progress>, Broken> {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(None);
        };
        let Some(mut applier) = node.applier.take() else {
            return Ok(None);
        };
        let done = node.lent.during(&mut node.disk, || applier.perform(jobs));
        node.look_at_machine(&applier, self.subject.is_some());
        let told = node.replica.membership();
        let in_force = applier.position.membership.as_ref().map(|(at, _)| *at);
        node.applier = Some(applier);
        match done {
            Ok(_) if self.subject.is_none() && told != in_force => {
                let detail = format!("node {id} told it of {told:?}, and {in_force:?} is in force");
                Err(Broken {
                    property: "the machine knows the membership in force",
                    detail,
                })
            }
            Ok(progress) => Ok(Some(progress)),
            Err(StopReason::Store(error)) if error.is_damage() && node.disk.is_damaged() => {
                self.stop_for_damage(id, &Damaged(error.to_string()))?;
                Ok(None)
            }
            Err(reason) => Err(cannot_go_on(id, &reason)),
        }
    }

    /// What the state machine has done, as the event loop takes it in.
    fn progressed(&mut self, id: NodeId, mut progress: Progress) -> Held {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let life = node.life;
        node.calls.own.progressed(&mut progress);
        if let Some(through) = progress.through {
            self.checks.applied_through(id, &node.machine)?;
            if self.subject.is_none() {
                self.checks.state_is(id, through.index, node.machine.hash)?;
            }
            self.step(id, Event::Applied(through.index))?;
        }
        if let Some(node) = self.nodes.get_mut(&id).filter(|_| progress.restored > 0) {
            node.restores = node.restores.saturating_sub(progress.restored);
            node.retain_snapshots();
        }
        if progress.is_delayed {
            self.meet(Situation::SnapshotDelayed);
            self.snapshot_delayed(id)?;
        }
        for replaced in progress.replaced {
            self.state_replaced(id, life, replaced)?;
        }
        for frozen in progress.frozen {
            self.frozen(id, life, frozen)?;
        }
        self.follow_snapshot(id);
        Ok(())
    }

    /// A view is to be written out, or there is nothing to take a snapshot of.
    fn frozen(&mut self, id: NodeId, life: u64, frozen: Option<Frozen>) -> Held {
        if !self.lives(id, life) {
            return Ok(());
        }
        let Some((header, view)) = frozen else {
            return self.snapshot_ended(id, Err(SnapshotError::NothingApplied));
        };
        self.count("snapshots taken");
        let mut bytes = Vec::new();
        view.write(&mut bytes).map_err(|error| Broken {
            property: "the machine goes on",
            detail: format!("node {id}: its snapshot cannot be written: {error}"),
        })?;
        let snapshot = Box::new(Machine::saved(header, bytes.into()));
        let after = 4 * self.latency();
        self.schedule(
            after,
            Happening::Own(id, life, Own::SnapshotWritten(snapshot)),
        );
        Ok(())
    }

    /// Judges what the simulator's own machine has executed.
    fn judge_commands(&mut self, id: NodeId) -> Held {
        let node = self.nodes.get(&id);
        let executed = node.map(|node| node.replica.take_executed());
        for one in executed.into_iter().flatten() {
            self.checks.state_is(id, one.index, one.hash)?;
            self.checks.applied(one.value, one.index)?;
        }
        Ok(())
    }
}

/// What is to be judged once it is done.
struct Todo {
    entries: Vec<Entry>,
    /// From which snapshot.
    restored: Option<LogId>,
}

impl Todo {
    fn of(jobs: &[Job]) -> Self {
        let mut todo = Self {
            entries: Vec::new(),
            restored: None,
        };
        for job in jobs {
            match job {
                Job::Apply(entries) => todo.entries.extend_from_slice(entries),
                Job::End(entry) => todo.entries.push(entry.clone()),
                Job::Restore(meta) => todo.restored = Some(meta.id()),
                Job::TakeSnapshot => {}
            }
        }
        todo
    }
}

impl SimNode {
    /// Remembers where the machine is, and what it holds if it is the simulator's own.
    pub(super) fn look_at_machine(&mut self, applier: &Applier, is_a_users: bool) {
        match is_a_users {
            true => self.machine.move_to(&applier.position),
            false => self.machine = self.replica.at(&applier.position),
        }
    }
}

fn cannot_go_on(id: NodeId, reason: &StopReason) -> Broken {
    let property = match reason {
        StopReason::Fault(_) => "no fault among correct disks",
        StopReason::Store(_) => "what was stored can be read",
        _ => "the machine goes on",
    };
    Broken {
        property,
        detail: format!("node {id}: {reason}"),
    }
}
