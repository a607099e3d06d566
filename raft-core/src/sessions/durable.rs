//! For machines that keep their state on disk: the table belongs into their transactions.

use std::io::Read;

use ::bytes::Bytes;

use super::SessionId;
use crate::id::LogId;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{Committed, StateMachine, StateMachineError};

/// A machine that keeps its own state, and the session table with it.
///
/// What it must do with a [`SessionRecord`] is to store its bytes under its session, in place of
/// what was there, or to remove what was there if it has none. Everything that one call hands
/// over is stored in one transaction with the call's effect, or a crash between the two applies a
/// command twice or never.
///
/// [`StateMachine::last_applied`] must report the `through` of the last transaction: it may name a
/// command that only the table has seen.
pub trait DurableSessions: StateMachine {
    /// As [`StateMachine::apply`], in one transaction with the records that `sessions` returns for
    /// the responses, and with `through`. The batch may be empty.
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node; those of `sessions` are passed on.
    fn apply_with_sessions(
        &mut self,
        batch: &[Committed],
        through: LogId,
        sessions: &mut RecordsOf<'_>,
    ) -> Result<Vec<Bytes>, StateMachineError>;

    /// As [`StateMachine::restore`], and replaces every record by `sessions`.
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node.
    fn restore_with_sessions(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
        sessions: &[SessionRecord],
    ) -> Result<(), StateMachineError>;

    /// Every record that is stored.
    ///
    /// # Errors
    /// [`StateMachineError`] if they cannot be read.
    fn sessions(&self) -> Result<Vec<SessionRecord>, StateMachineError>;
}

/// Which records change with these responses of the machine.
pub type RecordsOf<'a> = dyn FnMut(&[Bytes]) -> Result<Vec<SessionRecord>, StateMachineError> + 'a;

/// One session of the table, as a durable machine stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Which session.
    pub session: SessionId,
    /// Its state, opaque and with a checksum; `None` once it is gone.
    pub state: Option<Vec<u8>>,
}
