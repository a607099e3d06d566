//! Where the other nodes are reached.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::membership::{Membership, Peer};

/// Everybody who is or was a member since the node started. Who was removed is kept: it may have
/// to be told so.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// Takes over the addresses of a membership.
    pub(super) fn learn(&mut self, membership: &Membership) {
        for (&id, member) in membership.members() {
            let address = member.address.clone();
            self.known.insert(id, Peer { id, address });
        }
    }

    /// Calls `with` with the peer. One that was never a member (it asks a node that does not yet
    /// know the group) has no address: a transport may still find it, by a connection that it made.
    pub(super) fn with<T>(&self, id: NodeId, with: impl FnOnce(&Peer) -> T) -> T {
        match self.known.get(&id) {
            Some(peer) => with(peer),
            None => with(&Peer {
                id,
                address: String::new(),
            }),
        }
    }
}
