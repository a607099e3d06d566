//! The transport of this crate keeps the contract.

use std::sync::Arc;

use raft_core::Identity;
use raft_core::conformance::transport::{Endpoint, Heal, TransportBackend};
use raft_core::id::NodeId;
use raft_core::memory::Network;

#[derive(Default)]
struct Memory(Network);

impl TransportBackend for Memory {
    fn open(&mut self, local: Identity, _listen: Option<&str>) -> Endpoint {
        let network = self.0.clone();
        let transport = Arc::new(self.0.transport(local.node));
        Endpoint::new(transport).dropped(move || network.counts().dropped)
    }

    fn cut(&mut self, one: NodeId, other: NodeId) -> Option<Heal> {
        let network = self.0.clone();
        network.cut(one, other);
        Some(Box::new(move || network.heal()))
    }
}

mod memory {
    raft_core::transport_conformance!(super::Memory::default());
}
