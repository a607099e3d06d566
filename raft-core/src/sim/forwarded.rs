//! Writes that a node sends on to its leader, as its shell would answer them.

use super::check::{Asked, Broken, broken};
use super::client::{End, Kind, Operation};
use super::cluster::Cluster;
use super::machine::Command;
use crate::consensus::{Conditions, Effect, Event, Refusal};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{LogId, NodeId};
use crate::message::ForwardId;

impl Cluster {
    /// A client writes at a node that does not lead.
    pub(super) fn begin_forward(&mut self, client: u64, node: NodeId) -> Result<(), Broken> {
        let command = self.clients.command();
        let operation = Operation {
            node,
            floor: self.checks.floor(),
            since: self.now,
            term: self.checks.newest_term(),
            kind: Kind::Write,
            awaits: None,
        };
        self.clients.waiting.insert(client, operation);
        self.clients.written.insert(client, command.value);
        self.clients.proposing = Some(client);
        let conditions = Conditions {
            expected_term: None,
            forward: true,
        };
        let batch = vec![Sealed::command(command.encode(0))];
        self.step(node, Event::ProposedUnder(conditions, batch))?;
        if self.clients.proposing.take().is_some() {
            self.refuse_write(client);
        }
        Ok(())
    }

    /// It is in no log, and never will be.
    fn refuse_write(&mut self, client: u64) {
        if let Some(value) = self.clients.written.get(&client) {
            self.checks.refused(*value);
        }
        self.finish(client, End::Refused);
    }

    /// What became of writes that a node sends on.
    pub(super) fn hear_of_forwards(&mut self, id: NodeId, told: &Effect) {
        match told {
            Effect::Forwarded { forward, .. } => self.write_forwarded(id, *forward),
            Effect::ForwardAnswered {
                forward,
                term,
                indexes,
                refused,
            } => {
                let at = LogId::new(*term, indexes.start);
                self.forward_answered(id, *forward, at, refused.as_ref());
            }
            Effect::ForwardLost { forward } => self.forward_lost(id, *forward),
            _ => {} // Everything else concerns nobody who forwards.
        }
    }

    fn write_forwarded(&mut self, id: NodeId, forward: ForwardId) {
        let client = self.clients.proposing.take();
        if let Some((node, client)) = self.nodes.get_mut(&id).zip(client) {
            node.forwarded.insert(forward, client);
        }
        self.futures.ask(id, Asked::Forward(forward), self.now);
        self.count("writes forwarded");
    }

    fn forward_answered(
        &mut self,
        id: NodeId,
        forward: ForwardId,
        at: LogId,
        refused: Option<&Refusal>,
    ) {
        self.futures.answer(id, Asked::Forward(forward));
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(client) = node.forwarded.remove(&forward) else {
            return;
        };
        if refused.is_some() {
            self.refuse_write(client);
        } else if node.machine.applied() >= at.index {
            // A shell may still know the response.
            self.count("forwards answered late");
            self.finish(client, End::Unknown);
        } else {
            node.placed.insert(at, client);
        }
    }

    fn forward_lost(&mut self, id: NodeId, forward: ForwardId) {
        self.futures.answer(id, Asked::Forward(forward));
        let node = self.nodes.get_mut(&id);
        if let Some(client) = node.and_then(|node| node.forwarded.remove(&forward)) {
            self.count("forwards lost");
            self.finish(client, End::Unknown);
        }
    }

    /// A node has applied an entry: what it has forwarded there is answered, or was replaced.
    pub(super) fn answer_forwarded(&mut self, id: NodeId, entry: &Entry) -> Result<(), Broken> {
        if self.subject.is_some() {
            return Ok(()); // Its commands are its own.
        }
        let value = match entry.payload() {
            Payload::Command(bytes) => Command::decode(bytes).map(|command| command.value),
            Payload::Blank | Payload::Membership { .. } | Payload::Restoration { .. } => None,
        };
        if let Some(value) = value {
            self.checks.applied(value, entry.index())?;
        }
        while let Some(first) = self
            .nodes
            .get_mut(&id)
            .and_then(|node| node.placed.first_entry())
            && *first.key() <= entry.id()
        {
            let (at, client) = first.remove_entry();
            if at != entry.id() {
                self.refuse_write(client);
                continue;
            }
            let written = self.clients.written.get(&client).copied();
            if written != value {
                let detail = format!("node {id} answers a write of {written:?} by {entry:?}");
                return broken("a forwarded write is answered by its own entry", detail);
            }
            self.write_applied(client, at, true, None)?;
        }
        Ok(())
    }

    /// A snapshot may hold what was forwarded, or not.
    pub(super) fn forget_placed(&mut self, id: NodeId, last: LogId) {
        while let Some(first) = self
            .nodes
            .get_mut(&id)
            .and_then(|node| node.placed.first_entry())
            && *first.key() <= last
        {
            let client = first.remove();
            self.finish(client, End::Unknown);
        }
    }
}
