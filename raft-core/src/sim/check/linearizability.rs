//! Every operation takes effect at one moment between its call and its answer (thesis §6.3, §6.4).
//!
//! Each answer carries the index it reflects, and the states after each index are known to be
//! equal everywhere, so real-time order is all that is left to check: an operation reflects at
//! least what any client had been told of before it began.

use super::{Checks, Held, broken};
use crate::id::{LogId, LogIndex};

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
            let detail = format!("a read began after {floor} was known, and reflects {index}");
            return broken(PROPERTY, detail);
        }
        self.completed = self.completed.max(index);
        Ok(())
    }
}
