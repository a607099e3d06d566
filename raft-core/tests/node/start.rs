//! What a node checks before it starts.

use std::time::Duration;

use raft_core::config::Config;
use raft_core::entry::{Entry, Sealed};
use raft_core::id::{ChainLink, ClusterId, LogId, LogIndex, Term};
use raft_core::membership::Peer;
use raft_core::memory::{MemoryStores, Network};
use raft_core::message::Message;
use raft_core::node::{Node, StartError};
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::store::StableRecord;
use raft_core::time::ClusterTime;
use raft_core::transport::{Inbox, OutboundSnapshot, Transport};
use raft_core::{HardState, Identity};
use tokio::runtime::Handle;

use crate::support::{Book, Cluster, members, soon};

#[tokio::test(start_paused = true)]
async fn stores_of_another_node_or_cluster_are_refused() {
    let mut cluster = Cluster::start(3).await;
    cluster.stop_node(1).await;
    let stores = || cluster.disks[&1].open();
    let network = Network::new();
    let other_node = Node::builder(2, stores(), network.transport(2), Book::new());
    let error = other_node.start().await.unwrap_err();
    assert!(matches!(error, StartError::WrongIdentity { .. }), "{error}");
    assert!(error.to_string().contains("belong to node 1"), "{error}");
    let other_cluster = Node::builder(1, stores(), network.transport(1), Book::new())
        .cluster(ClusterId::from_name("another"));
    let error = other_cluster.start().await.unwrap_err();
    assert!(matches!(error, StartError::WrongIdentity { .. }), "{error}");
    cluster.start_node(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_keeps_its_incarnation_and_a_wiped_one_gets_another() {
    let mut cluster = Cluster::start(1).await;
    let first = cluster.node(1).identity();
    cluster.stop_node(1).await;
    cluster.start_node(1).await;
    assert_eq!(cluster.node(1).identity(), first);
    cluster.stop_node(1).await;
    cluster.disks.insert(1, MemoryStores::new());
    cluster.start_node(1).await;
    assert_ne!(cluster.node(1).identity(), first);
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let mut config = Config::default();
    config.election_timeout = Duration::from_millis(1);
    let network = Network::new();
    let builder = Node::builder(
        1,
        MemoryStores::new().open(),
        network.transport(1),
        Book::new(),
    );
    let error = builder.config(config).start().await.unwrap_err();
    assert!(matches!(error, StartError::Config(_)), "{error}");
    let builder = Node::builder(
        9,
        MemoryStores::new().open(),
        network.transport(9),
        Book::new(),
    );
    let error = builder.initial_membership(members(3)).start().await;
    let error = error.unwrap_err();
    assert!(matches!(error, StartError::NotAMember { .. }), "{error}");
}

#[tokio::test]
async fn a_transport_that_cannot_start_is_named() {
    let network = Network::new();
    let stores = MemoryStores::new().open();
    let builder = Node::builder(1, stores, network.transport(2), Book::new());
    let error = builder.start().await.unwrap_err();
    assert!(matches!(error, StartError::Transport { .. }), "{error}");
}

#[tokio::test]
async fn data_without_an_identity_is_refused() {
    let disk = MemoryStores::new();
    disk.open().log.append(&[entry(ChainLink::ORIGIN)]).unwrap();
    let network = Network::new();
    let builder = Node::builder(1, disk.open(), network.transport(1), Book::new());
    let error = builder.start().await.unwrap_err();
    assert!(matches!(error, StartError::NoIdentity { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_membership_waits_and_never_campaigns() {
    let network = Network::new();
    let stores = MemoryStores::new().open();
    let node = Node::builder(1, stores, network.transport(1), Book::new())
        .runtime(Handle::current())
        .start()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = node.status().await.unwrap();
    assert_eq!(status.raft.hard_state.term, Term::ZERO);
    assert!(status.raft.membership.voters().is_empty());
}

/// A second initial membership, after the first has become entry one, changes nothing.
#[tokio::test(start_paused = true)]
async fn an_initial_membership_counts_only_on_empty_stores() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    cluster.write(1, 0..1).await;
    cluster.stop_node(1).await;
    cluster.disks.insert(2, MemoryStores::new());
    cluster.start_node(1).await;
    let status = cluster.node(1).status().await.unwrap();
    let membership = status.raft.membership;
    assert_eq!(membership.voters(), members(1).voters());
}

/// Keeps its state by itself, and claims to have applied an entry.
struct Ahead(LogId);

impl StateMachine for Ahead {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<bytes::Bytes>, StateMachineError> {
        Ok(vec![bytes::Bytes::new(); batch.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(""))
    }

    fn restore(
        &mut self,
        _: &SnapshotMeta,
        _: &mut dyn std::io::Read,
    ) -> Result<(), StateMachineError> {
        Ok(())
    }

    fn last_applied(&self) -> Option<LogId> {
        Some(self.0)
    }

    fn may_block(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_keeps_its_state_goes_on_where_it_was_or_is_refused() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    let applied = cluster.node(1).propose("a").await.unwrap();
    cluster.stop_node(1).await;
    let ahead = LogId::new(applied.id.term, applied.id.index.plus(50));
    let other = LogId::new(applied.id.term.next(), applied.id.index);
    for wrong in [ahead, other] {
        let error = cluster.builder(1, Ahead(wrong)).start().await.unwrap_err();
        assert!(matches!(error, StartError::MachineAhead { .. }), "{error}");
    }
    let node = cluster.builder(1, Ahead(applied.id)).start().await.unwrap();
    let status = node.status().await.unwrap();
    assert_eq!(status.raft.applied, applied.id.index);
}

fn entry(previous: ChainLink) -> Entry {
    let sealed = Sealed::command("x");
    let entry = Entry::new(previous, Term::new(1), ClusterTime::ZERO, sealed);
    assert_eq!(entry.index(), LogIndex::new(previous.id.index.get() + 1));
    entry
}

/// Far more than fits into any queue of the node, and no snapshot of it. In real time: a thread has
/// much to do.
#[tokio::test]
async fn a_long_log_is_replayed_in_pieces() {
    const LINES: usize = 20_000;
    let mut config = Config::default();
    config.applying_bytes_max = 4_096;
    config.cached_bytes_max = 8_192;
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        let mut cluster = Cluster::start_with(1, config.clone(), book).await;
        cluster.leader().await;
        let lines: Vec<_> = (0..LINES).map(|line| format!("{line}").into()).collect();
        for result in soon(cluster.node(1).propose_many(lines)).await {
            result.unwrap();
        }
        cluster.stop_node(1).await;
        cluster.start_node(1).await;
        cluster.book(1).has(LINES).await;
        let lines = cluster.book(1).lines();
        assert!((0..LINES).all(|line| lines[line] == line.to_string()));
        cluster.leader().await;
        cluster.write(1, 0..1).await;
    }
}

/// Carries small messages only.
struct Narrow(raft_core::memory::NetworkTransport);

impl Transport for Narrow {
    fn start(&self, local: Identity, inbox: Inbox) -> std::io::Result<()> {
        self.0.start(local, inbox)
    }

    fn send(&self, to: &Peer, message: Message) {
        self.0.send(to, message);
    }

    fn send_snapshot(&self, to: &Peer, snapshot: OutboundSnapshot) {
        self.0.send_snapshot(to, snapshot);
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn message_bytes_max(&self) -> Option<usize> {
        Some(1 << 20)
    }
}

#[tokio::test]
async fn entries_that_the_transport_cannot_carry_are_refused_at_the_start() {
    let start = |entry_bytes_max, append_bytes_max| {
        let mut config = Config::default();
        config.entry_bytes_max = entry_bytes_max;
        config.append_bytes_max = append_bytes_max;
        let transport = Narrow(Network::new().transport(1));
        let stores = MemoryStores::new().open();
        let builder = Node::builder(1, stores, transport, Book::new());
        builder.config(config).start()
    };
    for (entry, append) in [(1 << 20, 1_000), (1_000, 1 << 20)] {
        let error = start(entry, append).await.unwrap_err();
        assert!(error.to_string().contains("frame_max"), "{error}");
    }
    start((1 << 20) - 1_000, 1_000).await.unwrap();
}

/// What a program asks before it decides to found a group or to join one.
#[tokio::test(start_paused = true)]
async fn stores_have_a_state_once_a_node_was_founded_or_has_joined() {
    let mut cluster = Cluster::start(0).await;
    for id in 1..=2 {
        cluster.disks.insert(id, MemoryStores::new());
        assert!(!cluster.disks[&id].open().has_state().unwrap());
    }
    let founds = cluster
        .builder(1, Book::new())
        .initial_membership(members(1));
    let waits = cluster.builder_that_joins(2, Book::new());
    for node in [founds.start().await.unwrap(), waits.start().await.unwrap()] {
        soon(node.shutdown()).await.unwrap();
    }
    assert!(cluster.disks[&1].open().has_state().unwrap());
    // It is known whose they are, and an initial membership would still count.
    let stores = cluster.disks[&2].open();
    assert!(Identity::load(stores.stable.as_ref()).unwrap().is_some());
    assert!(!stores.has_state().unwrap());
    // A term alone is a state: the node may have voted.
    let mut stores = MemoryStores::new().open();
    let voted = HardState {
        term: Term::new(1),
        vote: None,
    };
    voted.save(stores.stable.as_mut()).unwrap();
    assert!(stores.has_state().unwrap());
}
