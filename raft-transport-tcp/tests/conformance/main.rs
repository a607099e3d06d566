//! The transports of this crate keep the contract.

mod relay;

use std::io;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::conformance::transport::{Endpoint, TransportBackend};
use raft_transport_tcp::{TcpTransport, TransportConfig};

/// One way to make a transport: of this node, at this address, with these settings.
struct Tcp<Bind>(Bind);

impl<Bind> TransportBackend for Tcp<Bind>
where
    Bind: Fn(Identity, &str, TransportConfig) -> io::Result<TcpTransport>,
{
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
        let bound = (self.0)(local, listen.unwrap_or("127.0.0.1:0"), config());
        endpoint(bound.expect("a free address"))
    }
}

/// Reconnections are many, and the largest message is larger than the queue.
fn config() -> TransportConfig {
    let mut config = TransportConfig::default();
    (config.backoff_min_ms, config.backoff_max_ms) = (1, 20);
    (config.frame_bytes_max, config.queue_bytes_max) = (24 << 20, 16 << 20);
    config
}

fn endpoint(transport: TcpTransport) -> Endpoint {
    let transport = Arc::new(transport);
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

mod plaintext {
    use raft_transport_tcp::TcpTransport;

    raft_core::transport_conformance!(crate::Tcp(|_, listen: &str, config| {
        TcpTransport::bind_plaintext(listen, config)
    }));
}

mod plaintext_over_links_that_can_be_cut {
    use raft_core::conformance::transport::{Verdict, links};

    use crate::relay::Relayed;

    #[test]
    fn a_cut_link_carries_nothing_and_a_healed_one_carries_again() {
        let verdict = links::a_cut_link_carries_nothing_and_a_healed_one_carries_again(
            &mut Relayed::default(),
        );
        assert_eq!(verdict, Verdict::Held);
    }

    #[test]
    fn a_snapshot_over_a_cut_link_fails_and_goes_on_after_healing() {
        let verdict = links::a_snapshot_over_a_cut_link_fails_and_goes_on_after_healing(
            &mut Relayed::default(),
        );
        assert_eq!(verdict, Verdict::Held);
    }
}
