//! Nobody is elected while another leader could answer a read by its lease (thesis §6.4.1).

use std::collections::BTreeMap;

use super::{Held, broken};
use crate::id::NodeId;
use crate::sim::driver::SimNode;
use crate::sim::watch::Step;
use crate::time::Timestamp;

impl Step<'_> {
    /// By each one's own clock: a paused leader may be the next to run.
    pub(in crate::sim) fn is_not_excluded_by_a_lease(
        &self,
        now: Timestamp,
        nodes: &BTreeMap<NodeId, SimNode>,
    ) -> Held {
        if !self.config.lease_reads {
            return Ok(());
        }
        for (other, node) in nodes {
            // Who was elected in an earlier term, and only hears of it now, knows nothing newer.
            let older = node.raft.as_ref();
            let older = older.filter(|raft| raft.standing().term < self.after.term);
            let holds = older.is_some_and(|raft| raft.has_lease_at(node.local(now)));
            if holds && *other != self.node {
                let (id, term) = (self.node, self.after.term);
                let detail = format!("node {id} leads term {term}, and {other} holds a lease");
                return broken("lease exclusivity", detail);
            }
        }
        Ok(())
    }
}
