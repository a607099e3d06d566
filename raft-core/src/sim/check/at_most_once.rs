//! A command that was proposed once is applied at most once, and one that was refused never
//! (RULE 6).

use super::{Checks, Held, broken};
use crate::id::LogIndex;

const PROPERTY: &str = "at most once";

impl Checks {
    /// A client was told that its write is in no log and never will be.
    pub(in crate::sim) fn refused(&mut self, value: u64) {
        self.refused.insert(value);
    }

    /// Some node has applied a write. Every client writes another value each time.
    pub(in crate::sim) fn applied(&mut self, value: u64, index: LogIndex) -> Held {
        if self.refused.contains(&value) {
            let detail = format!("write {value} was refused, and is applied at {index}");
            return broken(PROPERTY, detail);
        }
        let first = *self.written.entry(value).or_insert(index);
        if first != index {
            let detail = format!("write {value} is applied at {first} and at {index}");
            return broken(PROPERTY, detail);
        }
        Ok(())
    }
}
