//! What the clients do: writes of values never used before, and reads of every kind.

use std::time::Duration;

use bytes::Bytes;

use super::calls::Proposal;
use super::check::Broken;
use super::client::{End, Kind, Mode, Operation};
use super::cluster::{Cluster, Happening};
use super::machine::Command;
use super::situation::Situation;
use crate::consensus::{Conditions, Event, Raft, RoleName};
use crate::entry::Sealed;
use crate::id::{LogId, LogIndex, NodeId, Term};

/// What a client writes.
#[derive(Clone, Debug)]
pub(super) struct Write {
    command: Bytes,
    /// Of a command of the simulator's own.
    value: Option<u64>,
}

impl Write {
    pub(super) fn of(command: Command, padding: usize) -> Self {
        Self {
            command: command.encode(padding),
            value: Some(command.value),
        }
    }

    /// A command of a user's machine.
    pub(super) fn of_bytes(command: Bytes) -> Self {
        let value = None;
        Self { command, value }
    }

    pub(super) fn proposed_by(self, client: Option<u64>) -> Proposal {
        Proposal {
            client,
            value: self.value,
            sealed: Sealed::command(self.command),
        }
    }
}

impl Cluster {
    pub(super) fn client_turn(&mut self, client: u64) -> Result<(), Broken> {
        let pause = self.plan.think;
        let think = self.clients.chance.duration(Duration::ZERO, 2 * pause);
        self.schedule(think, Happening::ClientTurn(client));
        if let Some(operation) = self.clients.waiting.get(&client).copied() {
            // Patience is long, so that an answer that never comes is found at the end.
            let waited = self.now.since(operation.since);
            let is_write = operation.kind == Kind::Write;
            if is_write && waited > 20 * self.plan.config.election_timeout {
                if let Some(node) = self.nodes.get_mut(&operation.node) {
                    node.calls.forget(client);
                }
                self.finish(client, End::GivenUp);
            }
            return Ok(());
        }
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let leader = self.any_leader();
        let anyone = self.clients.chance.pick(&ids).copied();
        let to_leader = self.clients.chance.happens(800_000);
        let Some(node) = (if to_leader { leader.or(anyone) } else { anyone }) else {
            return Ok(());
        };
        let is_write = self.subject.is_none() && self.clients.chance.coin();
        if !self.is_up(node) {
            return Ok(());
        }
        if self.subject.is_some() {
            self.own_turn(client, node)
        } else if is_write && !self.leads(node) && self.clients.chance.coin() {
            let command = self.clients.command();
            self.write(client, node, Write::of(command, 0), true)
        } else if is_write {
            let command = self.clients.command();
            let padding = usize::try_from(self.clients.chance.below(100)).unwrap_or(0);
            self.write(client, node, Write::of(command, padding), false)
        } else {
            self.begin_read(client, node)
        }
    }

    pub(super) fn any_leader(&self) -> Option<NodeId> {
        self.nodes.keys().copied().find(|id| self.leads(*id))
    }

    fn leads(&self, id: NodeId) -> bool {
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        raft.is_some_and(|raft| raft.standing().role == RoleName::Leader)
    }

