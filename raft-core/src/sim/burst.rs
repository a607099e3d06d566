//! A burst of writes at a leader that has just been cut off: a long tail that nobody will commit.
//!
//! It outlives the leadership, and may reach beyond the snapshot that the next leader sends.

use super::check::Held;
use super::cluster::Cluster;
use super::workload::Write;
use crate::consensus::Conditions;
use crate::id::NodeId;

impl Cluster {
    /// In one life of thirteen, a leader takes some writes that no client waits for.
    pub(super) fn burst(&mut self) -> Held {
        if self.plan.seed % 13 != 10 {
            return Ok(());
        }
        match self.any_leader().filter(|leader| self.is_up(*leader)) {
            Some(leader) => self.burst_at(leader),
            None => Ok(()),
        }
    }

    /// This node, if it leads, takes them. A user's machine takes only what its clients ask for.
    pub(super) fn burst_at(&mut self, leader: NodeId) -> Held {
        if self.subject.is_some() {
            return Ok(());
        }
        for _ in 0..BURST {
            let write = Write::of(self.clients.command(), 0);
            let batch = vec![write.proposed_by(None)];
            self.propose(leader, Conditions::default(), (batch, None))?;
        }
        Ok(())
    }
}

const BURST: usize = 12;
