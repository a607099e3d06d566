//! The transport of this crate keeps the contract.

#[path = "../../raft-transport-tcp/tests/secure/authority.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests issue other certificates; helpers of tests fail by panicking"
)]
mod authority;
#[path = "../../raft-transport-tcp/tests/conformance/backend.rs"]
mod backend;

use raft_transport_quic::QuicTransport;

/// What the suite is about.
pub(crate) type Carrier = QuicTransport;

mod quic {
    raft_core::transport_conformance!(crate::backend::Carried(
        |local: raft_core::Identity, listen: &str, config| {
            let tls = crate::authority::any_cluster(local.node);
            raft_transport_quic::QuicTransport::bind(listen, config, tls)
        }
    ));
}
