//! Connections: one to a peer, for all its lanes, wherever it is.

use std::io::{Cursor, ErrorKind};

use quinn::{ConnectionError, VarInt};
use raft_core::id::{GroupId, NodeId};
use raft_core::membership::Peer;
use raft_core::snapshot::Kept;
use raft_core::transport::Transport;
use raft_core::wire::Lane;
use raft_transport_stream::tls::Credentials;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::authority::{Authority, name};
use crate::identity::{node, proper};
use crate::kind::{Listener, connect, connect_with};
use crate::router::Router;
use crate::snapshots::{Failing, meta, outbound, state};
use crate::strangers::{Raw, hello};
use crate::{End, PATIENCE, Setup, identity};

#[tokio::test]
async fn all_lanes_to_a_peer_share_one_connection() {
    let mut listener = Listener::bind(identity(2, "test", 0)).await;
    let one = End::start(1);
    let peer = Peer {
        id: NodeId::new(2),
        address: listener.address().to_string(),
    };
    one.beat(&peer, 1);
    one.append(&peer, 10);
    let _streams = [listener.accept().await, listener.accept().await];
    assert_eq!(listener.connections, 1);
}

#[tokio::test]
async fn a_connection_outlives_a_change_of_its_callers_address() {
    let one = End::start(1);
    let mut two = End::start(2);
    let router = Router::to(two.transport.listen_address()).await;
    let peer = Peer {
        id: NodeId::new(2),
        address: router.address.to_string(),
    };
    let mut round = 0;
    for _ in 0..5 {
        for _ in 0..20 {
            round += 1;
            one.beat(&peer, round);
            one.append(&peer, 10_000);
            assert_eq!(two.round().await, round);
            two.bulk().await;
        }
        router.forget().await;
    }
    let (caller, called) = (one.transport.stats(), two.transport.stats());
    assert_eq!((caller.dialed, called.accepted), (2, 2), "a stream a lane");
    assert_eq!(caller.dropped_unreachable, 0);
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let two = End::start(2);
    let address = two.transport.listen_address();
    let connection = connect(address, identity(1, "test", 0), NodeId::new(2)).await;
    let (send, recv) = connection.open_bi().await.unwrap();
    let mut raw = Raw::over(Box::new(tokio::io::join(recv, send)));
    raw.say(|out| out.put_hello(&hello(Lane::Control))).await;
    raw.frame().await.hello().unwrap();
    two.transport.stop();
    let ConnectionError::ApplicationClosed(close) = connection.closed().await else {
        panic!("closed without a word");
    };
    assert_eq!(close.error_code, VarInt::from_u32(2));
    assert_eq!(close.reason, "the node has stopped");
}

#[tokio::test]
async fn a_connection_without_streams_is_given_back() {
    let mut listener = Listener::bind(identity(2, "test", 0)).await;
    let one = End::start(1);
    let peer = Peer {
        id: NodeId::new(2),
        address: listener.address().to_string(),
    };
    one.beat(&peer, 1);
    // The only stream breaks, and with it goes the connection.
    drop(listener.accept().await);
    one.counts(|stats| stats.dials_failed == 1).await;
    one.beat(&peer, 2);
    let _stream = listener.accept().await;
    assert_eq!(listener.connections, 2);
}

#[tokio::test]
async fn a_snapshot_that_is_given_up_is_reset() {
    let mut listener = Listener::bind(identity(2, "test", 0)).await;
    let one = End::start(1);
    let peer = Peer {
        id: NodeId::new(2),
        address: listener.address().to_string(),
    };
    // Another stream keeps the connection.
    one.beat(&peer, 1);
    let _control = listener.accept().await;
    let bytes = state(1 << 20);
    let data = Failing(Cursor::new(bytes[..600_000].to_vec()));
    one.transport
        .send_snapshot(&peer, outbound(meta(&bytes), data));
    let mut raw = Raw::over(listener.accept().await);
    let asked = raw.frame().await.hello().unwrap();
    let answer = asked.answer(identity(2, "test", 0)).unwrap();
    raw.say(|out| out.put_hello(&answer)).await;
    raw.frame().await.snapshot_offer().unwrap();
    raw.say(|out| {
        out.put_snapshot_kept(GroupId::new(0), Kept::NOTHING)
            .unwrap();
    })
    .await;
    let mut buffer = vec![0; 1 << 16];
    let ended = loop {
        match raw.stream.read(&mut buffer).await {
            Ok(1..) => {}
            ended => break ended,
        }
    };
    // An end in order would look like the end of what was sent.
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_that_rests_on_former_certificates_is_closed_whatever_its_caller_does() {
    let authority = Authority::new("ours");
    let (files, second) = (proper(&authority, 1), proper(&authority, 2));
    let two = node(2, &second);
    let credentials = Credentials::load(files.config()).unwrap();
    let client = rustls::ClientConfig::clone(&credentials.current().client);
    let address = two.transport.listen_address();
    let connection = connect_with(address, client, &name(2)).await.unwrap();
    two.transport.reload().unwrap();
    let ended = timeout(PATIENCE, connection.closed()).await.unwrap();
    let ConnectionError::ApplicationClosed(close) = ended else {
        panic!("closed without a word");
    };
    assert_eq!(close.error_code, VarInt::from_u32(3));
    assert_eq!(close.reason, "certificates were read anew");
}

#[tokio::test]
async fn a_port_that_was_never_used_is_free_when_it_was_stopped() {
    let setup = || Setup::default().config;
    let first = crate::kind::bind("127.0.0.1:0", setup(), identity(1, "test", 0)).unwrap();
    let listen = first.listen_address().to_string();
    first.stop();
    crate::kind::bind(&listen, setup(), identity(1, "test", 0)).unwrap();
}
