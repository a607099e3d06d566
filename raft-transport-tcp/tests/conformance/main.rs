//! The transports of this crate keep the contract.

#[cfg(feature = "tls")]
#[path = "../secure/authority.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests issue other certificates; helpers of tests fail by panicking"
)]
mod authority;
mod backend;
mod chance;
mod relay;
mod rough;

use raft_transport_tcp::TcpTransport;

/// What the suite is about.
pub(crate) type Carrier = TcpTransport;

mod plaintext {
    use std::io;

    use raft_core::Identity;
    use raft_transport_tcp::{TcpTransport, TransportConfig};

    use crate::backend::Carried;
    use crate::relay::relay;
    use crate::rough::Rough;

    raft_core::transport_conformance!(Carried(bind), Rough::new(bind, relay));

    fn bind(_: Identity, listen: &str, config: TransportConfig) -> io::Result<TcpTransport> {
        TcpTransport::bind_plaintext(listen, config)
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::io;

    use raft_core::Identity;
    use raft_transport_tcp::{TcpTransport, TransportConfig};

    use crate::backend::Carried;
    use crate::relay::relay;
    use crate::rough::Rough;

    raft_core::transport_conformance!(Carried(bind), Rough::new(bind, relay));

    fn bind(local: Identity, listen: &str, config: TransportConfig) -> io::Result<TcpTransport> {
        TcpTransport::bind(listen, config, crate::authority::any_cluster(local.node))
    }
}
