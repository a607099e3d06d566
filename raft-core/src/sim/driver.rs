//! Drives one node's core as the real node would: executes effects, reports what came of them.

use std::collections::VecDeque;
use std::time::Duration;

use super::calls::Calls;
use super::check::{Broken, Checks, Held, broken};
use super::clock::Clock;
use super::cluster::{Cluster, Happening, Own};
use super::damage::Damaged;
use super::disk::{Disk, Image};
use super::hardware::Hardware;
use super::lent_disk::LentDisk;
use super::machine::Machine;
use super::own::Subject;
use super::parts::Parts;
use super::plan::Plan;
use super::replica::Replica;
use super::situation::Situation;
use super::snapshotting::SnapshotRequests;
use super::story::Mark;
use super::watch::{Moment, Watched};
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{Effect, Effects, Event, Nonsense, Raft, RoleName, Sequence, Setup, Write};
use crate::id::{LogIndex, NodeId};
use crate::membership::Membership;
use crate::message::{Body, Message};
use crate::node::applier::{Applier, Job};
use crate::node::log_writer::LogWriter;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::StateMachine;
use crate::time::Timestamp;
use crate::transport::Inbox;

/// One node: its core while it lives, and its disk, which outlives it.
#[derive(Debug)]
pub(super) struct SimNode {
    pub(super) raft: Option<Raft>,
    /// With which it is started, each time. It counts for empty stores alone.
    pub(super) initial_membership: Option<Membership>,
    pub(super) disk: Disk,
    /// The disks of earlier lives, which were damaged or lost.
    pub(super) former_disks: Vec<Image>,
    /// What its state machine holds, and where that is in the log.
    pub(super) machine: Machine,
    /// Writes the log, while the node lives.
    pub(super) writer: Option<LogWriter>,
    /// Feeds the state machine, while the node lives.
    pub(super) applier: Option<Applier>,
    /// The state machine, if it is the simulator's own.
    pub(super) replica: Replica,
    /// The disk, as the applier sees it.
    pub(super) lent: LentDisk,
    pub(super) life: u64,
    pub(super) paused_until: Timestamp,
    /// What happened to it during the pause.
    pub(super) held: Vec<Happening>,
    /// Who waits for an answer.
    pub(super) calls: Calls,
    /// Snapshots that the machine is still to be restored from.
    pub(super) restores: usize,
    /// What the checkers remember of this life.
    pub(super) watched: Watched,
    pub(super) clock: Clock,
    pub(super) hardware: Hardware,
    woken_at: Option<Timestamp>,
    /// What the state machine is to do, in order: each part at a time of its own.
    pub(super) jobs: VecDeque<Vec<Job>>,
    /// The state machine is busy until then.
    pub(super) busy_until: Timestamp,
    /// What local reads have shown in this life.
    pub(super) shown: LogIndex,
    /// Which snapshot is being taken, and who waits for it.
    pub(super) snapshotting: SnapshotRequests,
    /// Where received snapshots come in. Parts of them outlive the node's lives, like its disk.
    pub(super) inbox: Inbox,
    pub(super) parts: Parts,
    /// Who has sent the last of them.
    pub(super) sender: Option<NodeId>,
}

impl SimNode {
    /// A new node; a founder has an initial membership.
    pub(super) fn new(id: NodeId, plan: &Plan, initial_membership: Option<Membership>) -> Self {
        let mut chance = super::chance::Chance::new(plan.seed, 1_000 + id.get());
        let drift = i64::try_from(chance.below(2 * plan.drift + 1)).unwrap_or(0)
            - i64::try_from(plan.drift).unwrap_or(0);
        let parts = Parts::default();
        Self {
            raft: None,
            initial_membership,
            disk: Disk::default(),
            former_disks: Vec::new(),
            machine: Machine::default(),
            writer: None,
            applier: None,
            replica: Replica::default(),
            lent: LentDisk::default(),
            life: 0,
            paused_until: Timestamp::ZERO,
            held: Vec::new(),
            calls: Calls::new(&plan.config, LogIndex::ZERO),
            restores: 0,
            watched: Watched::default(),
            clock: Clock::new(chance.below(1 << 40), drift),
            hardware: Hardware::default(),
            woken_at: None,
            jobs: VecDeque::new(),
            busy_until: Timestamp::ZERO,
            shown: LogIndex::ZERO,
            snapshotting: SnapshotRequests::default(),
            inbox: parts.inbox(),
            parts,
            sender: None,
        }
    }
}

