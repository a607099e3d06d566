//! What a leader commits is on the disks of a quorum, whatever the nodes believe.

use super::{Checks, Held, broken};
use crate::id::{ChainLink, NodeId};

impl Checks {
    pub(in crate::sim) fn committed_by_leader(
        leader: NodeId,
        link: ChainLink,
        voters: usize,
        holding: usize,
    ) -> Held {
        if holding * 2 > voters {
            return Ok(());
        }
        let detail =
            format!("leader {leader} commits {link}, on the disks of {holding} of {voters}");
        broken("durability", detail)
    }
}
