//! The transports of this crate keep the contract.

use std::io;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::conformance::transport::{Endpoint, TransportBackend};
use raft_transport_tcp::{TcpTransport, TransportConfig};

/// One way to make a transport: of this node, at this address.
struct Tcp<Bind>(Bind);

impl<Bind> TransportBackend for Tcp<Bind>
where
    Bind: Fn(Identity, &str, TransportConfig) -> io::Result<TcpTransport>,
{
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
        let mut config = TransportConfig::default();
        // Restarts are many, and a large message is to be larger than the queue.
        (config.backoff_min_ms, config.backoff_max_ms) = (1, 20);
        (config.frame_bytes_max, config.queue_bytes_max) = (24 << 20, 16 << 20);
        let bound = (self.0)(local, listen.unwrap_or("127.0.0.1:0"), config);
        let transport = Arc::new(bound.expect("a free address"));
        let (counted, awaited) = (Arc::clone(&transport), Arc::clone(&transport));
        Endpoint::new(transport)
            .dropped(move || {
                let stats = counted.stats();
                stats.dropped_full + stats.dropped_unreachable + stats.dropped_too_large
            })
            .ended(move || {
                let awaited = Arc::clone(&awaited);
                async move { awaited.ended().await }
            })
    }
}

mod plaintext {
    raft_core::transport_conformance!(super::Tcp(|_, listen: &str, config| {
        raft_transport_tcp::TcpTransport::bind_plaintext(listen, config)
    }));
}
