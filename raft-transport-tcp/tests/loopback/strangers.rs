//! Who is not let in, and that both ends know why.

use bytes::{Buf, BytesMut};
use raft_core::id::{GroupId, NodeId};
use raft_core::membership::Peer;
use raft_core::units::{Period, Size};
use raft_core::wire::{
    FRAME_HEADER_BYTES, Frame, FrameKind, FrameLimits, Hello, Lane, OutBuffer, Refusal,
    RefusalReason,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use raft_transport_stream::{ByteStream, Distrust};

use crate::kind::{self, Listener, TransportConfig, TransportStats};
use crate::{End, Setup, append, heartbeat, identity};

/// A connection whose other end the test plays itself.
pub(crate) struct Raw {
    pub(crate) stream: Box<dyn ByteStream>,
    read: BytesMut,
}

impl Raw {
    pub(crate) async fn dial(end: &End) -> Self {
        let address = end.transport.listen_address();
        Self::over(kind::call(address, identity(1, "test", 0), NodeId::new(2)).await)
    }

    pub(crate) fn over(stream: Box<dyn ByteStream>) -> Self {
        let read = BytesMut::new();
        Self { stream, read }
    }

    /// Introduces itself as node 1 to node 2, and takes the answer.
    pub(crate) async fn introduced(end: &End, lane: Lane) -> Self {
        let mut raw = Self::dial(end).await;
        raw.say(|out| out.put_hello(&hello(lane))).await;
        let answer = raw.frame().await.hello().unwrap();
        assert_eq!(
            (answer.from.node, answer.to),
            (NodeId::new(2), NodeId::new(1))
        );
        raw
    }

    pub(crate) async fn say(&mut self, fill: impl FnOnce(&mut OutBuffer)) {
        let mut out = OutBuffer::new();
        fill(&mut out);
        let bytes = out.copy_to_bytes(out.remaining());
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            let limits = FrameLimits::of_tail(1 << 20);
            if let Some(frame) = Frame::take(&mut self.read, limits).unwrap() {
                return frame;
            }
            assert_ne!(
                self.stream.read_buf(&mut self.read).await.unwrap(),
                0,
                "closed"
            );
        }
    }

    /// The refusal that comes now, and nothing after it.
    pub(crate) async fn refusal(&mut self) -> Refusal {
        let refusal = self.frame().await.refusal().unwrap();
        assert_eq!(self.read.len(), 0);
        let rest = self.stream.read(&mut [0; 8]).await;
        assert!(matches!(rest, Ok(0)), "{rest:?}");
        refusal
    }
}

pub(crate) fn hello(lane: Lane) -> Hello {
    Hello::new(identity(1, "test", 0), NodeId::new(2), lane)
}

pub(crate) fn refused(stats: &TransportStats, reason: RefusalReason) -> bool {
    stats.refused.contains_key(&reason)
}

pub(crate) fn refused_by_peer(stats: &TransportStats, reason: RefusalReason) -> bool {
    stats.refused_by_peers.contains_key(&reason)
}

