//! No two nodes apply different entries at the same index.

use super::{Checks, Held, broken};
use crate::consensus::Raft;
use crate::id::{LogIndex, NodeId};
use crate::sim::machine::Machine;

const PROPERTY: &str = "state machine safety";

impl Checks {
    /// A node takes the entries after `from` through `through` for committed.
    pub(in crate::sim) fn commits(
        &mut self,
        node: NodeId,
        raft: &Raft,
        from: LogIndex,
        through: LogIndex,
    ) -> Held {
        for index in from.get() + 1..=through.get() {
            let index = LogIndex::new(index);
            let Some(ours) = raft.link_at(index) else {
                continue;
            }; // Purged: a snapshot has it.
            match self.canonical(index) {
                Some(known) if known != ours => {
                    let detail = format!("node {node} commits {ours}, but {known} is committed");
                    return broken(PROPERTY, detail);
                }
                Some(_) => {}
                None if index == self.committed().next() => {
                    self.canon.push(ours);
                    if self.memberships.contains(&ours.id) {
                        self.canon_memberships.push(ours.id);
                    }
                }
                None => {
                    let known = self.committed();
                    let detail =
                        format!("node {node} commits {ours}, but nothing after {known} is");
                    return broken(PROPERTY, detail);
                }
            }
        }
        Ok(())
    }

    /// A state machine has applied everything through its last entry.
    pub(in crate::sim) fn applied_through(&self, node: NodeId, machine: &Machine) -> Held {
        let last = machine.last;
        if self.canonical(last.id.index) == Some(last) {
            return Ok(());
        }
        let detail = format!("node {node} has applied {last}, which is not committed");
        broken(PROPERTY, detail)
    }

    /// A state machine has the state `hash` after `index`.
    pub(in crate::sim) fn state_is(&mut self, node: NodeId, index: LogIndex, hash: u32) -> Held {
        match self.states.insert(index, hash) {
            Some(known) if known != hash => broken(
                PROPERTY,
                format!("node {node} has state {hash:08x} after {index}, another had {known:08x}"),
            ),
            Some(_) | None => Ok(()),
        }
    }
}
