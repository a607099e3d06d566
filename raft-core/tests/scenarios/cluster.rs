//! Several nodes, the network between them, one clock, and a protocol of what is seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::consensus::{
    Effect, Effects, Event, IndexRange, Reader, Refusal, RoleName, Standing,
};
use raft_core::entry::Entry;
use raft_core::id::{LogId, LogIndex, NodeId, RecoveryEpoch, Term};
use raft_core::membership::Membership;
use raft_core::message::Message;
use raft_core::time::Timestamp;
use raft_core::wire::{Hello, Lane};

use super::checks::Checks;
use super::disk::Disk;
use super::machine::{Applied, Snapshot};
use super::member::Member;
use super::print::{self, Parcel};

/// A story that does not come to rest after this many steps goes round in circles.
const STEPS_MAX: usize = 10_000;

/// The world of one story.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    /// The nodes, running or not.
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// How the nodes are configured.
    pub(crate) config: Config,
    /// The membership that every log begins with.
    pub(crate) membership: Option<Membership>,
    /// Everybody's clock.
    pub(crate) now: Timestamp,
    /// What was sent and not delivered, in the order in which it was sent.
    pub(crate) pool: Vec<Parcel>,
    /// What was taken out of the pool, to be delivered late.
    pub(crate) held: Vec<Parcel>,
    /// Who hears whom: nodes in different groups do not. Empty: everybody hears everybody.
    pub(crate) groups: Vec<BTreeSet<NodeId>>,
    /// Links that lose everything, in this direction only.
    pub(crate) cuts: BTreeSet<(NodeId, NodeId)>,
    /// Kinds of messages that are lost.
    pub(crate) blocked: BTreeSet<String>,
    /// Nodes whose disk finishes nothing by itself.
    pub(crate) stalled: BTreeSet<NodeId>,
    /// Writes are durable at once.
    pub(crate) instant_disk: bool,
    /// The state machines do nothing before the command `apply`.
    pub(crate) slow_machine: bool,
    /// What is read from a disk for another node comes with the command `fetch`.
    pub(crate) slow_reader: bool,
    /// So does what is read for the state machine.
    pub(crate) slowest_reader: bool,
    /// State machines cannot be frozen.
    pub(crate) no_snapshots: bool,
    /// The state machines keep what they have applied on a disk of their own.
    pub(crate) durable_machine: bool,
    /// Snapshots arrive by the command `stream` only.
    pub(crate) in_parts: bool,
    /// The state machines apply the commands of sessions, once each.
    pub(crate) in_sessions: bool,
    /// Heartbeats, their replies, and what is lost in a cut network are not shown.
    pub(crate) hide_routine: bool,
    /// What was seen.
    pub(crate) seen: Vec<String>,
    /// What became of the last proposals: where the first of them stands, or why it does not.
    pub(crate) answer: Option<Result<LogId, Refusal>>,
    /// Responses of the state machines to commands of sessions.
    pub(crate) responses: Vec<(NodeId, LogId, Bytes)>,
    /// Who no longer leads which term.
    pub(crate) offices_lost: Vec<(NodeId, Term)>,
    refusals: BTreeSet<(NodeId, NodeId)>,
    follow_ups: VecDeque<(NodeId, Event)>,
    checks: BTreeMap<RecoveryEpoch, Checks>,
}

impl Cluster {
    /// Lets `event` happen at `node`, and everything that follows from it at once.
    pub(crate) fn step(&mut self, node: NodeId, event: Event) {
        self.follow_ups.push_back((node, event));
        while let Some((node, event)) = self.follow_ups.pop_front() {
            self.step_once(node, event);
        }
    }

    fn step_once(&mut self, node: NodeId, event: Event) {
        let mut proposed = match &event {
            Event::Proposed(commands) | Event::ProposedUnder(_, commands) => commands.len(),
            _ => 0,
        };
        let mut effects = Effects::new();
        let now = self.now;
        let Some(raft) = self.raft(node) else {
            return;
        };
        let before = raft.status().membership;
        raft.step(now, event, &mut effects);
        raft.check_state();
        for effect in effects.drain() {
            proposed -= answered(&effect).min(proposed);
            self.execute(node, effect);
        }
        assert_eq!(proposed, 0, "{proposed} proposals were not answered");
        self.check_commit(node, &before);
    }

