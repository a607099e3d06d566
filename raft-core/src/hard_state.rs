//! The two values a node must never forget, kept as one record.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, GroupId, Incarnation, NodeId, RecoveryEpoch, Term};

/// Term and vote: durable, and in one record, before anything that depends on them is sent
/// (thesis §3.8, figure 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term the node has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}

/// Whose data this is. Written when stores are first used, and by a recovery of the group; checked
/// at every start and by every handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group within it.
    pub group: GroupId,
    /// The node.
    pub node: NodeId,
    /// Which life of the node: a wiped disk begins a new one.
    pub incarnation: Incarnation,
    /// Which recovery of the group it has taken part in; zero if there was none.
    pub epoch: RecoveryEpoch,
}

impl fmt::Display for HardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vote {
            Some(vote) => write!(f, "term {} vote {vote}", self.term),
            None => write!(f, "term {}", self.term),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} of group {} in cluster {}",
            self.node, self.group, self.cluster
        )
    }
}
