//! One machine that no fault ever touches, by which the replicas are judged.
//!
//! It applies every committed command once, in log order, one at a time. Beside it a double does the
//! same, which shows whether the machine is deterministic at all; and a twin, which is replaced now
//! and then by a fresh machine that was restored from a snapshot: nobody must be able to tell the
//! two from the original.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::trial::{failed, miscounted, restored, snapshot_of};
use super::workload::{Observed, Workload};
use crate::entry::{Entry, Payload};
use crate::id::{LogId, LogIndex, NodeId};
use crate::sim::chance::Chance;
use crate::sim::check::{Broken, Held, broken};
use crate::sim::machine::Machine;
use crate::state_machine::{Committed, StateMachine};

/// What the committed log makes of a fresh machine.
pub(super) struct Reference<M> {
    original: M,
    double: M,
    twin: M,
    /// The snapshot that the twin was restored from.
    twin_since: Option<LogId>,
    /// Where in the log the machines are.
    position: Machine,
    chance: Chance,
    responses: BTreeMap<LogIndex, Bytes>,
    /// The checksum of the state after each entry.
    states: BTreeMap<LogIndex, u32>,
    pub(super) round_trips: u64,
}

/// The twin is restored about once in so many commands.
const ROUND_TRIP_EVERY: u64 = 8;

impl<M: StateMachine> Reference<M> {
    pub(super) fn new(make: &impl Fn() -> M, chance: Chance) -> Self {
        Self {
            original: make(),
            double: make(),
            twin: make(),
            twin_since: None,
            position: Machine::default(),
            chance,
            responses: BTreeMap::new(),
            states: BTreeMap::new(),
            round_trips: 0,
        }
    }

    pub(super) fn index(&self) -> LogIndex {
        self.position.applied()
    }

    /// The next committed entry, unless it is known.
    pub(super) fn extend<W: Workload<M>>(
        &mut self,
        entry: &Entry,
        make: &impl Fn() -> M,
        workload: &mut W,
    ) -> Held {
        if entry.index() <= self.index() {
            return Ok(());
        }
        let is_command = matches!(entry.payload(), Payload::Command(_));
        if is_command && self.chance.below(ROUND_TRIP_EVERY) == 0 {
            self.replace_twin(make)?;
        }
        self.position.apply(entry);
        match entry.payload() {
            Payload::Blank | Payload::Restoration { .. } => {}
            Payload::Command(command) => {
                let committed = Committed {
                    id: entry.id(),
                    time: entry.time(),
                    command: command.clone(),
                };
                self.command(&committed, workload)?;
            }
            Payload::Membership { membership, .. } => {
                for machine in [&mut self.original, &mut self.double, &mut self.twin] {
                    machine.membership_changed(entry.id(), membership);
                }
            }
        }
        let state = checksum(workload, &mut self.original)?;
        self.states.insert(entry.index(), state);
        if checksum(workload, &mut self.double)? != state {
            return double_differs(entry.id(), "has another state than");
        }
        if checksum(workload, &mut self.twin)? != state {
            return self.twin_differs(entry.id(), "has another state than");
        }
        Ok(())
    }

    fn command<W: Workload<M>>(&mut self, committed: &Committed, workload: &mut W) -> Held {
        let id = committed.id;
        let ours = apply_one(&mut self.original, committed)?;
        let doubles = apply_one(&mut self.double, committed)?;
        let twins = apply_one(&mut self.twin, committed)?;
        let answers = |other: &Bytes| {
            let (ours, other) = (workload.show_response(&ours), workload.show_response(other));
            let command = workload.show_command(&committed.command);
            format!("answers {other} to {command}, and not {ours}, like")
        };
        if ours != doubles {
            return double_differs(id, &answers(&doubles));
        }
        if ours != twins {
            return self.twin_differs(id, &answers(&twins));
        }
        let observed = Observed::Applied {
            id,
            time: committed.time,
            command: &committed.command,
            response: &ours,
        };
        judged(workload.check(&observed))?;
        self.responses.insert(id.index, ours);
        Ok(())
    }

