//! The replicas of a user's machine, one for each node that is up.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::reference::{Reference, Who, judged};
use super::subject::Subject;
use super::workload::{Asked, Ending, Workload};
use crate::entry::{Entry, Payload};
use crate::id::{LogId, LogIndex, NodeId};
use crate::membership::Membership;
use crate::sim::chance::Chance;
use crate::sim::check::{Broken, Held};
use crate::sim::machine::Machine;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

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
    machine: Shared<M>,
    /// What it has applied.
    at: LogIndex,
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

    fn machine(&mut self, node: NodeId) -> Result<Box<dyn StateMachine>, Broken> {
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
        let machine = Shared(Arc::new(Mutex::new(fresh)));
        let replica = Replica {
            machine: machine.clone(),
            at: LogIndex::ZERO,
            since: None,
        };
        self.replicas.insert(node, replica);
        Ok(Box::new(machine))
    }

    fn restored(&mut self, node: NodeId, from: Option<LogId>) {
        if let Some(replica) = self.replicas.get_mut(&node) {
            replica.since = from;
            replica.at = from.map_or(LogIndex::ZERO, |from| from.index);
        }
    }

    fn applied(&mut self, node: NodeId, entries: &[Entry], responses: &[(LogId, Bytes)]) -> Held {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        for entry in entries {
            self.reference
                .extend(entry, &self.make, &mut self.workload)?;
        }
        let replica = self.replica(node)?;
        replica.at = last.index();
        let (who, machine) = (replica.who(node), replica.machine.clone());
        for (id, response) in responses {
            let entry = entries.iter().find(|entry| entry.id() == *id);
            if let Some(Payload::Command(command)) = entry.map(Entry::payload) {
                self.reference
                    .judge_response(&who, (*id, command), response, &self.workload)?;
            }
        }
        let mut machine = machine.lock();
        self.reference
            .judge_state(&who, last.index(), &mut machine, &self.workload)?;
        judged(self.workload.check_state(&machine))
    }

    fn read(&mut self, node: NodeId, client: u64) -> Result<Bytes, Broken> {
        let query = self.queries.remove(&client).unwrap_or_default();
        let Some(replica) = self.replicas.get(&node) else {
            return Ok(Bytes::new());
        };
        let answer = self.workload.read(&replica.machine.lock(), &query);
        let (who, at) = (replica.who(node), replica.at);
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

/// A machine that an applier owns, and the trial looks at.
struct Shared<M>(Arc<Mutex<M>>);

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, M> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Clone for Shared<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: StateMachine> StateMachine for Shared<M> {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        self.lock().apply(batch)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.lock().snapshot()
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        self.lock().restore(meta, from)
    }

    fn membership_changed(&mut self, at: LogId, membership: &Membership) {
        self.lock().membership_changed(at, membership);
    }

    fn may_block(&self) -> bool {
        self.lock().may_block()
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
