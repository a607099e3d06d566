//! What arrives, and what waits for what.

use raft_core::id::NodeId;
use raft_core::membership::Peer;
use raft_core::transport::Transport;
use raft_core::units::Size;

use crate::{End, Setup, append, heartbeat};

#[tokio::test]
async fn messages_of_a_lane_arrive_as_they_were_sent_and_in_order() {
    let one = End::start(1);
    let mut two = End::start(2);
    for round in 1..=1_000 {
        one.beat(&two.peer(), round);
    }
    for round in 1..=1_000 {
        assert_eq!(two.round().await, round);
    }
    let stats = one.counts(|stats| stats.messages_sent == 1_000).await;
    assert_eq!((stats.dialed, stats.dropped_full), (1, 0));
}

#[tokio::test]
async fn entries_of_any_size_arrive_identical() {
    let one = End::start(1);
    let mut two = End::start(2);
    for bytes in [0, 1, 4_096, 4_097, 100_000, 5 << 20] {
        one.append(&two.peer(), bytes);
        assert!(
            two.bulk().await == append(1, NodeId::new(2), bytes),
            "{bytes} bytes changed"
        );
    }
}

#[tokio::test]
async fn both_directions_work_at_once() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    let (first, second) = (one.peer(), two.peer());
    one.beat(&second, 1);
    two.beat(&first, 2);
    assert_eq!((two.round().await, one.round().await), (1, 2));
}

#[tokio::test]
async fn a_receiver_that_takes_no_entries_still_hears_heartbeats() {
    let one = End::start_with(1, |config| config.queue_max = Size(1 << 20));
    let mut two = End::start_as(
        2,
        Setup {
            inbox_bytes_max: 1_000,
            ..Setup::default()
        },
    );
    let peer = two.peer();
    // The inbox, the sockets' buffers and the queue fill up; from then on entries are dropped.
    while one.transport.stats().dropped_full == 0 {
        one.append(&peer, 100_000);
        tokio::task::yield_now().await;
    }
    for round in 1..=100 {
        one.beat(&peer, round);
        assert_eq!(two.round().await, round);
    }
    assert!(two.bulk().await == append(1, NodeId::new(2), 100_000));
}

#[tokio::test]
async fn messages_wait_for_the_connection_and_the_rest_is_dropped() {
    let one = End::start_with(1, |config| config.queue_messages_max = 10);
    let mut two = End::start(2);
    for round in 1..=25 {
        one.beat(&two.peer(), round);
    }
    assert_eq!(one.transport.stats().dropped_full, 15);
    for round in 1..=10 {
        assert_eq!(two.round().await, round);
    }
}

#[tokio::test]
async fn a_message_over_the_frame_limit_is_dropped_and_does_no_harm() {
    let one = End::start_with(1, |config| config.frame_max = Size(10_000));
    let mut two = End::start(2);
    one.append(&two.peer(), 10_000);
    assert_eq!(one.transport.stats().dropped_too_large, 1);
    one.append(&two.peer(), 1_000);
    assert!(two.bulk().await == append(1, NodeId::new(2), 1_000));
}

#[tokio::test]
async fn a_changed_address_is_dialed_and_the_old_connection_ends() {
    let one = End::start(1);
    let mut old = End::start(2);
    one.beat(&old.peer(), 1);
    assert_eq!(old.round().await, 1);
    let mut new = End::start(2);
    one.beat(&new.peer(), 2);
    assert_eq!(new.round().await, 2);
    old.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_restarted_peer_is_reached_again_and_its_loss_is_told() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    let peer = two.peer();
    one.beat(&peer, 1);
    assert_eq!(two.round().await, 1);
    two.transport.stop();
    two.transport.ended().await;
    one.told_unreachable(2).await;
    let listen = peer.address.clone();
    let mut two = End::start_as(
        2,
        Setup {
            listen,
            ..Setup::default()
        },
    );
    one.beat(&peer, 2);
    assert_eq!(two.round().await, 2);
    assert_eq!(one.transport.stats().dialed, 2);
}

#[tokio::test]
async fn an_absent_peer_is_told_and_found_when_it_appears() {
    let mut one = End::start(1);
    let listen = {
        let placeholder = End::start(2);
        placeholder.transport.stop();
        placeholder.transport.ended().await;
        placeholder.peer().address
    };
    let peer = Peer {
        id: NodeId::new(2),
        address: listen.clone(),
    };
    one.beat(&peer, 1);
    one.told_unreachable(2).await;
    assert!(one.transport.stats().dials_failed > 0);
    assert!(one.transport.stats().dropped_unreachable > 0);
    let mut two = End::start_as(
        2,
        Setup {
            listen,
            ..Setup::default()
        },
    );
    one.beat(&peer, 2);
    assert_eq!(two.round().await, 2);
}

#[tokio::test]
async fn a_message_for_nobody_is_no_harm() {
    let mut one = End::start(1);
    let nowhere = Peer {
        id: NodeId::new(2),
        address: "not an address".into(),
    };
    one.transport.send(&nowhere, heartbeat(1, nowhere.id, 1));
    one.told_unreachable(2).await;
}
