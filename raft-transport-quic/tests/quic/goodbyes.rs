//! What is said last, while the network takes no more of what waits.

use std::net::UdpSocket;

use raft_core::membership::Peer;
use raft_core::transport::Transport;

use crate::End;
use crate::restart::patient;
use crate::router::Router;

/// A caller with more to say than the network has room for, as long as nothing comes back.
async fn congested() -> (End, End, Router) {
    let one = End::start_with(1, patient);
    let mut two = End::start_with(2, patient);
    let router = Router::to(two.transport.listen_address()).await;
    let peer = Peer {
        address: router.address.to_string(),
        ..two.peer()
    };
    one.beat(&peer, 1);
    one.append(&peer, 1);
    assert_eq!(two.round().await, 1);
    two.bulk().await;
    router.hold_back_answers();
    let before = two.transport.stats().bytes_received;
    for _ in 0..50 {
        one.append(&peer, 10_000);
    }
    two.counts(|stats| stats.bytes_received >= before + 10_000)
        .await;
    (one, two, router)
}

// Where the end of tasks and the end of connections can overtake each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_says_so_whatever_waits() {
    let (one, two, _router) = congested().await;
    one.transport.stop();
    one.transport.ended().await;
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_connection_to_a_former_address_is_closed_whatever_waits() {
    let (one, two, _router) = congested().await;
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = Peer {
        address: elsewhere.local_addr().unwrap().to_string(),
        ..two.peer()
    };
    one.beat(&peer, 2);
    one.append(&peer, 1);
    two.counts(|stats| stats.inbound_open == 0).await;
}
