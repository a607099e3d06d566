//! Where callers say that they are reached.
//!
//! A node that is to join a group knows no member of it, but has to answer the leader that calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use raft_core::id::NodeId;

/// The addresses from the last hello of each caller. Bounded.
#[derive(Debug, Default)]
pub(crate) struct CallersAddresses {
    addresses: Mutex<BTreeMap<NodeId, String>>,
}

/// More callers than any group has members.
const CALLERS_MAX: usize = 1_024;

impl CallersAddresses {
    /// Remembers what a caller has said of itself, if anything.
    pub(crate) fn learn(&self, caller: NodeId, address: &str) {
        let mut addresses = self.lock();
        let has_room = addresses.len() < CALLERS_MAX || addresses.contains_key(&caller);
        if !address.is_empty() && has_room {
            addresses.insert(caller, address.to_owned());
        }
    }

    /// Where `caller` is reached, if it has said so.
    pub(crate) fn get(&self, caller: NodeId) -> Option<String> {
        self.lock().get(&caller).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, String>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_counts_and_silence_changes_nothing() {
        let callers = CallersAddresses::default();
        let caller = NodeId::new(1);
        assert_eq!(callers.get(caller), None);
        for said in ["a:1", "b:1", ""] {
            callers.learn(caller, said);
        }
        assert_eq!(callers.get(caller).as_deref(), Some("b:1"));
    }

    #[test]
    fn callers_without_end_take_no_memory_without_end() {
        let callers = CallersAddresses::default();
        for caller in 0..2_000 {
            callers.learn(NodeId::new(caller), "a:1");
        }
        assert_eq!(callers.lock().len(), CALLERS_MAX);
    }
}
