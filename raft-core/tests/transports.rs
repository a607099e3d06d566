//! The transport of this crate keeps the contract.

use std::sync::{Arc, Mutex, PoisonError};

use raft_core::Identity;
use raft_core::conformance::transport::{Delivery, Endpoint, Heal, TransportBackend};
use raft_core::id::NodeId;
use raft_core::memory::Network;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;

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

    /// It can lose, and nothing worse.
    fn disturb(&mut self, seed: u64) -> Option<Heal> {
        let network = self.0.clone();
        let chance = Mutex::new(Pcg32::seed_from_u64(seed));
        network.lose_when(move |_| {
            let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
            chance.next_u32() % 4 == 0
        });
        Some(Box::new(move || network.heal()))
    }

    fn delivery(&self) -> Delivery {
        Delivery::OnceInOrder
    }
}

mod memory {
    raft_core::transport_conformance!(super::Memory::default());
}
