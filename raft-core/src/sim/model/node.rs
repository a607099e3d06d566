//! One node of the model: the core, its disk and its state machine, driven as the shell drives
//! them, one action at a time.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::bounds::{Bounds, ELECTION_TIMEOUT};
use super::fingerprint::{CLOCK_START, fingerprint_of};
use super::parcels::Parcel;
use crate::change::MembershipChange;
use crate::config::Config;
use crate::consensus::{Effect, Effects, Event, IndexRange, Raft, Reader, Setup, To, Write};
use crate::entry::{Entry, Sealed};
use crate::id::{Incarnation, LogIndex, NodeId, Term};
use crate::membership::Membership;
use crate::message::{Body, Message};
use crate::sim::check::{Broken, Checks, Held, broken};
use crate::sim::disk::{Disk, Image};
use crate::sim::lent_disk::LentDisk;
use crate::sim::machine::Machine;
use crate::sim::replica::Replica;
use crate::sim::start::identity;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::time::Timestamp;

/// A node's whole state.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) raft: Raft,
    /// What would survive a crash.
    disk: Disk,
    /// Writes that would not.
    unsynced: VecDeque<Write>,
    machine: Machine,
    /// What the state machine is to do, in order.
    tasks: VecDeque<Task>,
    now: Timestamp,
}

/// What the state machine is to do.
#[derive(Clone, Debug, Hash)]
enum Task {
    Apply(Vec<Entry>),
    Restore(SnapshotMeta),
    TakeSnapshot,
}

/// What can happen to a node.
#[derive(Clone, Debug)]
pub(super) enum Stimulus {
    /// An election timeout passes: nobody was heard.
    Timeout,
    /// It is time for a heartbeat.
    Heartbeat,
    Arrives(Parcel),
    /// So many of the writes under way become durable, the oldest first.
    Synced(usize),
    Crash(Kept),
    /// The state machine does the next thing.
    MachineWorks,
    Propose(u8),
    Transfer(NodeId),
    Change(MembershipChange),
}

/// What a crash leaves of the writes that are not known to be durable. A longer prefix of them is
/// the same as a crash after they became durable, before anybody could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kept {
    Nothing,
    /// Term and vote overtake the entries that were written before or with them.
    HardState,
    /// The oldest write but for its last entry.
    Torn,
}

/// What came of a stimulus.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) node: Node,
    pub(super) sent: Vec<Parcel>,
    pub(super) facts: Vec<Fact>,
    /// What follows from effects, once all of them are carried out.
    next: VecDeque<Event>,
    config: Config,
}

/// What a turn has shown that must agree with the rest of the trace.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Appended(Vec<Entry>),
    Voted(Term, NodeId),
    Elected(Term),
    Committed {
        from: LogIndex,
        through: LogIndex,
        /// If it was decided here: the memberships before and after the step.
        decided: Option<[Arc<Membership>; 2]>,
    },
    State(LogIndex, u32),
}

impl Node {
    pub(super) fn start(id: NodeId, config: &Config, mut disk: Disk) -> Result<Self, Broken> {
        let identity = identity(id, Incarnation::new(id.get()));
        let replica = Replica::default();
        let machine = Box::new(replica.clone());
        let started = LentDisk::default().start(&mut disk, (identity, None), config, machine);
        let started = started.map_err(|error| Broken {
            property: "recovery",
            detail: format!("node {id} cannot start: {error}"),
        })?;
        let setup = Setup {
            id,
            incarnation: identity.incarnation,
            group: identity.group,
            config: config.clone(),
            seed: 0,
        };
        let now = CLOCK_START;
        Ok(Self {
            id,
            raft: Raft::new(setup, started.recovery, started.applied, now),
            disk,
            unsynced: VecDeque::new(),
            machine: replica.at(&started.applier.position),
            tasks: VecDeque::new(),
            now,
        })
    }

