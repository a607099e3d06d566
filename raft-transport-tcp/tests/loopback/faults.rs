//! Stops, silence and misuse.

use std::io;

use bytes::Buf;
use raft_core::id::NodeId;
use raft_core::memory::MemoryStores;
use raft_core::transport::{Inbox, Transport};
use raft_core::units::Period;
use raft_core::wire::{Hello, Lane, OutBuffer};
use tokio::io::AsyncWriteExt;

use crate::kind::{self, Listener, TransportConfig};
use crate::{End, Setup, identity};

/// Long enough for one turn of the runtime.
const SOON: Period = Period::from_millis(1);

fn quick(config: &mut TransportConfig) {
    config.keepalive = Period::from_millis(50);
    config.idle_timeout = Period::from_millis(1_000);
}

#[tokio::test]
async fn stop_ends_every_task_and_closes_every_connection() {
    let one = End::start(1);
    let mut two = End::start(2);
    let peer = two.peer();
    for round in 1..=500 {
        one.beat(&peer, round);
        one.append(&peer, 10_000);
    }
    assert_eq!(two.round().await, 1);
    one.transport.stop();
    one.transport.ended().await;
    assert_eq!(one.transport.stats().outbound_open, 0);
    two.counts(|stats| stats.inbound_open == 0).await;
    one.beat(&peer, 501);
    one.transport.stop();
    assert_eq!(one.transport.stats().outbound_open, 0);
}

#[tokio::test]
async fn the_port_is_free_as_soon_as_stop_returns() {
    let mut listen = "127.0.0.1:0".to_owned();
    for _ in 0..20 {
        let setup = Setup {
            listen,
            ..Setup::default()
        };
        let end = End::start_as(1, setup);
        listen = end.peer().address;
        end.transport.stop();
        if !kind::PORT_IS_FREE_AT_ONCE {
            end.transport.ended().await;
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let one = End::start(1);
    let listen = one.peer().address;
    let error =
        kind::bind(&listen, TransportConfig::default(), identity(2, "test", 0)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&listen), "{error}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut config = TransportConfig::default();
    config.backoff_max = Period::from_millis(1);
    let error = kind::bind("127.0.0.1:0", config, identity(1, "test", 0)).unwrap_err();
    assert!(
        error.to_string().starts_with("backoff_max (1ms)"),
        "{error}"
    );
}

#[test]
fn starting_outside_a_runtime_is_an_error() {
    let config = TransportConfig::default();
    let transport = kind::bind("127.0.0.1:0", config, identity(1, "test", 0)).unwrap();
    let (inbox, _receiver) = Inbox::new(1, MemoryStores::new().open().snapshots);
    assert!(transport.start(identity(1, "test", 0), inbox).is_err());
}

#[tokio::test]
async fn a_connection_at_rest_shows_that_it_is_alive() {
    let one = End::start_with(1, quick);
    let mut two = End::start_with(2, quick);
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    let before = two.transport.stats().bytes_received;
    // So many signs of life take twice as long as the longest silence that is allowed.
    two.counts(|stats| stats.bytes_received >= before + 40 * 28)
        .await;
    assert_eq!(
        (
            one.transport.stats().dialed,
            two.transport.stats().inbound_open
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_caller_that_falls_silent_is_let_go() {
    let two = End::start_with(2, quick);
    let address = two.transport.listen_address();
    let mut silent = kind::call(address, identity(1, "test", 0), NodeId::new(2)).await;
    let mut out = OutBuffer::new();
    out.put_hello(&Hello::new(
        identity(1, "test", 0),
        NodeId::new(2),
        Lane::Control,
    ));
    silent
        .write_all(&out.copy_to_bytes(out.remaining()))
        .await
        .unwrap();
    two.counts(|stats| stats.accepted == 1).await;
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_called_node_that_falls_silent_is_given_up() {
    let mut listener = Listener::bind(identity(2, "test", 0)).await;
    let mut one = End::start_with(1, quick);
    let peer = raft_core::membership::Peer {
        id: NodeId::new(2),
        address: listener.address().to_string(),
    };
    one.beat(&peer, 1);
    let mut silent = listener.accept().await;
    let mut out = OutBuffer::new();
    out.put_hello(&Hello::new(
        identity(2, "test", 0),
        NodeId::new(1),
        Lane::Control,
    ));
    silent
        .write_all(&out.copy_to_bytes(out.remaining()))
        .await
        .unwrap();
    one.counts(|stats| stats.dialed == 1).await;
    one.told_unreachable(2).await;
}

#[tokio::test]
async fn the_newest_connection_of_a_peer_takes_the_place_of_the_older() {
    let mut two = End::start(2);
    let first = End::start(1);
    first.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    // The same node once more, as after its machine was cut off and came back.
    let second = End::start(1);
    second.beat(&two.peer(), 2);
    assert_eq!(two.round().await, 2);
    two.counts(|stats| stats.inbound_open == 1).await;
}

#[tokio::test]
async fn a_node_that_is_gone_ends_its_connections() {
    let one = End::start(1);
    let mut two = End::start(2);
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    let (_, gone) = Inbox::new(1, MemoryStores::new().open().snapshots);
    two.receiver = gone;
    one.beat(&two.peer(), 2);
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn hundreds_of_reconnects_leave_nothing_open() {
    let one = End::start_with(1, |config| {
        (config.backoff_min, config.backoff_max) = (SOON, SOON);
    });
    let mut listener = Listener::bind(identity(2, "test", 0)).await;
    let peer = raft_core::membership::Peer {
        id: NodeId::new(2),
        address: listener.address().to_string(),
    };
    for _ in 0..200 {
        // What waits when a connection fails is dropped, so say it until it is heard.
        let calling = async {
            loop {
                one.beat(&peer, 1);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            accepted = listener.accept() => drop(accepted),
            () = calling => {}
        }
    }
    drop(listener);
    one.counts(|stats| stats.dials_failed >= 200).await;
    assert_eq!(one.transport.stats().outbound_open, 0);
}
