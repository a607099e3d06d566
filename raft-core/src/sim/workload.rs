//! What the clients do: writes of values never used before, and reads of every kind.

use std::time::Duration;

use bytes::Bytes;

use super::check::{Asked, Broken};
use super::client::{End, Kind, Mode, Operation};
use super::cluster::{Cluster, Happening};
use super::situation::Situation;
use crate::consensus::{Event, Raft, RoleName};
use crate::entry::Sealed;
use crate::id::{LogId, LogIndex, NodeId};

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
                    node.writes.retain(|_, (_, writer)| *writer != client);
                    node.placed.retain(|_, writer| *writer != client);
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
            self.begin_forward(client, node)
        } else if is_write {
            let command = self.clients.command();
            let padding = usize::try_from(self.clients.chance.below(100)).unwrap_or(0);
            self.write(client, node, command.encode(padding))
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

    pub(super) fn write(
        &mut self,
        client: u64,
        node: NodeId,
        command: Bytes,
    ) -> Result<(), Broken> {
        let floor = self.checks.floor();
        let expected = self.nodes.get(&node).and_then(|node| {
            let raft = node
                .raft
                .as_ref()
                .filter(|raft| raft.standing().role == RoleName::Leader)?;
            Some((raft.last_index().next(), raft.standing().term))
        });
        if let (Some((index, term)), Some(node)) = (expected, self.nodes.get_mut(&node)) {
            node.writes.insert(index, (term, client));
        }
        let operation = Operation {
            node,
            floor,
            since: self.now,
            term: self.checks.newest_term(),
            kind: Kind::Write,
            awaits: None,
        };
        self.clients.waiting.insert(client, operation);
        if let Some((index, term)) = expected {
            self.clients.asked += 1;
            self.futures
                .ask(node, Asked::Proposal(index, term), self.now);
        }
        let sealed = Sealed::command(command);
        self.step(node, Event::Proposed(vec![sealed]))?;
        // Refused: nothing was appended where the write would be.
        let last = self
            .nodes
            .get(&node)
            .and_then(|node| node.raft.as_ref())
            .map(Raft::last_index);
        let was_appended =
            expected.is_some_and(|(index, _)| last.is_some_and(|last| last >= index));
        if !was_appended {
            if let (Some((index, term)), Some(owner)) = (expected, self.nodes.get_mut(&node)) {
                owner.writes.remove(&index);
                self.futures.answer(node, Asked::Proposal(index, term));
            }
            self.finish(client, End::Refused);
        }
        Ok(())
    }

    pub(super) fn begin_read(&mut self, client: u64, node: NodeId) -> Result<(), Broken> {
        let (read, mode) = (self.clients.read_id(), self.mode_of(client));
        let floor = match mode {
            Mode::Linearizable | Mode::Lease => self.checks.floor(),
            // The node measures by its own clock, which may be a little fast or slow.
            // A clock that jumps back stands still for its node, and a bound is measured by clocks.
            Mode::Bounded(_) if self.plan.mishaps.clock_jump > 0 => LogIndex::ZERO,
            Mode::Bounded(lag) => self.clients.known_at(self.now.before(lag + lag / 4)),
            Mode::AtLeast(index) => index,
            Mode::Local => return self.read_locally(client, node),
        };
        let applied = self.nodes.get(&node).map(|node| node.machine.applied());
        let awaits = match mode {
            Mode::AtLeast(index) => Some(index).filter(|index| applied < Some(*index)),
            _ => None,
        };
        let operation = Operation {
            node,
            floor,
            since: self.now,
            term: self.checks.newest_term(),
            kind: Kind::Read(read),
            awaits,
        };
        self.clients.waiting.insert(client, operation);
        self.futures.ask(node, Asked::Read(read), self.now);
        let event = match mode {
            Mode::Linearizable => Event::ReadsRequested(vec![read]),
            Mode::Lease => Event::LeaseReadsRequested(vec![read]),
            Mode::Bounded(lag) => Event::BoundedReadsRequested(vec![read], lag),
            Mode::AtLeast(index) => Event::AppliedAwaited(vec![read], index),
            Mode::Local => return Ok(()), // Answered above.
        };
        self.step(node, event)
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
        is_own: bool,
        response: Option<&Bytes>,
    ) -> Result<(), Broken> {
        let Some(operation) = self.clients.waiting.get(&client).copied() else {
            return Ok(());
        };
        if !is_own {
            self.finish(client, End::Overwritten);
            return Ok(());
        }
        self.report.writes += 1;
        self.ended(
            client,
            End::Write,
            response.map(|response| (entry, response)),
        );
        self.checks.wrote(entry, operation.floor)?;
        self.clients.sees(client, entry.index);
        self.clients.tell(self.now, self.checks.floor());
        Ok(())
    }

    pub(super) fn read_answered(
        &mut self,
        node: NodeId,
        client: u64,
        index: LogIndex,
    ) -> Result<(), Broken> {
        let Some(operation) = self.clients.waiting.get(&client).copied() else {
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

    /// The node forgets which writes were whose: their outcome is unknown.
    pub(super) fn forget_writes(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let writes = std::mem::take(&mut node.writes);
        self.futures.deposed(id);
        for (_, client) in writes.into_values() {
            self.finish(client, End::Unknown);
        }
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
