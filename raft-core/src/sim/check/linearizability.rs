//! Every operation takes effect at one moment between its call and its answer (thesis §6.3, §6.4).
//!
//! Each answer carries the index it reflects, and the states after each index are known to be
//! equal everywhere, so real-time order is all that is left to check: an operation reflects at
//! least what any client had been told of before it began.
//!
//! Weaker reads promise less. One of bounded staleness reflects at least what clients had been told
//! of so long ago, one that names an entry at least that entry, and a local one some prefix of what is
//! committed: at one node, and within one of its lives, never a shorter one than before.

use super::{Checks, Held, broken};
use crate::id::{ChainLink, LogId, LogIndex, NodeId};
use crate::sim::machine::Machine;

const PROPERTY: &str = "linearizability";

impl Checks {
    /// What an operation that begins now must at least reflect.
    pub(in crate::sim) fn floor(&self) -> LogIndex {
        self.completed
    }

    pub(in crate::sim) fn wrote(&mut self, id: LogId, floor: LogIndex) -> Held {
        if self.canonical(id.index).is_none_or(|link| link.id != id) {
            return broken(
                PROPERTY,
                format!("write {id} was acknowledged, and is not committed"),
            );
        }
        if id.index <= floor {
            let detail = format!("write {id} began after {floor} was known, and precedes it");
            return broken(PROPERTY, detail);
        }
        self.completed = self.completed.max(id.index);
        Ok(())
    }

    pub(in crate::sim) fn read(&mut self, index: LogIndex, floor: LogIndex) -> Held {
        if index < floor {
            let detail = format!("a read is to reflect {floor}, and reflects {index}");
            return broken(PROPERTY, detail);
        }
        self.completed = self.completed.max(index);
        Ok(())
    }

    /// A node shows its state as it is; `earlier` is what it has shown before in this life.
    pub(in crate::sim) fn read_locally(
        &mut self,
        node: NodeId,
        machine: &Machine,
        earlier: LogIndex,
    ) -> Held {
        let last = machine.last;
        let index = last.id.index;
        let is_prefix = last == ChainLink::ORIGIN || self.canonical(index) == Some(last);
        if !is_prefix {
            let detail =
                format!("node {node} shows the state after {last}, which is not committed");
            return broken("a local read shows what is committed", detail);
        }
        if index < earlier {
            let detail = format!("node {node} shows {index}, and has shown {earlier} in this life");
            return broken("a local read never goes back", detail);
        }
        self.completed = self.completed.max(index);
        Ok(())
    }
}