    /// By which equal states are recognised.
    pub(super) fn fingerprint(&self) -> u128 {
        fingerprint_of(self, self.now)
    }

    pub(super) fn durable(&self) -> &Image {
        self.disk.durable()
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(super) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// A snapshot can always wait.
    fn has_urgent_task(&self) -> bool {
        let first = self.tasks.front();
        first.is_some_and(|task| !matches!(task, Task::TakeSnapshot))
    }

    pub(super) fn is_leader(&self) -> bool {
        self.raft.status_brief().is_leader
    }

    /// Whether such a crash differs from one that keeps whole writes.
    pub(super) fn may_keep(&self, kept: Kept) -> bool {
        let mut writes = self.unsynced.iter();
        match kept {
            Kept::Nothing => true,
            Kept::HardState => {
                let first = self.unsynced.front();
                let is_alone = |write: &Write| {
                    write.hard_state.is_some()
                        && write.append.is_empty()
                        && write.truncate_from.is_none()
                        && write.purge_through.is_none()
                };
                writes.any(|write| write.hard_state.is_some()) && !first.is_some_and(is_alone)
            }
            Kept::Torn => self.unsynced.front().is_some_and(|write| {
                let cuts = write.truncate_from.is_some() || write.purge_through.is_some();
                write.append.len() > usize::from(!cuts)
            }),
        }
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            id,
            raft,
            disk,
            unsynced,
            machine,
            tasks,
            now: _,
        } = self;
        (id, raft, disk, machine, tasks).hash(state);
        for write in unsynced {
            // Its place in the stream is known to the core, relative to the newest.
            let Write {
                sequence: _,
                hard_state,
                truncate_from,
                purge_through,
                append,
                repaired,
            } = write;
            (hard_state, truncate_from, purge_through, append, repaired).hash(state);
        }
    }
}

impl Turn {
    /// Lets `node` take in `stimulus`.
    ///
    /// # Errors
    /// What is broken already for this node alone.
    pub(super) fn take(node: &Node, stimulus: Stimulus, bounds: &Bounds) -> Result<Self, Broken> {
        let mut turn = Self {
            node: node.clone(),
            sent: Vec::new(),
            facts: Vec::new(),
            next: VecDeque::new(),
            config: bounds.config(),
        };
        turn.on(stimulus)?;
        turn.settle(bounds)?;
        Ok(turn)
    }

    fn on(&mut self, stimulus: Stimulus) -> Held {
        match stimulus {
            Stimulus::Timeout => {
                let later = self.node.now + ELECTION_TIMEOUT;
                self.node.now = if self.node.is_leader() {
                    later
                } else {
                    // Exactly when it is due: not overslept.
                    self.node
                        .raft
                        .deadline()
                        .unwrap_or(later)
                        .max(self.node.now)
                };
                self.step(Event::TimePassed)
            }
            Stimulus::Heartbeat => self.step(Event::TimePassed),
            Stimulus::Arrives(parcel) => self.on_arrival(parcel),
            Stimulus::Synced(count) => self.sync(count),
            Stimulus::Crash(kept) => self.crash(kept),
            Stimulus::MachineWorks => self.work(),
            Stimulus::Propose(number) => {
                let command = Sealed::command(vec![number]);
                self.step(Event::Proposed(vec![command]))
            }
            Stimulus::Transfer(to) => self.step(Event::TransferRequested(To::Node(to))),
            Stimulus::Change(change) => self.step(Event::ChangeRequested(change)),
        }
    }

    /// What happens at once, if it is no action of its own.
    fn settle(&mut self, bounds: &Bounds) -> Held {
        loop {
            let writes = self.node.unsynced.len();
            if let Some(event) = self.next.pop_front() {
                self.step(event)?;
            } else if !bounds.slow_disks && writes > 0 {
                self.sync(writes)?;
            } else if !bounds.slow_machines && self.node.has_urgent_task() {
                self.work()?;
            } else {
                return Ok(());
            }
        }
    }

