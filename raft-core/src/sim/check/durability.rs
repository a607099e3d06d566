//! What a leader commits is on the disks of a quorum, whatever the nodes believe.

use super::{Checks, Held, broken};
use crate::id::{ChainLink, NodeId};
use crate::membership::Membership;

impl Checks {
    /// A leader takes an entry for committed, while `holds` says on whose disks it is.
    pub(in crate::sim) fn committed_by_leader(
        leader: NodeId,
        link: ChainLink,
        membership: &Membership,
        holds: impl Fn(&NodeId) -> bool,
    ) -> Held {
        for half in [membership.voters(), membership.outgoing()] {
            let holding = half.iter().filter(|voter| holds(voter)).count();
            if holding * 2 <= half.len() && !half.is_empty() {
                let detail =
                    format!("leader {leader} commits {link}, on {holding} disks, of {membership}");
                return broken("durability", detail);
            }
        }
        Ok(())
    }
}