/// Node 1, set up in its own way, calls node 2: both count `reason`, node 1 is told, and node 2
/// still hears others.
async fn is_refused(caller: Setup, called: u64, reason: RefusalReason) {
    let mut one = End::start_as(1, caller);
    let mut two = End::start(2);
    let mut peer = two.peer();
    peer.id = NodeId::new(called);
    one.beat(&peer, 1);
    two.counts(|stats| refused(stats, reason)).await;
    one.counts(|stats| refused_by_peer(stats, reason)).await;
    one.told_unreachable(called).await;
    let three = End::start(3);
    three.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_on_both_ends() {
    let caller = Setup {
        cluster: "other",
        ..Setup::default()
    };
    is_refused(caller, 2, RefusalReason::WrongCluster).await;
}

#[tokio::test]
async fn a_node_of_another_group_is_refused_on_both_ends() {
    let caller = Setup {
        group: 5,
        ..Setup::default()
    };
    is_refused(caller, 2, RefusalReason::WrongGroup).await;
}

#[tokio::test]
async fn a_node_of_the_time_before_a_recovery_is_refused_on_both_ends() {
    let (old, recovered) = (
        Setup::default(),
        Setup {
            epoch: 1,
            ..Setup::default()
        },
    );
    let one = End::start_as(1, old);
    let two = End::start_as(2, recovered);
    one.beat(&two.peer(), 1);
    two.counts(|stats| refused(stats, RefusalReason::WrongEpoch))
        .await;
    one.counts(|stats| refused_by_peer(stats, RefusalReason::WrongEpoch))
        .await;
    two.beat(&one.peer(), 1);
    one.counts(|stats| refused(stats, RefusalReason::WrongEpoch))
        .await;
}

#[tokio::test]
async fn a_caller_that_means_another_node_is_refused_on_both_ends() {
    if !kind::PROVES_NAMES {
        return is_refused(Setup::default(), 4, RefusalReason::WrongNode).await;
    }
    let mut one = End::start(1);
    let two = End::start(2);
    let mut peer = two.peer();
    peer.id = NodeId::new(4);
    one.beat(&peer, 1);
    one.counts(|stats| stats.distrusted.contains_key(&Distrust::Misnamed))
        .await;
    two.counts(|stats| stats.distrusted_by_peers.contains_key(&Distrust::Misnamed))
        .await;
    one.told_unreachable(4).await;
    assert_eq!(two.transport.stats().bytes_received, 0);
}

#[tokio::test]
async fn a_caller_with_our_own_name_is_refused_on_both_ends() {
    let other = End::start(1);
    let one = End::start(1);
    one.beat(&other.peer(), 1);
    other
        .counts(|stats| refused(stats, RefusalReason::SameNode))
        .await;
    one.counts(|stats| refused_by_peer(stats, RefusalReason::SameNode))
        .await;
}

#[tokio::test]
async fn another_program_is_refused_by_its_first_bytes() {
    let two = End::start(2);
    let mut raw = Raw::dial(&two).await;
    raw.stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let refusal = raw.refusal().await;
    assert_eq!(refusal.reason, RefusalReason::WrongMagic);
    assert!(
        refusal.text.contains("does not speak this protocol"),
        "{refusal}"
    );
    two.counts(|stats| refused(stats, RefusalReason::WrongMagic))
        .await;
}

#[tokio::test]
async fn a_protocol_of_the_future_is_refused_by_name() {
    let two = End::start(2);
    let mut raw = Raw::dial(&two).await;
    let mut hello = hello(Lane::Control);
    (hello.protocol_min, hello.protocol_max) = (7, 9);
    raw.say(|out| out.put_hello(&hello)).await;
    let refusal = raw.refusal().await;
    assert_eq!(refusal.reason, RefusalReason::UnsupportedProtocol);
    assert_eq!(
        refusal.text,
        "node 1 speaks protocols 7 to 9, node 2 speaks 1 to 1"
    );
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_sent_away() {
    let two = End::start_with(2, |config| {
        // The handshake of TLS is within it.
        config.handshake_timeout = Period::from_millis(1_000);
    });
    let mut raw = Raw::dial(&two).await;
    let mut out = OutBuffer::new();
    out.put_hello(&hello(Lane::Control));
    raw.stream.write_all(&out.copy_to_bytes(1)).await.unwrap();
    assert_eq!(raw.refusal().await.reason, RefusalReason::TimedOut);
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_before_it_arrives() {
    let two = End::start_with(2, |config| config.frame_max = Size(1_000));
    let mut raw = Raw::introduced(&two, Lane::Bulk).await;
    let mut out = OutBuffer::new();
    out.put_message(&append(1, NodeId::new(2), 5_000)).unwrap();
    let header = out.copy_to_bytes(FRAME_HEADER_BYTES);
    raw.stream.write_all(&header).await.unwrap();
    let refusal = raw.refusal().await;
    assert_eq!(refusal.reason, RefusalReason::TooLarge);
    two.counts(|stats| refused(stats, RefusalReason::TooLarge))
        .await;
}

#[tokio::test]
async fn a_damaged_frame_ends_the_connection() {
    let two = End::start(2);
    let mut raw = Raw::introduced(&two, Lane::Bulk).await;
    let mut out = OutBuffer::new();
    out.put_message(&append(1, NodeId::new(2), 500)).unwrap();
    let mut bytes = out.copy_to_bytes(out.remaining()).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    raw.stream.write_all(&bytes).await.unwrap();
    let refusal = raw.refusal().await;
    assert_eq!(refusal.reason, RefusalReason::Malformed);
    assert!(
        refusal.text.starts_with("payload of entry 1.1 is damaged"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_message_in_the_name_of_another_is_refused() {
    let two = End::start(2);
    let mut raw = Raw::introduced(&two, Lane::Control).await;
    let forged = heartbeat(3, NodeId::new(2), 1);
    raw.say(|out| out.put_message(&forged).unwrap()).await;
    assert_eq!(raw.refusal().await.reason, RefusalReason::WrongNode);
    assert_eq!(two.transport.stats().messages_received, 0);
}

#[tokio::test]
async fn a_message_for_another_group_is_refused() {
    let two = End::start(2);
    let mut raw = Raw::introduced(&two, Lane::Control).await;
    let mut other = heartbeat(1, NodeId::new(2), 1);
    other.group = GroupId::new(9);
    raw.say(|out| out.put_message(&other).unwrap()).await;
    assert_eq!(raw.refusal().await.reason, RefusalReason::WrongGroup);
}

#[tokio::test]
async fn entries_have_no_place_on_the_lane_of_heartbeats() {
    let two = End::start(2);
    let mut raw = Raw::introduced(&two, Lane::Control).await;
    let entries = append(1, NodeId::new(2), 10);
    raw.say(|out| out.put_message(&entries).unwrap()).await;
    assert_eq!(raw.refusal().await.reason, RefusalReason::TooLarge);
    let mut raw = Raw::introduced(&two, Lane::Bulk).await;
    let control = heartbeat(1, NodeId::new(2), 1);
    raw.say(|out| out.put_message(&control).unwrap()).await;
    assert_eq!(raw.refusal().await.reason, RefusalReason::Malformed);
}

#[tokio::test]
async fn callers_over_the_bound_are_told_so() {
    let mut two = End::start_with(2, |config| config.inbound_connections_max = 2);
    let kept = [
        Raw::introduced(&two, Lane::Control).await,
        Raw::introduced(&two, Lane::Bulk).await,
    ];
    let one = End::start(1);
    one.beat(&two.peer(), 1);
    one.counts(|stats| refused_by_peer(stats, RefusalReason::TooManyConnections))
        .await;
    drop(kept);
    two.counts(|stats| stats.inbound_open == 0).await;
    one.beat(&two.peer(), 2);
    assert_eq!(two.round().await, 2);
}

/// A listener that the test plays itself, and node 1 calling it as node 2.
async fn called_by_one() -> (End, Raw, Listener) {
    let mut listener = Listener::bind(identity(2, "test", 0)).await;
    let one = End::start(1);
    let peer = Peer {
        id: NodeId::new(2),
        address: listener.address().to_string(),
    };
    one.beat(&peer, 1);
    let mut raw = Raw::over(listener.accept().await);
    let expected = hello(Lane::Control).reached_at(&one.peer().address);
    assert_eq!(raw.frame().await.hello().unwrap(), expected);
    (one, raw, listener)
}

#[tokio::test]
async fn a_node_that_answers_for_another_is_refused_by_the_caller() {
    let (one, mut raw, _listener) = called_by_one().await;
    let impostor = Hello::new(identity(3, "test", 0), NodeId::new(1), Lane::Control);
    raw.say(|out| out.put_hello(&impostor)).await;
    let refusal = raw.refusal().await;
    assert_eq!(refusal.reason, RefusalReason::WrongNode);
    assert_eq!(refusal.text, "node 2 was called, node 3 answered");
    one.counts(|stats| refused(stats, RefusalReason::WrongNode))
        .await;
}

#[tokio::test]
async fn a_node_that_renews_at_once_is_not_called_without_pause_and_loses_nothing() {
    const CALLS: u32 = 10;
    let began = Instant::now();
    let (one, mut raw, mut listener) = called_by_one().await;
    let answer = Hello::new(identity(2, "test", 0), NodeId::new(1), Lane::Control);
    let refusal = Refusal::new(RefusalReason::Renewed, "call again");
    for _ in 0..CALLS {
        raw.say(|out| {
            out.put_hello(&answer);
            out.put_refusal(GroupId::new(0), &refusal);
        })
        .await;
        // The other end waits for this.
        drop(raw);
        raw = Raw::over(listener.accept().await);
        raw.frame().await.hello().unwrap();
    }
    let pause = TransportConfig::default().backoff_min.0;
    assert!(began.elapsed() >= pause * CALLS, "{:?}", began.elapsed());
    raw.say(|out| out.put_hello(&answer)).await;
    assert_eq!(raw.frame().await.kind(), FrameKind::Message);
    let stats = one.transport.stats();
    assert_eq!((stats.renewed, stats.dropped_unreachable), (10, 0));
}

#[tokio::test]
async fn another_program_that_answers_is_refused_by_the_caller() {
    let (mut one, mut raw, _listener) = called_by_one().await;
    raw.stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    assert_eq!(raw.refusal().await.reason, RefusalReason::WrongMagic);
    one.told_unreachable(2).await;
}

#[tokio::test]
async fn a_refusal_by_the_caller_is_counted_by_the_called() {
    let two = End::start(2);
    let mut raw = Raw::introduced(&two, Lane::Control).await;
    let refusal = Refusal::new(RefusalReason::WrongNode, "not whom I meant");
    raw.say(|out| out.put_refusal(GroupId::new(0), &refusal))
        .await;
    two.counts(|stats| refused_by_peer(stats, RefusalReason::WrongNode))
        .await;
}
