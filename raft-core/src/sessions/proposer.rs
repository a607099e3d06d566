//! Where a session's commands are proposed.

use std::future::Future;
use std::time::Duration;

use ::bytes::Bytes;

use crate::consensus::RoleName;
use crate::node::{Applied, Node, Outcome, ProposeError, ProposeOptions, StopReason};

/// Something that takes commands to the group's leader: a node, several nodes of one process, or
/// a client of the program's own that talks to nodes elsewhere.
pub trait Proposer: Send + Sync {
    /// Proposes a command, and resolves within about `within`.
    ///
    /// # Errors
    /// [`ProposeError`]. Its outcome decides what the caller is told, so a lost answer must be
    /// [`Outcome::Unknown`].
    fn propose(
        &self,
        command: Bytes,
        within: Duration,
    ) -> impl Future<Output = Result<Applied, ProposeError>> + Send;

    /// Whether nobody is left to propose to, so that asking again is in vain.
    fn is_gone(&self) -> bool {
        false
    }
}

/// Whichever node leads: where this one does not, it sends commands on.
impl Proposer for Node {
    async fn propose(&self, command: Bytes, within: Duration) -> Result<Applied, ProposeError> {
        let options = ProposeOptions::new().deadline(within).forward();
        self.propose_with(command, options).await
    }

    fn is_gone(&self) -> bool {
        // A node that has stopped says nothing new any more.
        self.watch().has_changed().is_err()
    }
}

/// Whichever of the nodes leads.
impl Proposer for Vec<Node> {
    async fn propose(&self, command: Bytes, within: Duration) -> Result<Applied, ProposeError> {
        let standing = |node: &Node| *node.watch().borrow();
        // A node that has stopped says nothing new any more.
        let running = self
            .iter()
            .filter(|node| node.watch().has_changed().is_ok());
        let leader = running
            .clone()
            .filter(|node| standing(node).role == RoleName::Leader)
            .max_by_key(|node| standing(node).term);
        match leader {
            Some(leader) => leader.propose_within(command, within).await,
            None if running.count() == 0 => Err(ProposeError::Stopped {
                reason: StopReason::Shutdown,
                outcome: Outcome::NeverApplied,
            }),
            None => Err(ProposeError::NotLeader { leader: None }),
        }
    }

    fn is_gone(&self) -> bool {
        self.iter().all(Node::is_gone)
    }
}
