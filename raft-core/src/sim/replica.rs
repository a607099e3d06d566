//! The simulator's own machine, as a node's applier feeds it.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::machine::Machine;
use crate::id::{LogId, LogIndex};
use crate::membership::Membership;
use crate::node::applier::Position;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

/// A handle on the machine of one life of a node. The applier has another.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica(Arc<Mutex<Told>>);

/// The machine, and what it was told.
#[derive(Debug, Default)]
struct Told {
    machine: Machine,
    executed: Vec<Executed>,
    /// The membership that it was told of last.
    membership: Option<LogId>,
}

/// A command was executed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Executed {
    pub(super) index: LogIndex,
    /// What it wrote.
    pub(super) value: u64,
    /// Of the state after it.
    pub(super) hash: u32,
}

impl Replica {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, at this place in the log.
    pub(super) fn at(&self, position: &Position) -> Machine {
        let mut machine = self.told().machine.clone();
        machine.move_to(position);
        machine
    }

    /// The commands that were executed since the last call.
    pub(super) fn take_executed(&self) -> Vec<Executed> {
        std::mem::take(&mut self.told().executed)
    }

    /// Which membership it takes for the one in force.
    pub(super) fn membership(&self) -> Option<LogId> {
        self.told().membership
    }
}

impl StateMachine for Replica {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let told = &mut *self.told();
        let execute = |one: &Committed| {
            let written = told.machine.execute(one.id, one.time, &one.command);
            let value = written.unwrap_or_default();
            told.executed.push(Executed {
                index: one.id.index,
                value,
                hash: told.machine.hash,
            });
            Bytes::copy_from_slice(&value.to_le_bytes())
        };
        Ok(batch.iter().map(execute).collect())
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.told().machine.encode()))
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let machine = Machine::default().decoded(&bytes.into());
        let unreadable = || StateMachineError::new(format!("{meta} is no state of this machine"));
        self.told().machine = machine.ok_or_else(unreadable)?.restored();
        Ok(())
    }

    fn membership_changed(&mut self, at: LogId, _: &Membership) {
        self.told().membership = Some(at);
    }

    fn may_block(&self) -> bool {
        false
    }
}
