//! The wrapper around a state machine.

use std::fmt;
use std::io::Read;

use ::bytes::Bytes;

use super::batch::Batch;
use super::durable::{DurableSessions, RecordsOf, SessionRecord};
use super::saved;
use super::table::Table;
use crate::consensus::mutant::{Mutant, mutant};
use crate::id::LogId;
use crate::membership::Membership;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{
    Committed, RestoreCheck, SnapshotView, StateMachine, StateMachineError,
};

/// Makes a machine apply each command of a session exactly once. See [`crate::sessions`].
///
/// Every command has to come from a [`super::SessionClient`] or from [`super::plain`]; others get
/// a reply that says that they are malformed, and are not applied. All members of a group run
/// with this wrapper from their first entry on.
///
/// In [`StateMachine::restore`] the machine reads its own bytes; the meta it is given has their
/// size, and the checksum of the whole snapshot.
pub struct Sessions<M> {
    machine: M,
    table: Table,
    keeping: Keeping<M>,
}

/// How a machine keeps the table, if it does.
struct Keeping<M> {
    apply: Apply<M>,
    restore: Restore<M>,
}

type Apply<M> = fn(&mut M, &Batch, LogId, &mut Table) -> Result<Vec<Bytes>, StateMachineError>;
type Restore<M> = fn(&mut M, &SnapshotMeta, &mut dyn Read, &Table) -> Result<(), StateMachineError>;

impl<M: StateMachine> Sessions<M> {
    /// For a machine in memory: the table lives in memory too, and in the snapshots.
    pub fn new(machine: M) -> Self {
        Self {
            machine,
            table: Table::default(),
            keeping: Keeping {
                apply: apply_in_memory,
                restore: |machine, meta, from, _| machine.restore(meta, from),
            },
        }
    }

    /// The machine itself.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// How many sessions are open.
    pub fn count(&self) -> usize {
        self.table.iter().len()
    }

    #[cfg(test)]
    pub(super) fn table_for_tests(&self) -> &Table {
        &self.table
    }
}

impl<M: DurableSessions> Sessions<M> {
    /// For a machine that keeps its state, and the table with it.
    ///
    /// # Errors
    /// [`StateMachineError`] if the table cannot be read, or is damaged.
    pub fn durable(machine: M) -> Result<Self, StateMachineError> {
        Ok(Self {
            table: saved::from_records(machine.sessions()?)?,
            machine,
            keeping: Keeping {
                apply: apply_durably,
                restore: restore_durably,
            },
        })
    }
}

impl<M: StateMachine> StateMachine for Sessions<M> {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let Some(through) = batch.last().map(|committed| committed.id) else {
            return Ok(Vec::new());
        };
        let mut taken = Batch::default();
        for committed in batch {
            taken.take(&mut self.table, committed)?;
        }
        let apply = self.keeping.apply;
        let responses = apply(&mut self.machine, &taken, through, &mut self.table)?;
        Ok(taken.replies(&responses))
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        let table = self.table.clone();
        let machine = self.machine.snapshot()?;
        Ok(SnapshotView::new(move |out| {
            saved::write_table(&table, out)?;
            machine.write(out)
        }))
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        let (mut table, bytes) = saved::read_table(from)?;
        if mutant(Mutant::SessionsNotSaved) {
            table = Table::default();
        }
        table.end_after(meta.id().index);
        let meta = SnapshotMeta {
            size: meta.size.saturating_sub(bytes),
            ..meta.clone()
        };
        (self.keeping.restore)(&mut self.machine, &meta, from, &table)?;
        self.table = table;
        Ok(())
    }

    /// At least, whether there is a table of sessions before the machine's own bytes.
    fn restore_check(&self) -> Option<RestoreCheck> {
        let machine = self.machine.restore_check();
        Some(RestoreCheck::new(move |meta, from| {
            let (_, bytes) = saved::read_table(from)?;
            let meta = SnapshotMeta {
                size: meta.size.saturating_sub(bytes),
                ..meta.clone()
            };
            match &machine {
                Some(check) => check.check(&meta, from),
                None => Ok(()),
            }
        }))
    }

    fn last_applied(&self) -> Option<LogId> {
        self.machine.last_applied()
    }

    fn membership_changed(&mut self, at: LogId, membership: &Membership) {
        self.machine.membership_changed(at, membership);
    }

    fn may_block(&self) -> bool {
        self.machine.may_block()
    }
}

impl<M: fmt::Debug> fmt::Debug for Sessions<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("machine", &self.machine)
            .field("sessions", &self.table.iter().len())
            .finish_non_exhaustive()
    }
}

fn apply_in_memory<M: StateMachine>(
    machine: &mut M,
    batch: &Batch,
    _: LogId,
    table: &mut Table,
) -> Result<Vec<Bytes>, StateMachineError> {
    let kept = machine.last_applied();
    let responses = match batch.commands.as_slice() {
        [] => Vec::new(),
        commands => machine.apply(commands)?,
    };
    if let Some(kept) = kept.or_else(|| machine.last_applied()) {
        return Err(StateMachineError::new(format!(
            "the machine keeps its state itself (through entry {kept}) and would forget its sessions: \
             implement DurableSessions, and use Sessions::durable"
        )));
    }
    batch.settle(table, &responses)?;
    table.take_changed();
    Ok(responses)
}

fn apply_durably<M: DurableSessions>(
    machine: &mut M,
    batch: &Batch,
    through: LogId,
    table: &mut Table,
) -> Result<Vec<Bytes>, StateMachineError> {
    let mut records = |responses: &[Bytes]| {
        batch.settle(table, responses)?;
        let changed = table.take_changed();
        changed
            .into_iter()
            .map(|id| saved::record(table, id))
            .collect()
    };
    let records: &mut RecordsOf<'_> = &mut records;
    machine.apply_with_sessions(&batch.commands, through, records)
}

fn restore_durably<M: DurableSessions>(
    machine: &mut M,
    meta: &SnapshotMeta,
    from: &mut dyn Read,
    table: &Table,
) -> Result<(), StateMachineError> {
    let records = table.iter().map(|(id, _)| saved::record(table, id));
    let records: Vec<SessionRecord> = records.collect::<Result<_, _>>()?;
    machine.restore_with_sessions(meta, from, &records)
}