impl SimNode {
    /// What its own clock shows `now`.
    pub(super) fn local(&self, now: Timestamp) -> Timestamp {
        self.clock.local(now)
    }

    /// What a sync was to make durable is: through which write.
    fn write_synced(&mut self, id: NodeId) -> Result<Option<Sequence>, Broken> {
        let batch = self.disk.take_synced();
        let Some(writer) = self.writer.as_mut().filter(|_| !batch.is_empty()) else {
            return Ok(None);
        };
        let written = self.lent.during(&mut self.disk, || writer.perform(&batch));
        let written = written.map_err(|error| Broken {
            property: "what is to be durable can be written",
            detail: format!("node {id}: {error}"),
        })?;
        self.disk.stamp();
        Ok(Some(written.through))
    }

    /// Removes old snapshots, but not while one of them may still have to be restored.
    pub(super) fn retain_snapshots(&mut self) {
        if self.restores == 0 {
            self.disk.retain_snapshots();
        }
    }
}

impl Cluster {
    pub(super) fn start(&mut self, id: NodeId) -> Result<(), Broken> {
        let (config, now) = (self.plan.config.clone(), self.now);
        let seed = self.chance.number();
        if !self.look_at_disk(id) {
            return Ok(());
        }
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let machine = new_machine(id, node, self.subject.as_mut())?;
        let identity = node.identity(id);
        let initial_membership = node.initial_membership.clone();
        let started = node.lent.start(
            &mut node.disk,
            (identity, initial_membership),
            &config,
            machine,
        );
        let started = match started {
            Ok(started) => started,
            Err(error) if error.is_damage() && node.disk.is_damaged() => {
                return self.on_damage_at_start(id, &Damaged(error.to_string()));
            }
            Err(error) => {
                let detail = format!("node {id} cannot start: {error}");
                return broken("recovery", detail);
            }
        };
        node.life += 1;
        node.jobs.clear();
        node.busy_until = now;
        node.restores = 0;
        node.shown = LogIndex::ZERO;
        let restored = started.base.as_ref().map(SnapshotMeta::id);
        node.snapshotting = SnapshotRequests::new(started.base);
        node.calls = Calls::new(&config, started.applied);
        node.woken_at = None;
        let setup = Setup {
            id,
            incarnation: identity.incarnation,
            group: identity.group,
            config: config.clone(),
            seed,
        };
        let local = node.clock.local(now);
        node.watched = Watched {
            fed: started.applied,
            silent_until: config.lease_reads.then(|| local + config.election_timeout),
            ..Watched::default()
        };
        node.raft = Some(Raft::new(setup, started.recovery, started.applied, local));
        if let Some(raft) = &node.raft {
            self.checks.has_membership(raft.membership_at());
            Checks::knows_its_past(id, raft, &node.disk)?;
        }
        node.look_at_machine(&started.applier, self.subject.is_some());
        node.applier = Some(started.applier);
        node.writer = Some(started.writer);
        if let Some(subject) = &mut self.subject {
            subject.restored(id, restored);
        }
        self.tell(Some(id), Mark::Fault, || "starts".to_owned());
        for situation in started.situations {
            self.meet(situation);
        }
        self.wake_when_due(id);
        Ok(())
    }

    pub(super) fn crash(&mut self, id: NodeId) {
        if self.nodes.get(&id).is_some_and(|node| node.raft.is_some()) {
            self.count("crashes");
            self.go_down(id, "crashes");
        }
    }

    /// A node stops by itself, and answers everybody before.
    pub(super) fn stop(&mut self, id: NodeId, how: &'static str) -> Held {
        self.stop_calls(id)?;
        self.go_down(id, how);
        Ok(())
    }

