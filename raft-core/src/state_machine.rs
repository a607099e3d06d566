//! The contract of the state machine: the one trait that a user implements.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::id::LogId;
use crate::membership::Membership;
use crate::snapshot::SnapshotMeta;
use crate::time::ClusterTime;

/// What is replicated: a deterministic machine that every member feeds with the same commands in
/// the same order (thesis §2.1).
///
/// **Thread.** One thread owns the machine and makes every call; calls may block as long as
/// [`StateMachine::may_block`] is true.
///
/// **Determinism.** The effect of a command depends on the machine's state, the command, its id
/// and its time alone: no clock, no randomness, no iteration over hashed maps.
///
/// **Effects outside.** Every member applies every command, and a machine that keeps nothing on disk
/// applies those after its snapshot again when it starts. What must happen once in the world, as a
/// mail or a payment, is not done here: the proposer does it once it has the answer, or somebody who
/// reads it from the state.
pub trait StateMachine: Send + 'static {
    /// Applies commands in log order and returns one response for each.
    ///
    /// The indexes rise but have gaps where the log holds Raft's own entries. A command that is
    /// merely wrong has a response that says so; an error is for a machine that cannot go on.
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node: a replica that skipped a command would diverge.
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError>;

    /// A frozen view of the state after the last applied command. Cheap: it is written out on
    /// another thread while the machine goes on.
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node.
    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError>;

    /// Replaces the whole state by a snapshot. On an error the machine is not used again.
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node.
    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError>;

    /// How to find out whether a machine of this kind could [restore](StateMachine::restore) some bytes.
    /// Whoever restores a backup in a running group has it checked before the log holds all of it; one
    /// that fails is given up, and the group goes on. A state with which a group is founded is checked
    /// before the stores hold anything of it; one that fails founds nothing. By default nothing is checked,
    /// and what the machine cannot restore stops every member, or fails every start.
    ///
    /// Called when the node starts, and not later.
    fn restore_check(&self) -> Option<RestoreCheck> {
        None
    }

    /// The last command whose effect is durable in a machine that keeps its state on disk; `None`
    /// for one that starts empty. Commands after it are applied again after a restart.
    fn last_applied(&self) -> Option<LogId> {
        None
    }

    /// The membership changed. Called in log order, between batches.
    fn membership_changed(&mut self, at: LogId, membership: &Membership) {
        let _ = (at, membership);
    }

    /// Whether [`StateMachine::apply`] may block or compute for long. Where this is false (a map in
    /// memory), the node applies on its event loop and saves two hops between threads a write.
    fn may_block(&self) -> bool {
        true
    }
}

/// A committed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Which entry.
    pub id: LogId,
    /// The group's time when the leader took the command: use it instead of a clock.
    pub time: ClusterTime,
    /// What was proposed.
    pub command: Bytes,
}

/// A frozen state that can be written once, on any thread.
pub struct SnapshotView {
    write: WriteOnce,
}

type WriteOnce = Box<dyn FnOnce(&mut dyn Write) -> Result<(), StateMachineError> + Send>;

/// Finds out whether a machine could restore some bytes, apart from any machine that is at work.
#[derive(Clone)]
pub struct RestoreCheck {
    check: Arc<Check>,
}

type Check = dyn Fn(&SnapshotMeta, &mut dyn Read) -> Result<(), StateMachineError> + Send + Sync;

/// Why a state machine cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateMachineError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SnapshotView {
    /// A view that `write` writes out.
    pub fn new<F>(write: F) -> Self
    where
        F: FnOnce(&mut dyn Write) -> Result<(), StateMachineError> + Send + 'static,
    {
        Self {
            write: Box::new(write),
        }
    }

    /// A view whose bytes are there already.
    pub fn of_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(move |out| Ok(out.write_all(&bytes)?))
    }

    /// Writes the state.
    ///
    /// # Errors
    /// [`StateMachineError`] of the machine or of `out`.
    pub fn write(self, out: &mut dyn Write) -> Result<(), StateMachineError> {
        (self.write)(out)
    }
}

impl RestoreCheck {
    /// A check by `check`, which is given what [`StateMachine::restore`] would be given, but for a
    /// description that is still of the entry where the backup was taken. It may restore a machine that
    /// is then dropped, or only look at the beginning. It may block: it runs on a thread that does nothing
    /// else meanwhile.
    pub fn new<F>(check: F) -> Self
    where
        F: Fn(&SnapshotMeta, &mut dyn Read) -> Result<(), StateMachineError>,
        F: Send + Sync + 'static,
    {
        Self {
            check: Arc::new(check),
        }
    }

    /// Checks the bytes that `from` gives. It need not read them all.
    ///
    /// # Errors
    /// [`StateMachineError`] if a machine would fail to restore them.
    pub fn check(&self, meta: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        (self.check)(meta, from)
    }
}

impl fmt::Debug for RestoreCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreCheck").finish_non_exhaustive()
    }
}

impl fmt::Debug for SnapshotView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotView").finish_non_exhaustive()
    }
}

impl StateMachineError {
    /// Wraps a cause.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl From<std::io::Error> for StateMachineError {
    fn from(cause: std::io::Error) -> Self {
        Self::new(cause)
    }
}
