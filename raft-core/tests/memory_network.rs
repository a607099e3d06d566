//! The switch in memory: what arrives, what is lost, and what a restart leaves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use raft_core::Identity;
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::{Membership, Peer};
use raft_core::memory::{MemoryStores, Network, NetworkTransport};
use raft_core::message::{Body, Message, Round};
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::store::SnapshotStore;
use raft_core::transport::{Inbound, Inbox, InboxReceiver, OutboundSnapshot, Transport};

struct End {
    transport: NetworkTransport,
    receiver: InboxReceiver,
    snapshots: Arc<dyn SnapshotStore>,
}

impl End {
    fn start(network: &Network, node: u64) -> Self {
        Self::start_in(network, node, ClusterId::from_name("test"))
    }

    fn start_in(network: &Network, node: u64, cluster: ClusterId) -> Self {
        Self::start_of(network, node, cluster, 0)
    }

    fn start_of(network: &Network, node: u64, cluster: ClusterId, epoch: u64) -> Self {
        let snapshots = MemoryStores::new().open().snapshots;
        let (inbox, receiver) = Inbox::new(1 << 20, Arc::clone(&snapshots));
        let transport = network.transport(node);
        let local = Identity {
            cluster,
            group: GroupId::new(0),
            node: NodeId::new(node),
            incarnation: Incarnation::new(1),
            epoch: RecoveryEpoch::new(epoch),
        };
        transport.start(local, inbox).unwrap();
        Self {
            transport,
            receiver,
            snapshots,
        }
    }

    fn send(&self, from: u64, to: u64, round: u64) {
        self.transport.send(&peer(to), heartbeat(from, to, round));
    }

    async fn next(&mut self) -> Inbound {
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(20), self.receiver.control.recv());
            let next = wait.await.expect("nothing arrived").expect("inbox closed");
            if !matches!(next, Inbound::SnapshotProgressed { .. }) {
                return next;
            }
        }
    }

    async fn next_message(&mut self) -> Message {
        match self.next().await {
            Inbound::Message(message, _) => message,
            other => panic!("not a message: {other:?}"),
        }
    }
}

fn peer(id: u64) -> Peer {
    Peer {
        id: NodeId::new(id),
        address: String::new(),
    }
}

fn heartbeat(from: u64, to: u64, round: u64) -> Message {
    Message {
        group: GroupId::new(0),
        from: NodeId::new(from),
        incarnation: Incarnation::new(1),
        to: NodeId::new(to),
        term: Term::new(1),
        body: Body::Heartbeat {
            round: Round(round),
            commit: LogIndex::ZERO,
        },
    }
}

fn header() -> SnapshotHeader {
    SnapshotHeader {
        last: ChainLink {
            id: LogId::new(Term::new(1), LogIndex::new(5)),
            checksum: 7,
        },
        time: Default::default(),
        membership: Arc::new(Membership::of_voters([(1, "a")]).unwrap()),
        membership_at: LogId::ORIGIN,
    }
}

fn meta_of(header: SnapshotHeader, bytes: &[u8]) -> SnapshotMeta {
    SnapshotMeta {
        header,
        size: bytes.len() as u64,
        checksum: crc32c::crc32c(bytes),
    }
}

fn outbound(bytes: &[u8]) -> OutboundSnapshot {
    OutboundSnapshot {
        term: Term::new(1),
        meta: meta_of(header(), bytes),
        data: Box::new(std::io::Cursor::new(bytes::Bytes::copy_from_slice(bytes))),
    }
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let network = Network::new();
    let one = End::start(&network, 1);
    let mut two = End::start(&network, 2);
    one.send(1, 2, 7);
    assert_eq!(two.next_message().await, heartbeat(1, 2, 7));
    assert_eq!(network.counts().delivered, 1);
}

#[tokio::test]
async fn a_cut_link_loses_one_direction_until_it_is_healed() {
    let network = Network::new();
    let mut one = End::start(&network, 1);
    let mut two = End::start(&network, 2);
    network.cut_one_way(1, 2);
    one.send(1, 2, 1);
    two.send(2, 1, 2);
    assert_eq!(one.next_message().await, heartbeat(2, 1, 2));
    assert_eq!(network.counts().dropped, 1);
    network.heal();
    one.send(1, 2, 3);
    assert_eq!(two.next_message().await, heartbeat(1, 2, 3));
}