    /// A life ends; what it had not synced may be lost.
    pub(super) fn go_down(&mut self, id: NodeId, how: &'static str) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(raft) = node.raft.take() else {
            return;
        };
        node.applier = None;
        node.writer = None;
        let lost = node.disk.crash(&mut self.chance);
        let is_torn = node.parts.may_tear();
        node.parts.crash(&mut self.streams.chance);
        let was_paused = node.paused_until > self.now;
        let was_restoring = node.restores > 0;
        node.calls = Calls::new(&self.plan.config, LogIndex::ZERO);
        node.paused_until = Timestamp::ZERO;
        self.release_held(id);
        // A closed connection is a hint, and not every crash gives it.
        if self.chance.coin() {
            let others = self.nodes.iter().map(|(other, node)| (*other, node.life));
            for (other, life) in others.collect::<Vec<_>>() {
                let after = self.latency();
                self.schedule(after, Happening::Own(other, life, Own::PeerLost(id)));
            }
        }
        self.observe_crash(&raft.status_brief(), lost);
        if is_torn {
            self.meet(Situation::StreamTorn);
        }
        if was_paused {
            self.meet(Situation::CrashedWhilePaused);
        }
        if was_restoring {
            self.meet(Situation::CrashedWhileRestoring);
        }
        self.tell(Some(id), Mark::Down, || how.to_owned());
        self.abandon(id);
    }

    /// Whether this life of the node goes on.
    pub(super) fn lives(&self, id: NodeId, life: u64) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.raft.is_some() && node.life == life)
    }

    /// One step of one node, and everything that follows from it at once.
    pub(super) fn step(&mut self, id: NodeId, event: Event) -> Result<(), Broken> {
        let now = self.now;
        self.tell(Some(id), Mark::Event, || brief(&event));
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let Some(raft) = node.raft.as_mut() else {
            return Ok(());
        };
        let (before, mut effects) = (raft.status_brief(), Effects::new());
        let seen = self.observe_event(&before, &event);
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let Some(raft) = node.raft.as_mut() else {
            return Ok(());
        };
        let local = node.clock.local(now);
        // When a clock jumps back, time stands still to the core, and to its checkers.
        let moment = Moment::new(raft, local.max(node.watched.last_step), &event);
        raft.step(local, event, &mut effects);
        raft.check_state();
        self.report.steps += 1;
        let after = raft.status_brief();
        self.checks
            .commits(id, raft, before.committed, after.committed)?;
        if after.is_leader && !before.is_leader {
            self.checks.elected(after.term, id)?;
            self.checks.leads(id, after.term, raft)?;
        }
        if after.is_leader && after.committed > before.committed {
            self.check_quorum_on_disk(id, after.committed, &moment.membership)?;
        }
        let effects: Vec<Effect> = effects.drain().collect();
        if after.committed > before.committed {
            self.checks.note_progress(now);
        }
        self.judge(id, &moment, &after, &effects)?;
        self.observe_step(id, seen, (&before, &after), &effects);
        for effect in effects {
            self.tell_callers(id, &effect);
            self.execute(id, effect)?;
        }
        self.wake_when_due(id);
        self.hear_answers(id)
    }

    /// The commit was decided under the membership before the step, or, if the step appended
    /// another, under that.
    fn check_quorum_on_disk(
        &mut self,
        id: NodeId,
        committed: LogIndex,
        before: &Membership,
    ) -> Result<(), Broken> {
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        let Some((raft, link)) = raft.and_then(|raft| Some((raft, raft.link_at(committed)?)))
        else {
            return Ok(());
        };
        let after = raft.status().membership;
        let holds = |voter: &NodeId| {
            let node = self.nodes.get(voter);
            node.is_some_and(|node| node.has_held(link))
        };
        Checks::committed_by_leader(id, link, before, holds)
            .or_else(|_| Checks::committed_by_leader(id, link, &after, holds))
    }

    fn execute(&mut self, id: NodeId, effect: Effect) -> Result<(), Broken> {
        let life = self.nodes.get(&id).map_or(0, |node| node.life);
        self.tell(Some(id), Mark::Effect, || format!("{effect:?}"));
        match effect {
            Effect::Persist(write) => self.persist(id, life, write),
            Effect::Send(message) => self.send(&message),
            Effect::SendSnapshot { to, term, reaches } => {
                self.send_snapshot((id, life), to, term, reaches);
                Ok(())
            }
            Effect::Fetch {
                reader,
                range,
                bytes_max,
            } => {
                let (before, after) = self.slow_fetch();
                let fetch = Own::Fetch(reader, range, bytes_max, after);
                self.schedule(before, Happening::Own(id, life, fetch));
                Ok(())
            }
            Effect::Apply(entries) => {
                let mut jobs = Vec::new();
                Job::apply(entries, |job| jobs.push(job));
                self.give_to_machine(id, jobs);
                Ok(())
            }
            Effect::Restore(meta) => {
                self.count("snapshots restored");
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.restores += 1;
                }
                self.give_to_machine(id, vec![Job::Restore(meta)]);
                Ok(())
            }
            Effect::TakeSnapshot => {
                self.core_asks_for_snapshot(id);
                Ok(())
            }
            // All that there is to do is to answer.
            Effect::Accepted { .. }
            | Effect::Refused { .. }
            | Effect::ReadReady { .. }
            | Effect::ReadFailed { .. }
            | Effect::ForwardAnswered { .. } => Ok(()),
            told @ (Effect::Forwarded { .. }
            | Effect::ForwardLost { .. }
            | Effect::LeadershipLost { .. }
            | Effect::StatusChanged(_)
            | Effect::MembershipChanged { .. }
            | Effect::ChangeAnswered(_)
            | Effect::MembershipSettled { .. }
            | Effect::Displaced { .. }
            | Effect::Repairing { .. }
            | Effect::TransferEnded(_)) => {
                self.hear(id, &told);
                Ok(())
            }
            Effect::Repaired => self.on_repaired(id),
            Effect::Dropped(nonsense) => self.on_nonsense(id, &nonsense),
            Effect::Halt(fault) => Err(Broken {
                property: "no fault among correct disks",
                detail: format!("node {id}: {fault}"),
            }),
        }
    }

    /// Correct nodes send none; strangers may.
    fn on_nonsense(&self, id: NodeId, nonsense: &Nonsense) -> Held {
        let has_strangers = self.plan.adversary.strangers > 0;
        if has_strangers && matches!(nonsense, Nonsense::WrongAddressee { .. }) {
            return Ok(()); // As it should be.
        }
        broken(
            "no nonsense among correct nodes",
            format!("node {id} dropped {nonsense:?}"),
        )
    }

    /// How long it takes before the disk is read, and after that: one of them may be slow.
    fn slow_fetch(&mut self) -> (Duration, Duration) {
        let slow = self.held_up(self.plan.adversary.slow_fetch);
        let usual = self.latency();
        match self.plan.seed.is_multiple_of(2) {
            true => (usual, slow),
            false => (usual + slow, Duration::ZERO),
        }
    }

    /// What a node tells: counted, and sometimes the moment for a fault.
    fn hear(&mut self, id: NodeId, told: &Effect) {
        match told {
            Effect::Forwarded { .. } => self.count("writes forwarded"),
            Effect::ForwardLost { .. } => self.count("forwards lost"),
            Effect::LeadershipLost { .. } => self.count("leaders deposed"),
            Effect::StatusChanged(standing) => {
                self.tell(Some(id), Mark::Role, || {
                    format!("{} of {}", standing.role.as_str(), standing.term)
                });
                if standing.role == RoleName::Leader {
                    self.aim_crash(id);
                }
            }
            Effect::MembershipChanged { membership, .. } if membership.is_joint() => {
                self.count("joint memberships");
                self.strike_change(id);
            }
            Effect::MembershipChanged { .. } => self.strike_change(id),
            Effect::ChangeAnswered(Ok(_)) => self.count("changes begun"),
            Effect::ChangeAnswered(Err(_)) => self.count("changes refused"),
            Effect::MembershipSettled { .. } => self.count("changes settled"),
            Effect::Displaced { .. } => self.count("wiped nodes that abstain"),
            Effect::TransferEnded(outcome) => {
                self.count(if outcome.is_ok() {
                    "transfers"
                } else {
                    "transfers failed"
                });
            }
            _ => {} // Everything else is done, not told.
        }
    }

    fn persist(&mut self, id: NodeId, life: u64, write: Write) -> Held {
        self.checks.appended(&write.append)?;
        if write.truncate_from.is_some() {
            self.count("conflicting suffixes truncated");
        }
        if self.write_fails(id, &write)? {
            return Ok(());
        }
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        if node.disk.write(write) && node.disk.begin_sync() {
            self.schedule_sync(id, life);
            self.aim_crash(id);
        }
        Ok(())
    }

    pub(super) fn synced(&mut self, id: NodeId, life: u64) -> Result<(), Broken> {
        let fails = self.sync_fails(id)?;
        if fails && !mutant(Mutant::FailedSyncIgnored) {
            return Ok(());
        }
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let done = if fails {
            node.disk.lose_sync()
        } else {
            node.write_synced(id)?
        };
        let Some(sequence) = done else {
            return Ok(());
        };
        if node.disk.begin_sync() {
            self.schedule_sync(id, life);
        }
        self.step(id, Event::Persisted(sequence))
    }

    fn schedule_sync(&mut self, id: NodeId, life: u64) {
        let (low, high) = self.plan.sync;
        let mut after = self.chance.duration(low, high);
        if self.faults_go_on() && self.chance.happens(self.plan.disk_stall) {
            self.count("disk stalls");
            after = self.chance.duration(high, Duration::from_secs(4));
            if after > self.plan.config.disk_stall_timeout {
                self.meet(Situation::DiskStalled);
            }
        }
        after += self.slowness(id);
        self.schedule(after, Happening::Own(id, life, Own::Synced));
    }

    fn send(&mut self, message: &Message) -> Result<(), Broken> {
        let Some(sender) = self.nodes.get(&message.from) else {
            return Ok(());
        };
        self.checks.leaves(message, sender.disk.durable())?;
        let (from, to) = (message.from, message.to);
        let is_vote = matches!(message.body, Body::VoteReply { granted: true });
        let delays = self.network.delays(&self.plan, from, to);
        if delays.is_empty() {
            self.draw(message, None);
        }
        for delay in delays {
            self.network.note_order(from, to, self.now + delay);
            self.draw(message, Some(delay));
            self.schedule(delay, Happening::Deliver(message.clone()));
        }
        if let Some(delay) = self.old_copy(1) {
            self.draw(message, Some(delay));
            self.schedule(delay, Happening::Deliver(message.clone()));
        }
        if is_vote {
            self.aim_crash(from);
        }
        Ok(())
    }

    pub(super) fn wake_when_due(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(deadline) = node.raft.as_ref().and_then(Raft::deadline) else {
            return;
        };
        let at = node.clock.world(deadline);
        if node
            .woken_at
            .is_some_and(|planned| planned <= at && planned > self.now)
        {
            return; // An earlier wake-up looks again.
        }
        node.woken_at = Some(at);
        let life = node.life;
        self.schedule_at(at, Happening::Own(id, life, Own::Wake));
    }

    pub(super) fn latency(&mut self) -> Duration {
        self.network.delay(&self.plan)
    }
}

/// The machine of a new life: a user's, or the simulator's own.
fn new_machine(
    id: NodeId,
    node: &mut SimNode,
    subject: Option<&mut Box<dyn Subject>>,
) -> Result<Box<dyn StateMachine>, Broken> {
    node.replica = Replica::default();
    match subject {
        Some(subject) => subject.machine(id),
        None => Ok(Box::new(node.replica.clone())),
    }
}

fn brief(event: &Event) -> String {
    match event {
        Event::Received(Message {
            from, term, body, ..
        }) => {
            format!("from {from} in term {term}: {body:?}")
        }
        other => format!("{other:?}"),
    }
}
