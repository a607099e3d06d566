//! The state machine of the benchmark: it counts.

use std::io::Read;

use bytes::Bytes;
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

/// Counts commands, so that what is measured is Raft and not the application.
#[derive(Debug, Default)]
pub(super) struct Sink {
    commands: u64,
}

impl StateMachine for Sink {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        self.commands += batch.len() as u64;
        Ok(vec![Bytes::new(); batch.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.commands.to_le_bytes().to_vec()))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut commands = [0; 8];
        from.read_exact(&mut commands)?;
        self.commands = u64::from_le_bytes(commands);
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }
}
