//! What a user tells the simulator about a machine: what its clients do, and what to expect of it.

use bytes::Bytes;
use serde::Serialize;

use crate::codec;
use crate::id::LogId;
use crate::sim::chance::Chance;
use crate::state_machine::{StateMachine, StateMachineError};
use crate::time::ClusterTime;

/// What clients do to a machine `M`, and how it is judged. See [the chapter of the
/// manual](crate::manual::simulate_your_own_machine) for an example.
///
/// A workload is a value that is cloned for every run. Like the machine, it must not use a clock,
/// or chance of its own: whoever runs a seed again wants to see the same.
pub trait Workload<M: StateMachine>: Clone + 'static {
    /// What a client does next. A client has one operation under way at a time; there are at most
    /// six, numbered from zero.
    fn next(&mut self, client: u64, chance: &mut Chance) -> Operation;

    /// Answers a query from a machine's state, and from nothing else. Needed by workloads that
    /// [read](Operation::read).
    fn read(&self, machine: &M, query: &[u8]) -> Bytes {
        let _ = (machine, query);
        Bytes::new()
    }

    /// Judges what was observed; called in log order, for each command once. A workload that keeps
    /// a model of the machine compares it here, and so checks linearizability against the model.
    ///
    /// # Errors
    /// What is wrong, in words: it ends the run as a violation.
    fn check(&mut self, observed: &Observed<'_>) -> Result<(), String> {
        let _ = observed;
        Ok(())
    }

    /// Judges the state of a machine: what always holds in it. Called for each replica after each
    /// batch of commands.
    ///
    /// # Errors
    /// What does not hold, in words: it ends the run as a violation.
    fn check_state(&self, machine: &M) -> Result<(), String> {
        let _ = machine;
        Ok(())
    }

    /// What is known of the operation that `client` had under way.
    fn ended(&mut self, client: u64, ending: &Ending<'_>) {
        let _ = (client, ending);
    }

    /// Bytes that are equal for equal states: the snapshot, unless a machine writes equal states
    /// in different ways.
    ///
    /// # Errors
    /// [`StateMachineError`] of the machine.
    fn state(&self, machine: &mut M) -> Result<Bytes, StateMachineError> {
        let mut bytes = Vec::new();
        machine.snapshot()?.write(&mut bytes)?;
        Ok(bytes.into())
    }

    /// A command in words, for the story of a violation.
    fn show_command(&self, command: &[u8]) -> String {
        shown(command)
    }

    /// A response or an answer to a query in words, for the story of a violation.
    fn show_response(&self, response: &[u8]) -> String {
        shown(response)
    }
}

/// Something that a client does.
#[derive(Clone, Debug)]
pub struct Operation(pub(super) Asked);

/// What is asked of the cluster.
#[derive(Clone, Debug)]
pub(in crate::sim) enum Asked {
    Command(Bytes),
    Read(Bytes),
    Nothing,
    Unencodable(String),
}

/// What a workload judges.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// A command was applied, whoever waits for it or does not.
    Applied {
        /// Its entry.
        id: LogId,
        /// The group's time when the leader took it.
        time: ClusterTime,
        /// What was proposed.
        command: &'a Bytes,
        /// What the machine made of it.
        response: &'a Bytes,
    },
    /// A read was answered from the state after the last command that was observed. Reads that
    /// reflect an earlier state are not told.
    Read {
        /// What was asked.
        query: &'a Bytes,
        /// The answer.
        answer: &'a Bytes,
    },
}

/// What a client learns of its operation.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// The command was applied.
    Applied {
        /// Its entry.
        id: LogId,
        /// The machine's response.
        response: &'a Bytes,
    },
    /// The answer to the read.
    Read(&'a Bytes),
    /// It was not carried out, and never will be.
    NotApplied,
    /// No answer came. A command may have been applied, or may be later.
    Unknown,
}

impl Operation {
    /// Proposes a command.
    pub fn command(bytes: impl Into<Bytes>) -> Self {
        Self(Asked::Command(bytes.into()))
    }

    /// Proposes a command of a [typed](crate::typed) machine. One that cannot be encoded ends the
    /// run as a violation.
    pub fn typed(command: &impl Serialize) -> Self {
        Self(match codec::encode("command", command) {
            Ok(bytes) => Asked::Command(bytes.into()),
            Err(error) => Asked::Unencodable(error.to_string()),
        })
    }

    /// Reads what [`Workload::read`] says, linearizable.
    pub fn read(query: impl Into<Bytes>) -> Self {
        Self(Asked::Read(query.into()))
    }

    /// Does nothing until the client's next turn.
    pub fn nothing() -> Self {
        Self(Asked::Nothing)
    }
}

/// Bytes as a person can read them, cut where they are long.
fn shown(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 120;
    let head = bytes.get(..BYTES_MAX).unwrap_or(bytes);
    let dots = if head.len() < bytes.len() { ".." } else { "" };
    format!("\"{}\"{dots}", head.escape_ascii())
}
