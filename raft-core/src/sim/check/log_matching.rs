//! If two logs contain an entry with the same index and term, they are identical up to there.
//!
//! Every record's checksum covers its predecessor's, so equal checksums are equal logs.

use super::{Checks, Held, broken};
use crate::entry::{Entry, Payload};

impl Checks {
    pub(in crate::sim) fn appended(&mut self, entries: &[Entry]) -> Held {
        for entry in entries {
            let link = entry.link();
            if matches!(entry.payload(), Payload::Membership { .. }) {
                self.has_membership(link.id);
            }
            if let Some(known) = self.records.insert(link.id, link.checksum)
                && known != link.checksum
            {
                let (id, new) = (link.id, link.checksum);
                let detail = format!("entry {id} exists as {known:08x} and as {new:08x}");
                return broken("log matching", detail);
            }
        }
        Ok(())
    }
}