#[tokio::test]
async fn an_isolated_node_neither_sends_nor_receives() {
    let network = Network::new();
    let ends = [1, 2, 3].map(|node| End::start(&network, node));
    network.isolate(2);
    ends[0].send(1, 2, 1);
    ends[1].send(2, 3, 1);
    ends[0].send(1, 3, 1);
    let counts = network.counts();
    assert_eq!((counts.delivered, counts.dropped), (1, 2));
}

#[tokio::test]
async fn chosen_messages_are_lost() {
    let network = Network::new();
    let one = End::start(&network, 1);
    let mut two = End::start(&network, 2);
    network.lose_when(
        |message| matches!(message.body, Body::Heartbeat { round, .. } if round.0 % 2 == 1),
    );
    for round in 1..=4 {
        one.send(1, 2, round);
    }
    assert_eq!(two.next_message().await, heartbeat(1, 2, 2));
    assert_eq!(two.next_message().await, heartbeat(1, 2, 4));
}

#[tokio::test]
async fn a_restarted_node_receives_in_its_new_inbox_and_its_old_transport_is_dead() {
    let network = Network::new();
    let mut one = End::start(&network, 1);
    let old = End::start(&network, 2);
    let mut new = End::start(&network, 2);
    assert!(matches!(one.next().await, Inbound::Unreachable(id) if id == NodeId::new(2)));
    old.transport.stop();
    old.send(2, 1, 1);
    assert!(network.is_attached(2));
    new.send(2, 1, 2);
    assert_eq!(one.next_message().await, heartbeat(2, 1, 2));
    one.send(1, 2, 3);
    assert_eq!(new.next_message().await, heartbeat(1, 2, 3));
}

#[tokio::test]
async fn another_cluster_on_the_same_switch_hears_nothing() {
    let network = Network::new();
    let one = End::start(&network, 1);
    let _two = End::start_in(&network, 2, ClusterId::from_name("other"));
    one.send(1, 2, 1);
    assert_eq!(network.counts().dropped, 1);
}

#[tokio::test]
async fn a_node_of_the_time_before_a_recovery_hears_nothing_and_is_not_heard() {
    let network = Network::new();
    let one = End::start(&network, 1);
    let two = End::start_of(&network, 2, ClusterId::from_name("test"), 1);
    one.send(1, 2, 1);
    two.send(2, 1, 1);
    assert_eq!(network.counts().dropped, 2);
    assert_eq!(network.counts().delivered, 0);
}

#[tokio::test]
async fn a_snapshot_arrives_identical_and_both_ends_are_told() {
    let network = Network::new();
    let mut one = End::start(&network, 1);
    let mut two = End::start(&network, 2);
    let bytes: Vec<u8> = (0..700_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    one.transport.send_snapshot(&peer(2), outbound(&bytes));
    let Inbound::SnapshotReceived { from, meta, .. } = two.next().await else {
        panic!("no snapshot arrived");
    };
    assert_eq!((from, meta.size), (NodeId::new(1), 700_000));
    let (_, mut stored) = two.snapshots.open(meta.id()).unwrap();
    let mut arrived = Vec::new();
    stored.read_to_end(&mut arrived).unwrap();
    assert!(arrived == bytes, "the snapshot changed on its way");
    let sent = one.next().await;
    assert!(
        matches!(
            sent,
            Inbound::SnapshotSent {
                outcome: Ok(()),
                ..
            }
        ),
        "{sent:?}"
    );
}

#[tokio::test]
async fn a_snapshot_to_an_absent_node_fails_by_name() {
    let network = Network::new();
    let mut one = End::start(&network, 1);
    one.transport.send_snapshot(&peer(2), outbound(b"abc"));
    match one.next().await {
        Inbound::SnapshotSent { outcome, .. } => {
            assert_eq!(outcome, Err("node 2 is not attached".into()));
        }
        other => panic!("not an outcome: {other:?}"),
    }
}
