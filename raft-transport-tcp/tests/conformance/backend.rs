//! Transports over streams, for the suite.

use std::io;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::conformance::transport::{Delivery, Endpoint, TransportBackend};
use raft_core::units::{Period, Size};
use raft_transport_stream::TransportConfig;

use crate::Carrier;

/// One way to make a transport: of this node, at this address.
pub(crate) struct Carried<Bind>(pub(crate) Bind);

impl<Bind> TransportBackend for Carried<Bind>
where
    Bind: Fn(Identity, &str, TransportConfig) -> io::Result<Carrier>,
{
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
        let bound = (self.0)(local, listen.unwrap_or("127.0.0.1:0"), config());
        endpoint(bound.expect("a free address"))
    }

    /// `RAFT_RECONNECTS=N` for another number.
    fn reconnects(&self) -> usize {
        let chosen = std::env::var("RAFT_RECONNECTS").ok();
        chosen.map_or(2_000, |text| text.parse().expect("a number"))
    }

    fn delivery(&self) -> Delivery {
        Delivery::OnceInOrder
    }

    /// What is cut or disturbed is looked at over a [`Rough`](crate::rough::Rough) network.
    fn lacks_nothing(&self) -> bool {
        true
    }
}

/// Reconnections are many, and the largest message is larger than the queue.
pub(crate) fn config() -> TransportConfig {
    let mut config = TransportConfig::default();
    config.backoff_min = Period::from_millis(1);
    config.backoff_max = Period::from_millis(20);
    (config.frame_max, config.queue_max) = (Size(24 << 20), Size(16 << 20));
    config
}

pub(crate) fn endpoint(transport: Carrier) -> Endpoint {
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
