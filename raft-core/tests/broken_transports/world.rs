//! What the broken transports know of each other, so that they can do what they must not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::memory::NetworkTransport;
use raft_core::transport::Inbox;

/// Every transport of a property.
#[derive(Default)]
pub(crate) struct World {
    nodes: Mutex<Nodes>,
    ended: Condvar,
    is_disturbed: AtomicBool,
}

#[derive(Default)]
struct Nodes {
    opened: Vec<NodeId>,
    /// In the order in which they were started.
    started: Vec<Started>,
    is_over: bool,
}

/// A transport that was started and not stopped.
#[derive(Clone)]
pub(crate) struct Started {
    pub(crate) number: usize,
    pub(crate) address: String,
    pub(crate) local: Identity,
    pub(crate) inbox: Inbox,
    pub(crate) inner: Arc<NetworkTransport>,
}

impl World {
    /// One more transport: the how-manieth of all, and of its node.
    pub(crate) fn open(&self, node: NodeId) -> (usize, usize) {
        let mut nodes = self.nodes();
        nodes.opened.push(node);
        (nodes.opened.len(), of(&nodes.opened, node))
    }

    /// How often the node has been opened.
    pub(crate) fn lives(&self, node: NodeId) -> usize {
        of(&self.nodes().opened, node)
    }

    /// Whether the network does its worst.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.is_disturbed.load(Ordering::Relaxed)
    }

    pub(crate) fn disturb(&self, is_disturbed: bool) {
        self.is_disturbed.store(is_disturbed, Ordering::Relaxed);
    }

    pub(crate) fn start(&self, started: Started) {
        self.nodes().started.push(started);
    }

    pub(crate) fn stop(&self, number: usize) {
        self.nodes()
            .started
            .retain(|started| started.number != number);
    }

    /// The newest transport of a node.
    pub(crate) fn find(&self, node: NodeId) -> Option<Started> {
        self.all_of(node).pop()
    }

    /// All transports of a node.
    pub(crate) fn all_of(&self, node: NodeId) -> Vec<Started> {
        let mut all = self.all();
        all.retain(|started| started.local.node == node);
        all
    }

    pub(crate) fn all(&self) -> Vec<Started> {
        self.nodes().started.clone()
    }

    /// The property is over: whoever waits in vain gives up.
    pub(crate) fn end(&self) {
        let mut nodes = self.nodes();
        nodes.is_over = true;
        nodes.started.clear();
        self.ended.notify_all();
    }

    /// Blocks until `done`, or until the property is over.
    pub(crate) fn wait_until(&self, done: impl Fn() -> bool) {
        while !done() {
            let nodes = self.nodes();
            let waited = self.ended.wait_timeout(nodes, Duration::from_millis(20));
            let (nodes, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if nodes.is_over {
                return;
            }
        }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(opened: &[NodeId], node: NodeId) -> usize {
    opened.iter().filter(|other| **other == node).count()
}
