//! What waits for one peer on one lane.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use raft_core::message::Message;
use tokio::sync::Notify;

/// Messages between the node, which never waits, and the task that writes them. Bounded.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    messages_max: usize,
    bytes_max: usize,
}

/// Where the peer is reached. The version grows with each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) text: String,
    pub(crate) version: u64,
}

#[derive(Debug)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    address: Address,
}

impl Queue {
    pub(crate) fn new(address: &str, messages_max: usize, bytes_max: usize) -> Self {
        let address = Address {
            text: address.to_owned(),
            version: 0,
        };
        Self {
            state: Mutex::new(State {
                messages: VecDeque::new(),
                bytes: 0,
                address,
            }),
            changed: Notify::new(),
            messages_max,
            bytes_max,
        }
    }

    /// Appends a message for the peer at `address`, and says whether there was room.
    pub(crate) fn push(&self, address: &str, message: Message) -> bool {
        let bytes = message.bytes();
        let mut state = self.state();
        if state.address.text != address {
            state.address.text = address.to_owned();
            state.address.version += 1;
            self.changed.notify_one();
        }
        let full = state.messages.len() >= self.messages_max
            || state.bytes.saturating_add(bytes) > self.bytes_max;
        // A message over the bound passes alone.
        if full && !state.messages.is_empty() {
            return false;
        }
        let was_empty = state.messages.is_empty();
        state.bytes += bytes;
        state.messages.push_back(message);
        drop(state);
        if was_empty {
            self.changed.notify_one();
        }
        true
    }

    /// Moves messages of about `bytes_max` into `batch`, at least one if any waits. Takes none, and
    /// returns false, if the address is not of that version any more.
    pub(crate) fn take(&self, version: u64, batch: &mut Vec<Message>, bytes_max: usize) -> bool {
        let mut state = self.state();
        if state.address.version != version {
            return false;
        }
        let mut taken = 0;
        while taken < bytes_max
            && let Some(message) = state.messages.pop_front()
        {
            taken += message.bytes();
            batch.push(message);
        }
        state.bytes -= taken;
        true
    }

    /// Drops everything that waits, and says how many messages that was.
    pub(crate) fn clear(&self) -> usize {
        let mut state = self.state();
        let dropped = state.messages.len();
        state.messages.clear();
        state.bytes = 0;
        dropped
    }

    /// Waits until a message waits.
    pub(crate) async fn ready(&self) {
        while self.state().messages.is_empty() {
            self.changed.notified().await;
        }
    }

    /// Waits until a message waits, or the address is of another version.
    pub(crate) async fn changed(&self, version: u64) {
        let unchanged = || {
            let state = self.state();
            state.messages.is_empty() && state.address.version == version
        };
        while unchanged() {
            self.changed.notified().await;
        }
    }

    /// Waits until the address is of another version.
    pub(crate) async fn readdressed(&self, version: u64) {
        while self.state().address.version == version {
            self.changed.notified().await;
        }
    }

    /// Where to connect.
    pub(crate) fn address(&self) -> Address {
        self.state().address.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use raft_core::id::{GroupId, Incarnation, NodeId, Term};
    use raft_core::message::Body;

    use super::*;

    fn message(term: u64) -> Message {
        Message {
            group: GroupId::new(0),
            from: NodeId::new(1),
            incarnation: Incarnation::new(1),
            to: NodeId::new(2),
            term: Term::new(term),
            body: Body::TimeoutNow,
        }
    }

    #[test]
    fn a_full_queue_refuses_and_keeps_what_it_has() {
        let queue = Queue::new("a", 2, usize::MAX);
        assert!(queue.push("a", message(1)) && queue.push("a", message(2)));
        assert!(!queue.push("a", message(3)));
        let mut batch = Vec::new();
        assert!(queue.take(0, &mut batch, usize::MAX));
        assert_eq!(batch, [message(1), message(2)]);
        assert!(queue.push("a", message(3)));
    }

    #[test]
    fn a_message_over_the_bound_passes_alone() {
        let queue = Queue::new("a", 10, 1);
        assert!(queue.push("a", message(1)));
        assert!(!queue.push("a", message(2)));
        assert_eq!(queue.clear(), 1);
        assert!(queue.push("a", message(3)));
    }

    #[test]
    fn a_batch_ends_at_its_bound_and_has_at_least_one() {
        let queue = Queue::new("a", 10, usize::MAX);
        for term in 1..=3 {
            assert!(queue.push("a", message(term)));
        }
        let mut batch = Vec::new();
        assert!(queue.take(0, &mut batch, 1));
        assert_eq!(batch, [message(1)]);
    }

    #[test]
    fn a_changed_address_has_another_version() {
        let queue = Queue::new("a", 10, usize::MAX);
        let before = queue.address();
        assert!(queue.push("b", message(1)));
        let after = queue.address();
        assert_eq!(
            (after.text.as_str(), after.version),
            ("b", before.version + 1)
        );
        let mut batch = Vec::new();
        assert!(!queue.take(before.version, &mut batch, 1) && batch.is_empty());
    }
}
