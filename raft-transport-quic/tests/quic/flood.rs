//! Many handshakes that nobody goes on with.

use raft_core::id::NodeId;
use raft_core::membership::Peer;
use raft_core::units::Period;

use crate::router::Router;
use crate::{End, identity, kind};

#[tokio::test]
async fn under_many_unfinished_handshakes_callers_prove_their_address_and_are_heard() {
    let mut two = End::start_with(2, |config| {
        config.handshake_timeout = Period::from_millis(60_000);
    });
    let address = two.transport.listen_address();
    let flood = Router::to(address).await;
    flood.hold_back_answers();
    let mut unfinished = Vec::new();
    for _ in 0..20 {
        let router = flood.address;
        let called =
            async move { kind::connect(router, identity(1, "test", 0), NodeId::new(2)).await };
        unfinished.push(tokio::spawn(called));
    }
    flood.address_was_asked_for().await;
    let one = End::start(1);
    let honest = Router::to(address).await;
    let peer = Peer {
        id: NodeId::new(2),
        address: honest.address.to_string(),
    };
    one.beat(&peer, 1);
    assert_eq!(two.round().await, 1);
    honest.address_was_asked_for().await;
    for handshake in unfinished {
        handshake.abort();
    }
}

#[tokio::test]
async fn connections_over_the_bound_are_refused_and_the_others_work() {
    let mut two = End::start_with(2, |config| {
        config.inbound_connections_per_address_max = 3;
    });
    let address = two.transport.listen_address();
    let caller = identity(1, "test", 0);
    let mut kept = Vec::new();
    // Those that are told why over a stream are counted in.
    for _ in 0..3 + 16 - 1 {
        kept.push(kind::connect(address, caller, NodeId::new(2)).await);
    }
    let one = End::start(1);
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    let mut three = End::start(3);
    three.beat(&two.peer(), 1);
    three.told_unreachable(2).await;
    drop(kept);
    while three.transport.stats().dialed == 0 {
        three.beat(&two.peer(), 2);
        tokio::task::yield_now().await;
    }
    assert_eq!(two.round().await, 2);
}