    pub(super) fn is_up(&self, id: NodeId) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.raft.is_some() && node.paused_until <= self.now)
    }

    /// A client writes. A node that does not lead sends the write on to its leader, if `forward`.
    pub(super) fn write(
        &mut self,
        client: u64,
        node: NodeId,
        write: Write,
        forward: bool,
    ) -> Result<(), Broken> {
        let leads = self.leads(node);
        if leads {
            self.clients.asked += 1;
        }
        self.begin(client, node, Kind::Write, self.checks.floor());
        let wishes = self.clients.wishes();
        let mut batch = vec![write.proposed_by(Some(client))];
        // In the calm, a follower that gets an entry a round trip has to catch up.
        if self.subject.is_none() && self.faults_go_on() {
            for _ in 0..wishes.beside {
                let beside = Write::of(self.clients.command(), 0);
                batch.push(beside.proposed_by(None));
            }
        }
        let (now, term) = (self.now, wishes.term);
        let Some(at) = self.nodes.get(&node) else {
            return Ok(());
        };
        let raft = at.raft.as_ref();
        let standing = raft.map(Raft::standing).zip(term);
        let conditions = Conditions {
            expected_term: standing.map(|(at, later)| Term::new(at.term.get() + later)),
            forward,
        };
        let deadline = wishes.deadline.map(|within| at.local(now) + within);
        self.propose(node, conditions, (batch, deadline))
    }

    /// An operation of a client is under way.
    fn begin(&mut self, client: u64, node: NodeId, kind: Kind, floor: LogIndex) {
        let operation = Operation {
            node,
            floor,
            since: self.now,
            term: self.checks.newest_term(),
            kind,
            awaits: None,
        };
        self.clients.waiting.insert(client, operation);
    }

    pub(super) fn begin_read(&mut self, client: u64, node: NodeId) -> Result<(), Broken> {
        let mode = self.mode_of(client);
        let floor = match mode {
            Mode::Linearizable | Mode::Lease => self.checks.floor(),
            // The node measures by its own clock, which may be a little fast or slow.
            // A clock that jumps back stands still for its node, and a bound is measured by clocks.
            Mode::Bounded(_) if self.plan.mishaps.clock_jump > 0 => LogIndex::ZERO,
            Mode::Bounded(lag) => self.clients.known_at(self.now.before(lag + lag / 4)),
            Mode::AtLeast(index) => index,
            Mode::Local => return self.read_locally(client, node),
        };
        self.begin(client, node, Kind::Read, floor);
        let applied = self.nodes.get(&node).map(|node| node.machine.applied());
        if let Mode::AtLeast(index) = mode
            && applied < Some(index)
            && let Some(operation) = self.clients.waiting.get_mut(&client)
        {
            operation.awaits = Some(index);
        }
        self.read_at(node, client, |reads| match mode {
            Mode::Linearizable => Event::ReadsRequested(reads),
            Mode::Lease => Event::LeaseReadsRequested(reads),
            Mode::Bounded(lag) => Event::BoundedReadsRequested(reads, lag),
            // A local read was answered above.
            Mode::AtLeast(index) => Event::AppliedAwaited(reads, index),
            Mode::Local => Event::AppliedAwaited(reads, LogIndex::ZERO),
        })
    }

    fn mode_of(&mut self, client: u64) -> Mode {
        let mode = self.clients.mode();
        // A user's workload expects its reads to be linearizable.
        if self.subject.is_some() {
            return match mode {
                Mode::Lease => Mode::Lease,
                _ => Mode::Linearizable,
            };
        }
        let (known, faults_go_on) = (self.checks.floor(), self.faults_go_on());
        let own = self.clients.own_mode(client, known, faults_go_on);
        own.unwrap_or(mode)
    }

    /// Nobody is asked: the state is what the node has applied.
    fn read_locally(&mut self, client: u64, at: NodeId) -> Result<(), Broken> {
        let known = self.checks.floor();
        let Some(node) = self.nodes.get_mut(&at) else {
            return Ok(());
        };
        let last = node.machine.last;
        let earlier = std::mem::replace(&mut node.shown, last.id.index);
        self.checks.read_locally(at, &node.machine, earlier)?;
        let has_leader = node
            .raft
            .as_ref()
            .is_some_and(|raft| raft.standing().leader.is_some());
        if last.id.index < known {
            self.meet(Situation::LocalReadLags);
        }
        if !has_leader {
            self.meet(Situation::LocalReadWithoutLeader);
        }
        self.report.reads += 1;
        self.count(End::Read.name());
        self.clients.sees(client, last.id.index);
        self.clients.tell(self.now, self.checks.floor());
        Ok(())
    }

    pub(super) fn write_applied(
        &mut self,
        client: u64,
        entry: LogId,
        response: &Bytes,
    ) -> Result<(), Broken> {
        let Some(operation) = self.clients.waiting.get(&client).copied() else {
            return Ok(());
        };
        self.report.writes += 1;
        self.ended(client, End::Write, Some((entry, response)));
        self.checks.wrote(entry, operation.floor)?;
        self.clients.sees(client, entry.index);
        self.clients.tell(self.now, self.checks.floor());
        Ok(())
    }

    pub(super) fn read_answered(&mut self, node: NodeId, client: u64) -> Result<(), Broken> {
        let index = self.nodes.get(&node).map(|node| node.machine.applied());
        let operation = self.clients.waiting.get(&client).copied();
        let Some((index, operation)) = index.zip(operation) else {
            return Ok(());
        };
        self.report.reads += 1;
        self.observe_read(node, operation.term);
        self.finish(client, End::Read);
        self.checks.read(index, operation.floor)?;
        self.clients.sees(client, index);
        if operation.awaits.is_some() {
            self.meet(Situation::AwaitedEntryRead);
        }
        self.clients.tell(self.now, self.checks.floor());
        self.own_read(client, node)
    }

    pub(super) fn finish(&mut self, client: u64, end: End) {
        self.ended(client, end, None);
    }

    fn ended(&mut self, client: u64, end: End, applied: Option<(LogId, &Bytes)>) {
        self.clients.waiting.remove(&client);
        self.count(end.name());
        self.own_end(client, end, applied);
    }

    /// Whoever waited for an answer of this node waits no longer.
    pub(super) fn abandon(&mut self, id: NodeId) {
        self.futures.down(id);
        let waiting = &self.clients.waiting;
        let gone: Vec<u64> = waiting
            .iter()
            .filter(|(_, op)| op.node == id)
            .map(|(client, _)| *client)
            .collect();
        for client in gone {
            self.finish(client, End::Abandoned);
        }
    }
}
