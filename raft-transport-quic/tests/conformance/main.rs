//! The transport of this crate keeps the contract.

#[path = "../../../raft-transport-tcp/tests/secure/authority.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests issue other certificates; helpers of tests fail by panicking"
)]
mod authority;
#[path = "../../../raft-transport-tcp/tests/conformance/backend.rs"]
mod backend;
#[path = "../../../raft-transport-tcp/tests/conformance/chance.rs"]
mod chance;
#[path = "../../../raft-transport-tcp/tests/conformance/rough.rs"]
mod rough;
mod router;

use raft_transport_quic::QuicTransport;

/// What the suite is about.
pub(crate) type Carrier = QuicTransport;

mod quic {
    use std::io;

    use raft_core::Identity;
    use raft_core::units::Period;
    use raft_transport_quic::{QuicTransport, TransportConfig};

    use crate::backend::Carried;
    use crate::rough::Rough;
    use crate::router::route;

    raft_core::transport_conformance!(Carried(bind), Rough::new(bind_impatient, route));

    fn bind(local: Identity, listen: &str, config: TransportConfig) -> io::Result<QuicTransport> {
        QuicTransport::bind(listen, config, crate::authority::any_cluster(local.node))
    }

    /// Silence is all that tells that datagrams do not pass.
    fn bind_impatient(
        local: Identity,
        listen: &str,
        mut config: TransportConfig,
    ) -> io::Result<QuicTransport> {
        config.keepalive = Period::from_millis(1_000);
        config.idle_timeout = Period::from_millis(5_000);
        bind(local, listen, config)
    }
}