    fn step(&mut self, event: Event) -> Held {
        let raft = &mut self.node.raft;
        let (before, membership) = (raft.status_brief(), raft.membership());
        let mut effects = Effects::new();
        raft.step(self.node.now, event, &mut effects);
        raft.check_state();
        let after = raft.status_brief();
        if after.is_leader && !(before.is_leader && before.term == after.term) {
            self.facts.push(Fact::Elected(after.term));
        }
        if after.committed > before.committed {
            let decided = after.is_leader.then(|| [membership, raft.membership()]);
            self.facts.push(Fact::Committed {
                from: before.committed,
                through: after.committed,
                decided,
            });
        }
        for effect in effects.drain() {
            self.execute(effect)?;
        }
        Ok(())
    }

    fn execute(&mut self, effect: Effect) -> Held {
        match effect {
            Effect::Persist(write) => {
                if !write.append.is_empty() {
                    self.facts.push(Fact::Appended(write.append.clone()));
                }
                self.node.unsynced.push_back(write);
                Ok(())
            }
            Effect::Send(message) => self.send(message),
            Effect::SendSnapshot { to, term, reaches } => self.send_snapshot(to, term, reaches),
            Effect::Fetch {
                reader,
                range,
                bytes_max,
            } => self.fetch(reader, range, bytes_max),
            Effect::Apply(entries) => self.plan(Task::Apply(entries)),
            Effect::Restore(meta) => self.plan(Task::Restore(meta)),
            Effect::TakeSnapshot => self.plan(Task::TakeSnapshot),
            Effect::Dropped(nonsense) => {
                let detail = format!("node {} dropped {nonsense:?}", self.node.id);
                broken("no nonsense among correct nodes", detail)
            }
            Effect::Halt(fault) => {
                let detail = format!("node {}: {fault}", self.node.id);
                broken("no fault among correct disks", detail)
            }
            // Nobody waits for an answer, or for news.
            Effect::Accepted { .. }
            | Effect::Refused { .. }
            | Effect::Forwarded { .. }
            | Effect::ForwardAnswered { .. }
            | Effect::ForwardLost { .. }
            | Effect::ReadReady { .. }
            | Effect::ReadFailed { .. }
            | Effect::LeadershipLost { .. }
            | Effect::StatusChanged(_)
            | Effect::MembershipChanged { .. }
            | Effect::ChangeAnswered(_)
            | Effect::MembershipSettled { .. }
            | Effect::Displaced { .. }
            | Effect::Repairing { .. }
            | Effect::Repaired
            | Effect::TransferEnded(_) => Ok(()),
        }
    }

    fn plan(&mut self, task: Task) -> Held {
        self.node.tasks.push_back(task);
        Ok(())
    }

    /// The gate: what leaves must be on the disk, whatever happened before.
    fn send(&mut self, message: Message) -> Held {
        Checks::default().leaves(&message, self.node.durable())?;
        match message.body {
            Body::Vote { .. } => self.facts.push(Fact::Voted(message.term, message.from)),
            Body::VoteReply { granted: true } => {
                self.facts.push(Fact::Voted(message.term, message.to));
            }
            _ => {} // It chooses nobody.
        }
        self.sent.push(Parcel::Message(message));
        Ok(())
    }

    fn send_snapshot(&mut self, to: NodeId, term: Term, reaches: LogIndex) -> Held {
        let from = self.node.id;
        let newest = self.node.disk.newest_snapshot().cloned();
        let Some(snapshot) = newest.filter(|(meta, _)| meta.id().index >= reaches) else {
            self.next.push_back(Event::SnapshotUnreadable { to, term });
            return Ok(());
        };
        self.sent.push(Parcel::Snapshot {
            from,
            to,
            term,
            snapshot: Box::new(snapshot),
        });
        Ok(())
    }

