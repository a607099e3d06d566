//! The replicas of a user's machine, one for each node that is up.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::reference::{Reference, Who, judged};
use super::subject::Subject;
use super::workload::{Asked, Ending, Workload};
use crate::entry::{Entry, Payload};
use crate::id::{LogId, NodeId};
use crate::sim::chance::Chance;
use crate::sim::check::{Broken, Held};
use crate::sim::machine::Machine;
use crate::state_machine::{Committed, StateMachine, StateMachineError};

/// One run of a user's machine under a user's workload.
pub(in crate::sim) struct Trial<M, F, W> {
    make: F,
    workload: W,
    chance: Chance,
    replicas: BTreeMap<NodeId, Replica<M>>,
    reference: Reference<M>,
    /// What the clients wait to read.
    queries: BTreeMap<u64, Bytes>,
}

/// The machine of one life of a node.
struct Replica<M> {
    machine: M,
    position: Machine,
    /// The snapshot that it was restored from.
    since: Option<LogId>,
}

impl<M, F, W> Trial<M, F, W>
where
    M: StateMachine,
    F: Fn() -> M,
    W: Workload<M>,
{
    pub(in crate::sim) fn new(seed: u64, make: F, workload: W) -> Self {
        Self {
            reference: Reference::new(&make, Chance::new(seed, 41)),
            make,
            workload,
            chance: Chance::new(seed, 40),
            replicas: BTreeMap::new(),
            queries: BTreeMap::new(),
        }
    }

    fn replica(&mut self, node: NodeId) -> Result<&mut Replica<M>, Broken> {
        self.replicas.get_mut(&node).ok_or_else(|| Broken {
            property: "every node that is up has a machine",
            detail: format!("node {node} has none"),
        })
    }

    /// Applies commands that stand next to each other, as the node does.
    fn flush(
        &mut self,
        node: NodeId,
        batch: &mut Vec<Committed>,
        answered: &mut Vec<(LogId, Bytes)>,
    ) -> Held {
        if batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(batch);
        let replica = self.replica(node)?;
        let who = replica.who(node);
        let responses = replica.machine.apply(&batch);
        let responses = responses.map_err(|error| failed("apply", &error))?;
        if responses.len() != batch.len() {
            return Err(miscounted(responses.len(), batch.len()));
        }
        for (committed, response) in batch.into_iter().zip(responses) {
            self.reference
                .judge_response(&who, &committed, &response, &self.workload)?;
            answered.push((committed.id, response));
        }
        Ok(())
    }
}

impl<M, F, W> Subject for Trial<M, F, W>
where
    M: StateMachine,
    F: Fn() -> M,
    W: Workload<M>,
{
    fn next(&mut self, client: u64) -> Asked {
        let asked = self.workload.next(client, &mut self.chance).0;
        if let Asked::Read(query) = &asked {
            self.queries.insert(client, query.clone());
        }
        asked
    }

    fn start(&mut self, node: NodeId, from: &Machine) -> Held {
        let fresh = (self.make)();
        if let Some(kept) = fresh.last_applied() {
            return Err(Broken {
                property: "a machine starts empty",
                detail: format!(
                    "a fresh machine says that it has applied through {kept}: the simulator keeps no \
                     disk for machines, so give it one that keeps its state in memory"
                ),
            });
        }
        let replica = Replica {
            machine: restored(fresh, from)?,
            position: from.clone(),
            since: from.saved.is_some().then_some(from.last.id),
        };
        self.replicas.insert(node, replica);
        Ok(())
    }

    fn apply(&mut self, node: NodeId, entries: &[Entry]) -> Result<Vec<(LogId, Bytes)>, Broken> {
        let (mut batch, mut answered) = (Vec::new(), Vec::new());
        for entry in entries {
            self.reference
                .extend(entry, &self.make, &mut self.workload)?;
            let replica = self.replica(node)?;
            replica.position.apply(entry);
            match entry.payload() {
                // Backups are restored only in lives of the simulator's own machine.
                Payload::Blank | Payload::Restoration { .. } => {}
                Payload::Command(command) => batch.push(Committed {
                    id: entry.id(),
                    time: entry.time(),
                    command: command.clone(),
                }),
                Payload::Membership { membership, .. } => {
                    self.flush(node, &mut batch, &mut answered)?;
                    let replica = self.replica(node)?;
                    replica.machine.membership_changed(entry.id(), membership);
                }
            }
        }
        self.flush(node, &mut batch, &mut answered)?;
        let Some(replica) = self.replicas.get_mut(&node) else {
            return Ok(answered);
        };
        let (who, at) = (replica.who(node), replica.position.applied());
        self.reference
            .judge_state(&who, at, &mut replica.machine, &self.workload)?;
        judged(self.workload.check_state(&replica.machine))?;
        Ok(answered)
    }

    fn snapshot(&mut self, node: NodeId) -> Result<Bytes, Broken> {
        snapshot_of(&mut self.replica(node)?.machine)
    }

    fn read(&mut self, node: NodeId, client: u64) -> Result<Bytes, Broken> {
        let query = self.queries.remove(&client).unwrap_or_default();
        let Some(replica) = self.replicas.get(&node) else {
            return Ok(Bytes::new());
        };
        let answer = self.workload.read(&replica.machine, &query);
        let (who, at) = (replica.who(node), replica.position.applied());
        let read = (&query, &answer);
        self.reference
            .judge_read(&who, at, read, &mut self.workload)?;
        Ok(answer)
    }

    fn ended(&mut self, client: u64, ending: &Ending<'_>) {
        self.workload.ended(client, ending);
    }

    fn round_trips(&self) -> u64 {
        self.reference.round_trips
    }
}

impl<M> Replica<M> {
    fn who(&self, node: NodeId) -> Who {
        Who {
            node,
            since: self.since,
        }
    }
}

impl<M, F, W> fmt::Debug for Trial<M, F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").finish_non_exhaustive()
    }
}

/// The machine after the snapshot `from`; as it is, if that is none.
pub(super) fn restored<M: StateMachine>(mut machine: M, from: &Machine) -> Result<M, Broken> {
    let (Some(bytes), Some(meta)) = (&from.saved, from.meta()) else {
        return Ok(machine);
    };
    let mut rest = bytes.as_ref();
    machine
        .restore(&meta, &mut rest)
        .map_err(|error| failed("restore", &error))?;
    let header = meta.header;
    machine.membership_changed(header.membership_at, &header.membership);
    Ok(machine)
}

pub(super) fn snapshot_of(machine: &mut impl StateMachine) -> Result<Bytes, Broken> {
    let mut bytes = Vec::new();
    let view = machine.snapshot();
    view.and_then(|view| view.write(&mut bytes))
        .map_err(|error| failed("snapshot", &error))?;
    Ok(bytes.into())
}

/// A machine that cannot go on would stop its node.
pub(super) fn failed(call: &str, error: &StateMachineError) -> Broken {
    Broken {
        property: "the machine goes on",
        detail: format!("{call} fails: {error}"),
    }
}

pub(super) fn miscounted(responses: usize, commands: usize) -> Broken {
    Broken {
        property: "one response for each command",
        detail: format!("apply returns {responses} responses to {commands} commands"),
    }
}
