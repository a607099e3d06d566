//! A command that was proposed once is applied at most once, and one that was refused never
//! (RULE 6).

use bytes::Bytes;

use super::{Checks, Held, broken};
use crate::id::{LogId, LogIndex};

const PROPERTY: &str = "at most once";

impl Checks {
    /// A client was told that its write is in no log and never will be.
    pub(in crate::sim) fn refused(&mut self, value: u64) -> Held {
        self.refused.insert(value);
        match self.written.get(&value) {
            Some(index) => {
                let detail = format!("write {value} is applied at {index}, and is refused");
                broken(PROPERTY, detail)
            }
            None => Ok(()),
        }
    }

    /// A client was told that its write is this entry, and what the state machine responds: of the
    /// simulator's own machine, what was written.
    pub(in crate::sim) fn answered(&self, value: u64, id: LogId, response: &Bytes) -> Held {
        let is_its_own = self.written.get(&value) == Some(&id.index);
        if is_its_own && response.as_ref() == value.to_le_bytes() {
            return Ok(());
        }
        let detail = format!("write {value} is answered by {response:02x?} of entry {id}");
        broken("a write is answered by its own entry", detail)
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
