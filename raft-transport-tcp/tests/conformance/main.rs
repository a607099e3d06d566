//! The transports of this crate keep the contract.

#[cfg(feature = "tls")]
#[path = "../secure/authority.rs"]
#[expect(dead_code, reason = "other tests issue other certificates")]
mod authority;
mod backend;

use raft_transport_tcp::TcpTransport;

/// What the suite is about.
pub(crate) type Carrier = TcpTransport;

mod plaintext {
    raft_core::transport_conformance!(crate::backend::Carried(|_, listen: &str, config| {
        raft_transport_tcp::TcpTransport::bind_plaintext(listen, config)
    }));
}

#[cfg(feature = "tls")]
mod tls {
    raft_core::transport_conformance!(crate::backend::Carried(
        |local: raft_core::Identity, listen: &str, config| {
            let tls = crate::authority::any_cluster(local.node);
            raft_transport_tcp::TcpTransport::bind(listen, config, tls)
        }
    ));
}