    fn fetch(&mut self, reader: Reader, range: IndexRange, bytes_max: usize) -> Held {
        let from = range.start;
        let event = match self.node.disk.read(range, bytes_max) {
            Ok(Some(entries)) => Event::Fetched {
                reader,
                from,
                entries,
            },
            // No disk of the model is ever damaged.
            Ok(None) | Err(_) => Event::FetchPurged { reader },
        };
        self.next.push_back(event);
        Ok(())
    }

    fn on_arrival(&mut self, parcel: Parcel) -> Held {
        match parcel {
            Parcel::Message(message) => self.step(Event::Received(message)),
            Parcel::Snapshot {
                from,
                to,
                term,
                snapshot,
            } => {
                let (meta, machine) = *snapshot;
                self.node.disk.keep_snapshot(meta.clone(), machine);
                let last = meta.id();
                self.sent.push(Parcel::SnapshotArrived {
                    from: to,
                    to: from,
                    term,
                    last,
                });
                self.step(Event::SnapshotReceived { from, term, meta })
            }
            Parcel::SnapshotArrived {
                from, term, last, ..
            } => self.step(Event::SnapshotSent {
                to: from,
                term,
                last,
            }),
        }
    }

    fn sync(&mut self, count: usize) -> Held {
        let count = count.min(self.node.unsynced.len());
        for write in self.node.unsynced.drain(..count) {
            self.node.disk.write(write);
        }
        self.node.disk.begin_sync();
        match self.node.disk.end_sync() {
            Some(sequence) => self.step(Event::Persisted(sequence)),
            None => Ok(()),
        }
    }

    fn crash(&mut self, kept: Kept) -> Held {
        let node = &mut self.node;
        let lost: Vec<Write> = node.unsynced.drain(..).collect();
        let survivor = match kept {
            Kept::Nothing => None,
            Kept::HardState => {
                let hard_state = lost.iter().rev().find_map(|write| write.hard_state);
                hard_state.map(|hard_state| Write {
                    hard_state: Some(hard_state),
                    ..Write::default()
                })
            }
            Kept::Torn => lost.into_iter().next().map(|mut write| {
                write.append.pop();
                write
            }),
        };
        if let Some(write) = survivor {
            node.disk.write(write);
            node.disk.begin_sync();
            node.disk.end_sync();
        }
        let disk = std::mem::take(&mut node.disk);
        self.node = Node::start(node.id, &self.config, disk)?;
        Ok(())
    }

    /// The state machine does the next thing.
    fn work(&mut self) -> Held {
        let node = &mut self.node;
        match node.tasks.pop_front() {
            None => Ok(()),
            Some(Task::Apply(entries)) => {
                for entry in &entries {
                    node.machine.apply(entry);
                    let fact = Fact::State(entry.index(), node.machine.hash);
                    self.facts.push(fact);
                }
                let applied = node.machine.applied();
                self.step(Event::Applied(applied))
            }
            Some(Task::Restore(meta)) => {
                let last = meta.id();
                let Ok(Some(machine)) = node.disk.snapshot(last) else {
                    let detail = format!("node {} is to restore {meta}, which is gone", node.id);
                    return broken("a snapshot is kept until it is restored", detail);
                };
                let fact = Fact::State(machine.applied(), machine.hash);
                node.machine = machine.restored();
                self.facts.push(fact);
                self.step(Event::Applied(last.index))
            }
            Some(Task::TakeSnapshot) => self.take_snapshot(),
        }
    }

    fn take_snapshot(&mut self) -> Held {
        let machine = self.node.machine.clone();
        let Some((membership_at, membership)) = machine.membership.clone() else {
            return self.step(Event::SnapshotNotTaken);
        };
        let header = SnapshotHeader {
            last: machine.last,
            time: machine.time,
            membership,
            membership_at,
        };
        let (meta, snapshot) = Machine::saved(header, machine.encode());
        self.node.disk.keep_snapshot(meta.clone(), snapshot);
        self.step(Event::SnapshotTaken(meta))
    }
}
