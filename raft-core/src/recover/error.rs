//! Why a group is not recovered.

use crate::codec::CodecError;
use crate::consensus::RecoveryError;
use crate::hard_state::Identity;
use crate::id::{LogId, NodeId, RecoveryEpoch};
use crate::store::StoreError;

/// Why nothing was planned, or not everything was done. What was done is safe to repeat.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The node was never started on these stores.
    #[error(
        "the stores are empty: there is nothing to recover; start the node with an initial membership"
    )]
    Empty,
    /// There is data, and nobody knows whose.
    #[error(
        "the stores hold data but not whose it is: the identity record is lost, use another survivor"
    )]
    NoIdentity,
    /// No membership was ever stored: the node had not joined the group yet.
    #[error(
        "the stores hold no membership: node {0} had not joined the group, use another survivor"
    )]
    NoMembership(NodeId),
    /// The new membership leaves out the node that would carry it on.
    #[error(
        "node {node} is no voter of the new membership ({membership}): its data would be lost, name it as a voter"
    )]
    NotAVoter {
        /// Whose stores these are.
        node: NodeId,
        /// What was asked for.
        membership: String,
    },
    /// The new membership is on its way to another one.
    #[error("the new membership ({0}) is half of a change: name the members that are to be")]
    Unsettled(String),
    /// The stores have changed since the plan was made, or it was made on other stores.
    #[error(
        "the plan is for other stores or has been overtaken: it was made on {planned}, there is {found}; make a new plan"
    )]
    Overtaken {
        /// What the plan was made on.
        planned: String,
        /// What is there now.
        found: String,
    },
    /// A later recovery has happened.
    #[error(
        "the plan begins epoch {planned}, the stores are of epoch {found} already: make a new plan"
    )]
    OlderEpoch {
        /// The plan's.
        planned: RecoveryEpoch,
        /// The stores'.
        found: RecoveryEpoch,
    },
    /// The stores belong to another group or cluster than the plan.
    #[error("the stores belong to {found}, the plan is of {planned}")]
    Stranger {
        /// Whose plan it is.
        planned: Box<Identity>,
        /// Whose stores.
        found: Box<Identity>,
    },
    /// The node that is to follow has more than the one it would follow.
    #[error(
        "node {node} holds entries through {last}, the plan only through {planned}: recover node {node} instead, or start it on empty stores"
    )]
    Ahead {
        /// Whose stores these are.
        node: NodeId,
        /// Its last entry.
        last: LogId,
        /// The last entry that the plan found.
        planned: LogId,
    },
    /// A store failed, is in use, or is damaged: the error names where.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored parts do not fit together.
    #[error("the stores are damaged: {0}; use another survivor")]
    Damaged(#[from] RecoveryError),
    /// The new membership is too large to be stored.
    #[error(transparent)]
    Codec(#[from] CodecError),
}