    /// The twin is one that was restored from a snapshot of the original.
    fn replace_twin(&mut self, make: &impl Fn() -> M) -> Held {
        let mut position = self.position.clone();
        position.saved = Some(snapshot_of(&mut self.original)?);
        self.twin = restored(make(), &position)?;
        self.twin_since = Some(position.last.id);
        self.round_trips += 1;
        Ok(())
    }

    fn twin_differs(&self, at: LogId, how: &str) -> Held {
        let Some(since) = self.twin_since else {
            return double_differs(at, how);
        };
        let detail = format!(
            "at entry {at}, a machine that was restored from a snapshot of entry {since} {how} one \
             that was never restored"
        );
        broken("snapshot round trip", detail)
    }

    /// Judges a replica's response.
    pub(super) fn judge_response<W: Workload<M>>(
        &self,
        who: &Who,
        (id, command): (LogId, &Bytes),
        response: &Bytes,
        workload: &W,
    ) -> Held {
        match self.responses.get(&id.index) {
            Some(expected) if expected != response => {
                let detail = format!(
                    "{who} answers {} to {}, which is entry {}; a fresh machine that was given the \
                     whole log answers {}",
                    workload.show_response(response),
                    workload.show_command(command),
                    id,
                    workload.show_response(expected),
                );
                broken(who.property(), detail)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Judges a replica's state.
    pub(super) fn judge_state<W: Workload<M>>(
        &self,
        who: &Who,
        at: LogIndex,
        machine: &mut M,
        workload: &W,
    ) -> Held {
        let state = checksum(workload, machine)?;
        match self.states.get(&at) {
            Some(expected) if *expected != state => {
                let detail = format!(
                    "after entry {at}, {who} has another state than a fresh machine that was given \
                     the whole log"
                );
                broken(who.property(), detail)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Judges the answer to a read from a replica that has applied through `at`.
    pub(super) fn judge_read<W: Workload<M>>(
        &self,
        who: &Who,
        at: LogIndex,
        (query, answer): (&Bytes, &Bytes),
        workload: &mut W,
    ) -> Held {
        let ours = workload.read(&self.original, query);
        let twins = workload.read(&self.twin, query);
        let asked = workload.show_command(query);
        let (shown, twins_shown) = (
            workload.show_response(&ours),
            workload.show_response(&twins),
        );
        if ours != twins {
            let how = format!("reads {twins_shown} for {asked}, and not {shown}, like");
            return self.twin_differs(self.position.last.id, &how);
        }
        if at != self.index() {
            return Ok(());
        }
        if *answer != ours {
            let answer = workload.show_response(answer);
            let detail = format!(
                "{who} reads {answer} for {asked} after entry {at}; a fresh machine that was given \
                 the whole log reads {shown}"
            );
            return broken(who.property(), detail);
        }
        judged(workload.check(&Observed::Read { query, answer }))
    }
}

/// A replica that is judged.
pub(super) struct Who {
    pub(super) node: NodeId,
    pub(super) since: Option<LogId>,
}

impl Who {
    fn property(&self) -> &'static str {
        match self.since {
            Some(_) => "snapshot round trip",
            None => DETERMINISM,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.node)?;
        match self.since {
            Some(since) => write!(f, " (restored from the snapshot at entry {since})"),
            None => Ok(()),
        }
    }
}

const DETERMINISM: &str = "determinism of the machine";

fn double_differs(at: LogId, how: &str) -> Held {
    let detail =
        format!("at entry {at}, a machine {how} another one that was given the same commands");
    broken(DETERMINISM, detail)
}

/// What the workload says.
pub(super) fn judged(judgement: Result<(), String>) -> Held {
    judgement.or_else(|why| broken("the workload's own check", why))
}

fn apply_one<M: StateMachine>(machine: &mut M, committed: &Committed) -> Result<Bytes, Broken> {
    let mut responses = machine
        .apply(std::slice::from_ref(committed))
        .map_err(|error| failed("apply", &error))?;
    match (responses.pop(), responses.is_empty()) {
        (Some(response), true) => Ok(response),
        _ => Err(miscounted(responses.len(), 1)),
    }
}

fn checksum<M: StateMachine, W: Workload<M>>(workload: &W, machine: &mut M) -> Result<u32, Broken> {
    let state = workload.state(machine);
    state
        .map(|state| crc32c::crc32c(&state))
        .map_err(|error| failed("snapshot", &error))
}