    fn execute(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Persist(write) => self.write(node, write),
            Effect::Send(message) => self.send(node, message),
            Effect::SendSnapshot { to, term, reaches } => {
                self.send_snapshot(node, to, term, reaches);
            }
            Effect::Fetch {
                reader,
                range,
                bytes_max,
            } => self.fetch(node, reader, &range, bytes_max),
            Effect::Apply(entries) => self.apply(node, entries),
            Effect::Restore(meta) => self.restore(node, &meta),
            Effect::TakeSnapshot if self.slow_machine => {
                self.member(node).to_freeze = true;
                self.see(format!("{node}: is to take a snapshot"));
            }
            Effect::TakeSnapshot => self.take_snapshot(node),
            Effect::Accepted { term, indexes } => {
                self.answer = Some(Ok(LogId::new(term, indexes.start)));
                self.see(format!("{node}: accepts {}", print::range(&indexes, term)));
            }
            Effect::Refused { count, reason } => {
                self.see(print::refused(node, count, &reason));
                self.answer = Some(Err(reason));
            }
            told @ (Effect::Forwarded { .. }
            | Effect::ForwardAnswered { .. }
            | Effect::ForwardLost { .. }) => self.see(print::forwarded(node, &told)),
            Effect::ReadReady { reads, index } => {
                let reads = print::reads(&reads);
                let applied = self.members[&node].machine.last.id.index;
                assert!(
                    applied >= index,
                    "a read at {index} after {applied} was applied"
                );
                self.see(format!("{node}: reads {reads} may be served at {index}"));
            }
            Effect::ReadFailed { reads, reason } => {
                self.see(print::reads_failed(node, &reads, &reason));
            }
            Effect::LeadershipLost { term } => {
                self.offices_lost.push((node, term));
                self.see(format!("{node}: no longer leads term {term}"));
            }
            Effect::StatusChanged(standing) => self.stand(node, standing),
            Effect::MembershipChanged { at, membership } => {
                self.see(format!("{node}: membership of {at}: {membership}"));
            }
            Effect::ChangeAnswered(answer) => self.see(print::change(node, answer)),
            Effect::MembershipSettled { at } => self.see(print::settled(node, at)),
            Effect::TransferEnded(outcome) => self.see(print::transfer(node, outcome)),
            Effect::Displaced { by } => self.see(print::displaced(node, by)),
            Effect::Repairing { reason } => self.see(print::repairing(node, &reason)),
            Effect::Repaired => self.see(format!("{node}: is repaired")),
            Effect::Dropped(nonsense) => {
                self.see(format!("{node}: drops {}", print::nonsense(&nonsense)));
            }
            Effect::Halt(fault) => {
                self.see(format!("{node}: halts: {fault}"));
                let keep = self.durable_machine;
                self.member(node).stop(keep);
            }
        }
    }

    fn send(&mut self, node: NodeId, message: Message) {
        let member = &self.members[&node];
        let checks = self.checks.entry(member.epoch).or_default();
        checks.message_leaves(&message, &member.disk);
        self.post(Parcel::Message(message));
    }

    fn stand(&mut self, node: NodeId, standing: Standing) {
        let member = &self.members[&node];
        let checks = self.checks.entry(member.epoch).or_default();
        checks.standing_changed(node, standing, &member.disk);
        self.see(format!("{node}: {}", print::standing(standing)));
    }

    fn write(&mut self, node: NodeId, write: raft_core::consensus::Write) {
        let role = self.role(node);
        let epoch = self.members[&node].epoch;
        let checks = self.checks.entry(epoch).or_default();
        checks.writes(node, role, &write);
        let instant = self.instant_disk && !self.stalled.contains(&node);
        if !instant {
            self.see(format!("{node}: writes {}", print::write(&write)));
        }
        let member = self.member(node);
        member.disk.queue.push_back(write);
        if instant && let Some(event) = member.persist(usize::MAX) {
            self.follow_ups.push_back((node, event));
        }
    }

    fn fetch(&mut self, node: NodeId, reader: Reader, range: &IndexRange, bytes_max: usize) {
        let event = self.members[&node].fetch(reader, range.clone(), bytes_max);
        let is_slow = match reader {
            Reader::StateMachine => self.slowest_reader,
            Reader::Peer(_) => self.slow_reader || self.slowest_reader,
        };
        if is_slow {
            let (start, end) = (range.start, range.end);
            self.see(format!("{node}: is to report {start}..{end} from its disk"));
            self.member(node).fetched.push_back(event);
        } else {
            self.follow_ups.push_back((node, event));
        }
    }

    fn apply(&mut self, node: NodeId, entries: Vec<Entry>) {
        let slow = self.slow_machine;
        let shown = print::contents(&entries);
        let verb = if slow { "is to apply" } else { "applies" };
        self.see(format!("{node}: {verb} {shown}"));
        let member = self.member(node);
        for entry in &entries {
            let stored = member.disk.durable.entry(entry.index());
            assert_eq!(
                stored,
                Some(entry),
                "{node} is to apply what its disk does not hold"
            );
        }
        member.to_apply.extend(entries);
        if !slow && let Some(event) = member.apply() {
            self.follow_ups.push_back((node, event));
            self.report(node);
        }
    }

    fn restore(&mut self, node: NodeId, meta: &raft_core::snapshot::SnapshotMeta) {
        let slow = self.slow_machine;
        let verb = if slow { "is to restore" } else { "restores" };
        self.see(format!("{node}: {verb} snapshot {}", meta.id()));
        let member = self.member(node);
        member.to_apply.clear();
        let found = member.disk.snapshots.iter().find(|one| one.meta == *meta);
        member.to_restore = Some(found.expect("the store holds what is restored").clone());
        if !slow && let Some(event) = member.apply() {
            self.follow_ups.push_back((node, event));
        }
    }

    /// Lets a slow state machine do what waits for it.
    pub(crate) fn let_apply(&mut self, node: NodeId) {
        let member = self.member(node);
        let applied = member.apply();
        let freeze = std::mem::take(&mut member.to_freeze);
        let last = member.machine.last.id;
        if let Some(event) = applied {
            self.see(format!("{node}: has applied everything through {last}"));
            self.step(node, event);
            self.report(node);
            self.drain();
        }
        if freeze {
            self.take_snapshot(node);
            self.drain();
        }
    }

    /// Tells what came of the entries that were applied.
    fn report(&mut self, node: NodeId) {
        for (id, outcome) in std::mem::take(&mut self.member(node).outcomes) {
            match outcome {
                Applied::Nothing => {}
                Applied::Response(response) => {
                    if self.in_sessions {
                        self.responses.push((node, id, response));
                    }
                }
                Applied::Void(reason) => self.see(format!("{node}: {id} is void: {reason}")),
                Applied::Replace(backup) => {
                    panic!("{backup:?} did not take the place of the state")
                }
                Applied::Replaced(meta) => {
                    self.see(format!("{node}: from {id} on the backup is the state"));
                    self.follow_ups
                        .push_back((node, Event::SnapshotTaken(meta)));
                }
            }
        }
        let member = self.member(node);
        if member.is_delayed && !member.machine.is_gathering() {
            self.take_snapshot(node);
        }
    }

    /// Freezes the state machine of `node`, unless that would end within a restoration.
    pub(crate) fn take_snapshot(&mut self, node: NodeId) {
        let member = self.member(node);
        member.is_delayed = member.machine.is_gathering();
        if member.is_delayed {
            self.see(format!(
                "{node}: takes a snapshot when the restoration is over"
            ));
            return;
        }
        let frozen = member.machine.snapshot();
        let event = match frozen.filter(|_| !self.no_snapshots) {
            Some(snapshot) => {
                let meta = snapshot.meta.clone();
                self.member(node).disk.keep_snapshot(snapshot);
                self.see(format!("{node}: takes snapshot {}", meta.id()));
                Event::SnapshotTaken(meta)
            }
            None => {
                self.see(format!("{node}: takes no snapshot"));
                Event::SnapshotNotTaken
            }
        };
        self.follow_ups.push_back((node, event));
    }

    fn send_snapshot(&mut self, node: NodeId, to: NodeId, term: Term, reaches: LogIndex) {
        let newest = self.members[&node].disk.newest_snapshot();
        let newest = newest.filter(|newest| newest.meta.id().index >= reaches);
        match newest.filter(|newest| !newest.is_spoilt).cloned() {
            Some(snapshot) => self.post(Parcel::Snapshot {
                from: node,
                to,
                term,
                snapshot,
            }),
            None => {
                self.see(format!("{node}: cannot read its snapshot for {to}"));
                let event = Event::SnapshotUnreadable { to, term };
                self.follow_ups.push_back((node, event));
            }
        }
    }

    /// Puts a parcel on its way, unless the network is cut there.
    pub(crate) fn post(&mut self, parcel: Parcel) {
        let lost = self.is_cut(&parcel);
        if let Some(refusal) = self.refusal(&parcel)
            && self.refusals.insert((parcel.from(), parcel.to()))
        {
            self.see(format!(
                "{}: refuses {}: {refusal}",
                parcel.to(),
                parcel.from()
            ));
        }
        if !(self.hide_routine && (lost || parcel.is_heartbeat())) {
            let lost = if lost { " (lost)" } else { "" };
            self.see(format!("{}{lost}", parcel.line()));
        }
        match lost {
            true => self.lose(&parcel),
            false => self.pool.push(parcel),
        }
    }

    /// Messages vanish unseen. Of a snapshot the sender learns that it did not arrive.
    pub(crate) fn lose(&mut self, parcel: &Parcel) {
        if let Parcel::Snapshot { from, to, term, .. } = parcel {
            let (to, term) = (*to, *term);
            let event = Event::SnapshotNotSent { to, term };
            self.follow_ups.push_back((*from, event));
        }
    }

    /// Hands a parcel over. A node that is down, or cut off, receives nothing.
    pub(crate) fn deliver(&mut self, parcel: Parcel) {
        let to = parcel.to();
        if self.is_cut(&parcel) || self.raft(to).is_none() {
            self.lose(&parcel);
            self.drain();
            return;
        }
        match parcel {
            Parcel::Message(message) => self.step(to, Event::Received(message)),
            Parcel::Snapshot {
                from,
                to,
                term,
                snapshot,
            } => self.hand_over(from, to, term, snapshot),
        }
    }

    fn hand_over(&mut self, from: NodeId, to: NodeId, term: Term, snapshot: Snapshot) {
        let meta = snapshot.meta.clone();
        let last = meta.id();
        let stored = &mut self.member(to).disk.snapshots;
        if !stored.iter().any(|one| one.meta == meta) {
            stored.push(snapshot);
        }
        self.step(to, Event::SnapshotReceived { from, term, meta });
        self.step(from, Event::SnapshotSent { to, term, last });
    }

    /// Lets what is due at once happen.
    pub(crate) fn drain(&mut self) {
        while let Some((node, event)) = self.follow_ups.pop_front() {
            self.step_once(node, event);
        }
    }

    /// Delivers and persists until nothing is left to do.
    pub(crate) fn stabilize(&mut self) {
        for _ in 0..STEPS_MAX {
            if let Some(event) = self.next_persisted() {
                self.step(event.0, event.1);
            } else if let Some(at) = self.next_parcel() {
                let parcel = self.pool.remove(at);
                self.deliver(parcel);
            } else {
                return;
            }
        }
        panic!("no rest after {STEPS_MAX} steps:\n{}", self.seen.join("\n"));
    }

    fn next_parcel(&self) -> Option<usize> {
        let is_whole =
            |parcel: &Parcel| !(self.in_parts && matches!(parcel, Parcel::Snapshot { .. }));
        self.pool.iter().position(is_whole)
    }

    fn next_persisted(&mut self) -> Option<(NodeId, Event)> {
        let stalled = &self.stalled;
        self.members
            .values_mut()
            .filter(|member| member.raft.is_some() && !stalled.contains(&member.id))
            .filter_map(|member| Some((member.id, member.persist(usize::MAX)?)))
            .next()
    }

    /// Lets time pass. With `live`, whatever is sent arrives and whatever is written is durable.
    pub(crate) fn advance(&mut self, duration: Duration, live: bool) {
        let end = self.now + duration;
        loop {
            if live {
                self.stabilize();
            }
            let next = self
                .members
                .values()
                .filter_map(|member| Some((member.raft.as_ref()?.deadline()?, member.id)))
                .filter(|(deadline, _)| *deadline <= end)
                .min();
            let Some((deadline, node)) = next else {
                break;
            };
            assert!(
                deadline > self.now || self.seen.len() < STEPS_MAX,
                "time stands still at {node}"
            );
            self.now = self.now.max(deadline);
            self.step(node, Event::TimePassed);
        }
        self.now = end;
    }

    /// Lets time pass that nobody notices before its end.
    pub(crate) fn pause(&mut self, duration: Duration) {
        self.now = self.now + duration;
        let nodes: Vec<NodeId> = self.members.keys().copied().collect();
        for node in nodes {
            self.step(node, Event::TimePassed);
        }
    }

    /// A step may commit by one membership and then append the next.
    fn check_commit(&mut self, node: NodeId, before: &Membership) {
        let Some(raft) = self.raft(node) else {
            return;
        };
        let status = raft.status();
        let member = self.member(node);
        assert!(
            status.committed >= member.committed,
            "the commit index of {node} fell from {} to {}",
            member.committed,
            status.committed
        );
        member.committed = status.committed;
        let epoch = member.epoch;
        let disks: BTreeMap<NodeId, &Disk> = self
            .members
            .iter()
            .filter(|(_, member)| member.epoch == epoch)
            .map(|(id, member)| (*id, &member.disk))
            .collect();
        let in_force = [before, &status.membership];
        let checks = self.checks.entry(epoch).or_default();
        checks.commits(node, status.committed, in_force, &disks);
    }

    /// Whether the network is cut between the ends of `parcel`.
    fn is_cut(&self, parcel: &Parcel) -> bool {
        let group_of = |node| self.groups.iter().position(|group| group.contains(&node));
        let is_apart = group_of(parcel.from()) != group_of(parcel.to());
        self.refusal(parcel).is_some()
            || self.blocked.contains(&parcel.kind())
            || self.cuts.contains(&(parcel.from(), parcel.to()))
            || !self.groups.is_empty() && is_apart
    }

    /// Why the receiver does not let the sender in, by what they say when they connect.
    fn refusal(&self, parcel: &Parcel) -> Option<String> {
        let from = self.members.get(&parcel.from())?.identity();
        let to = self.members.get(&parcel.to())?.identity();
        if from.node == to.node {
            return None; // Nobody connects to itself: a story made it up.
        }
        let hello = Hello::new(from, to.node, Lane::Control);
        hello.answer(to).err().map(|refusal| refusal.text)
    }

    /// The group of `node` goes on in this epoch from what its disk holds: what was committed beyond
    /// that is lost, and known to be.
    pub(crate) fn recovered(&mut self, node: NodeId, epoch: RecoveryEpoch) {
        let member = self.members.get_mut(&node).expect("it was recovered");
        let former = std::mem::replace(&mut member.epoch, epoch);
        let checks = self.checks.entry(former).or_default();
        let checks = checks.recovered(&member.disk.durable);
        self.checks.insert(epoch, checks);
    }

    fn role(&mut self, node: NodeId) -> RoleName {
        self.raft(node)
            .map_or(RoleName::Follower, |raft| raft.standing().role)
    }

    /// The core of `node`, while it runs.
    pub(crate) fn raft(&mut self, node: NodeId) -> Option<&mut raft_core::consensus::Raft> {
        self.members.get_mut(&node)?.raft.as_mut()
    }

    /// The node; a story that names another one is wrong.
    pub(crate) fn member(&mut self, node: NodeId) -> &mut Member {
        let found = self.members.get_mut(&node);
        found.unwrap_or_else(|| panic!("there is no node {node}"))
    }

    /// Adds a line to what is seen.
    pub(crate) fn see(&mut self, line: impl Into<String>) {
        self.seen.push(line.into());
    }

    /// The log of a disk that was written by the story itself counts like any other.
    pub(crate) fn check_loaded(&mut self, node: NodeId) {
        let member = &self.members[&node];
        let checks = self.checks.entry(member.epoch).or_default();
        for entry in &member.disk.durable.log {
            checks.log_holds(node, entry);
        }
    }
}

/// How many proposals an effect answers.
fn answered(effect: &Effect) -> usize {
    match effect {
        Effect::Accepted { indexes, .. } => {
            usize::try_from(indexes.end.distance_from(indexes.start)).unwrap_or(usize::MAX)
        }
        Effect::Refused { count, .. } | Effect::Forwarded { count, .. } => *count,
        _ => 0,
    }
}
