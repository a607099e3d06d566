//! The state machine that Raft feeds.

use std::io::Read;

use bytes::Bytes;
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

use super::state::{KvState, SharedState};

/// Applies commands to a [`SharedState`].
///
/// It says that it may block: taking a snapshot copies the index of all keys, and a reader may
/// hold the lock, neither of which may delay heartbeats.
#[derive(Debug, Default)]
pub struct KvMachine {
    state: SharedState,
}

impl KvMachine {
    /// A machine without keys, and its state for readers.
    pub fn new() -> (Self, SharedState) {
        let state = SharedState::default();
        let machine = Self {
            state: state.clone(),
        };
        (machine, state)
    }
}

impl StateMachine for KvMachine {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut state = self.state.write();
        let effects = batch
            .iter()
            .map(|committed| state.apply(committed.id, &committed.command).encode());
        Ok(effects.collect())
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        // Keys and values are shared with the copy, which costs an index of pointers.
        let frozen: KvState = self.state.read().clone();
        Ok(SnapshotView::new(move |out| Ok(frozen.write(out)?)))
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        let restored = KvState::read(meta.id(), from)?;
        *self.state.write() = restored;
        Ok(())
    }
}
