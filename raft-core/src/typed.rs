//! Commands and responses as Rust types instead of bytes: one adapter at the rim.
//!
//! A [`Machine`] applies its own command type; [`Typed`] makes it a [`StateMachine`], and
//! [`TypedNode`] proposes to it. Both sides encode with [`crate::codec`], so a command takes at
//! most [`CONTROL_BYTES_MAX`] encoded; machines with larger commands implement
//! [`StateMachine`] themselves, and need not copy them.
//!
//! A command's encoding is stored in the log, and read again after an upgrade: add variants to an
//! enum at its end, and never change or remove one that was ever proposed.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::ops::Deref;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CONTROL_BYTES_MAX, CodecError};
use crate::id::LogId;
use crate::membership::Membership;
use crate::node::{Node, Outcome, ProposeError, ProposeOptions};
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{
    Committed, RestoreCheck, SnapshotView, StateMachine, StateMachineError,
};
use crate::time::ClusterTime;

/// A deterministic machine with commands and responses of its own types. See [`StateMachine`] for
/// the contract; what is said there of bytes holds here for values.
pub trait Machine: Send + 'static {
    /// What is replicated.
    type Command: Serialize + DeserializeOwned;
    /// What the proposer gets back.
    type Response: Serialize + DeserializeOwned;

    /// Applies one command. It cannot fail: a command that is merely wrong has a response that says
    /// so.
    fn apply(&mut self, at: At, command: Self::Command) -> Self::Response;

    /// A frozen view of the state; see [`StateMachine::snapshot`].
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node.
    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError>;

    /// Replaces the whole state by a snapshot; see [`StateMachine::restore`].
    ///
    /// # Errors
    /// [`StateMachineError`] stops the node.
    fn restore(&mut self, from: &mut dyn Read) -> Result<(), StateMachineError>;

    /// See [`StateMachine::last_applied`].
    fn last_applied(&self) -> Option<LogId> {
        None
    }

    /// See [`StateMachine::membership_changed`].
    fn membership_changed(&mut self, at: LogId, membership: &Membership) {
        let _ = (at, membership);
    }

    /// See [`StateMachine::restore_check`].
    fn restore_check(&self) -> Option<RestoreCheck> {
        None
    }

    /// See [`StateMachine::may_block`].
    fn may_block(&self) -> bool {
        true
    }
}

/// Where a command stands, the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Its entry.
    pub id: LogId,
    /// The group's time when the leader took it: use it instead of a clock.
    pub time: ClusterTime,
}

/// Makes a [`Machine`] a [`StateMachine`].
///
/// A committed command that cannot be decoded stops the node: it was proposed by a later version
/// of the program, and a replica that skipped it would diverge.
#[derive(Clone, Debug)]
pub struct Typed<M>(pub M);

/// A node whose state machine is a [`Typed`] one. Everything but proposing is [`Node`]'s own.
pub struct TypedNode<M> {
    node: Node,
    machine: PhantomData<fn() -> M>,
}

/// Why a typed command was not applied, as far as is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// The command could not be encoded, or the response not be decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The node refused it, or lost track of it.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

impl<M: Machine> StateMachine for Typed<M> {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut responses = Vec::with_capacity(batch.len());
        for Committed { id, time, command } in batch {
            let command = codec::decode("command", command).map_err(StateMachineError::new)?;
            let at = At {
                id: *id,
                time: *time,
            };
            let response = self.0.apply(at, command);
            let response = codec::encode("response", &response).map_err(StateMachineError::new)?;
            responses.push(response.into());
        }
        Ok(responses)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.0.snapshot()
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        self.0.restore(from)
    }

    fn restore_check(&self) -> Option<RestoreCheck> {
        self.0.restore_check()
    }

    fn last_applied(&self) -> Option<LogId> {
        self.0.last_applied()
    }

    fn membership_changed(&mut self, at: LogId, membership: &Membership) {
        self.0.membership_changed(at, membership);
    }

    fn may_block(&self) -> bool {
        self.0.may_block()
    }
}

impl<M: Machine> TypedNode<M> {
    /// Wraps the handle of a node that was built with a `Typed<M>`.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            machine: PhantomData,
        }
    }

    /// Replicates a command, and returns its entry and the machine's response. See
    /// [`Node::propose`].
    ///
    /// # Errors
    /// [`TypedError`], whose [outcome](TypedError::outcome) says whether the command may have been
    /// applied all the same.
    pub async fn propose(&self, command: &M::Command) -> Result<(LogId, M::Response), TypedError> {
        self.propose_with(command, ProposeOptions::new()).await
    }

    /// As [`TypedNode::propose`], with options. See [`Node::propose_with`].
    ///
    /// # Errors
    /// As [`TypedNode::propose`].
    pub async fn propose_with(
        &self,
        command: &M::Command,
        options: ProposeOptions,
    ) -> Result<(LogId, M::Response), TypedError> {
        let applied = self.node.propose_with(encoded(command)?, options).await?;
        Ok((applied.id, codec::decode("response", &applied.response)?))
    }
}

impl<M> Deref for TypedNode<M> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl<M> Clone for TypedNode<M> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
            machine: PhantomData,
        }
    }
}

impl<M> fmt::Debug for TypedNode<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedNode").field(&self.node).finish()
    }
}

impl TypedError {
    /// Whether the command may have been applied, or may be later.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Codec(CodecError::Unencodable { .. }) => Outcome::NeverApplied,
            // The response came, so the command was applied: to whom cannot read it, that is not
            // known.
            Self::Codec(_) => Outcome::Unknown,
            Self::Propose(error) => error.outcome(),
        }
    }
}

/// Encodes a command within the bound that every replica's decoder has. One beyond it must not get
/// into the log: no replica could apply it.
fn encoded<C: Serialize>(command: &C) -> Result<Bytes, TypedError> {
    let bytes = codec::encode("command", command)?;
    if bytes.len() > CONTROL_BYTES_MAX {
        return Err(TypedError::Propose(ProposeError::TooLarge {
            bytes: bytes.len(),
            bytes_max: CONTROL_BYTES_MAX,
        }));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_passes_the_encoder_passes_the_decoder() {
        // Values that are far smaller encoded than in memory must not trip the decoder's bound.
        let sparse: Vec<Option<[u64; 32]>> = vec![None; CONTROL_BYTES_MAX - 8];
        let bytes = encoded(&sparse).unwrap();
        let decoded: Vec<Option<[u64; 32]>> = codec::decode("command", &bytes).unwrap();
        assert_eq!(decoded.len(), sparse.len());
        let text = "x".repeat(CONTROL_BYTES_MAX - 8);
        let bytes = encoded(&text).unwrap();
        assert_eq!(codec::decode::<String>("command", &bytes).unwrap(), text);
    }

    #[test]
    fn a_command_over_the_decoders_bound_is_never_proposed() {
        let error = encoded(&"x".repeat(CONTROL_BYTES_MAX)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NeverApplied);
        assert!(error.to_string().contains("limit"), "{error}");
    }
}
