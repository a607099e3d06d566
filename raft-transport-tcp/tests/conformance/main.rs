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
mod relay;

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
