//! Snapshots: taken, sent, received, restored.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use raft_core::config::Config;
use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::node::{Node, NodeEvent, SnapshotError, StartError};
use raft_core::snapshot::SnapshotHeader;
use raft_core::store::Stores;
use raft_core::time::ClusterTime;

use crate::support::{Book, Cluster, Spoilt, event, id, members, soon};

fn often() -> Config {
    let mut config = Config::default();
    config.snapshot_entries = 10;
    config.trailing_entries = 2;
    config
}

async fn a_lagging_follower_gets_a_snapshot(book: fn() -> Book) {
    let cluster = Cluster::start_with(3, often(), book).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let follower = cluster.other_than(leader);
    cluster.network.isolate(follower);
    let mut events = cluster.node(leader).events();
    let taken = |event: &NodeEvent| match event {
        NodeEvent::SnapshotTaken(meta) => Some(meta.id()),
        _ => None,
    };
    cluster.write(leader, 1..40).await;
    event(&mut events, taken).await;
    let mut received = cluster.node(follower).events();
    cluster.network.heal();
    let from = event(&mut received, |event| match event {
        NodeEvent::SnapshotReceived { from, .. } => Some(*from),
        _ => None,
    })
    .await;
    assert_eq!(from, id(leader));
    cluster.book(follower).has(40).await;
    cluster.write(leader, 40..45).await;
    cluster.book(follower).has(45).await;
    assert_eq!(cluster.book(follower).lines(), cluster.book(leader).lines());
    let status = cluster.node(follower).status().await.unwrap();
    assert!(status.raft.snapshot.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lagging_follower_gets_a_snapshot_on_its_event_loop() {
    a_lagging_follower_gets_a_snapshot(Book::new).await;
}

#[tokio::test(start_paused = true)]
async fn a_lagging_follower_gets_a_snapshot_on_its_apply_thread() {
    a_lagging_follower_gets_a_snapshot(Book::that_may_block).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_begins_with_the_snapshot_and_goes_on_with_the_log() {
    let mut cluster = Cluster::start_with(1, often(), Book::new).await;
    cluster.leader().await;
    let mut events = cluster.node(1).events();
    cluster.write(1, 0..25).await;
    let meta = soon(cluster.node(1).snapshot()).await.unwrap();
    event(&mut events, |event| match event {
        NodeEvent::SnapshotTaken(taken) => (taken.id() == meta.id()).then_some(()),
        _ => None,
    })
    .await;
    cluster.write(1, 25..28).await;
    let before = cluster.stop_node(1).await;
    cluster.start_node(1).await;
    assert_eq!(cluster.book(1).lines(), before[..25]);
    cluster.leader().await;
    cluster.book(1).has(28).await;
    assert_eq!(cluster.book(1).lines(), before);
    let status = cluster.node(1).status().await.unwrap();
    assert_eq!(status.raft.snapshot, Some(meta.id()));
    assert!(status.raft.purged.get() > 0, "the log was never purged");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_on_request_holds_all_that_was_applied() {
    let cluster = Cluster::start(1).await;
    let early = cluster.node(1).snapshot().await;
    // Entry one, the membership, is not applied before there is a leader.
    assert!(
        matches!(early, Err(SnapshotError::NothingApplied)),
        "{early:?}"
    );
    cluster.leader().await;
    let applied = cluster.node(1).propose("a").await.unwrap();
    let meta = soon(cluster.node(1).snapshot()).await.unwrap();
    assert_eq!(meta.id(), applied.id);
    let again = soon(cluster.node(1).snapshot()).await.unwrap();
    assert_eq!(again, meta);
}

/// The old entries are no longer in the leader's memory: they come from its log store.
#[tokio::test(start_paused = true)]
async fn a_follower_behind_the_cache_is_fed_from_the_log() {
    let mut config = Config::default();
    config.cached_bytes_max = 1;
    let cluster = Cluster::start_with(3, config, Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let follower = cluster.other_than(leader);
    cluster.network.isolate(follower);
    cluster.write(leader, 1..40).await;
    cluster.network.heal();
    cluster.book(follower).has(40).await;
    assert_eq!(cluster.book(follower).lines(), cluster.book(leader).lines());
}

/// The node was killed after a leader's snapshot was durable, and before its log was purged.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_overtook_the_log_is_where_the_log_goes_on() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    cluster.write(1, 0..5).await;
    let life = cluster.node(1).identity().incarnation;
    cluster.stop_node(1).await;
    let last = ChainLink {
        id: LogId::new(Term::new(7), LogIndex::new(100)),
        checksum: 5,
    };
    let header = SnapshotHeader {
        last,
        time: ClusterTime::from_micros(9),
        membership: Arc::new(members(1).with_incarnations([(1, life)])),
        membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
    };
    let mut sink = cluster.disks[&1].open().snapshots.create(&header).unwrap();
    sink.write_all(b"far\nahead").unwrap();
    sink.finish().unwrap();
    cluster.start_node(1).await;
    assert_eq!(cluster.book(1).lines(), ["far", "ahead"]);
    let status = cluster.node(1).status().await.unwrap();
    assert_eq!(
        (status.raft.purged, status.raft.applied),
        (last.id.index, last.id.index)
    );
    cluster.leader().await;
    let applied = cluster.node(1).propose("on").await.unwrap();
    assert!(applied.id.index > last.id.index && applied.id.term > last.id.term);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_gives_way_to_the_log_that_still_has_everything() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    cluster.write(1, 0..5).await;
    let meta = soon(cluster.node(1).snapshot()).await.unwrap();
    cluster.stop_node(1).await;
    let (node, book) = start_spoilt(&cluster, vec![meta.id()]).await.unwrap();
    book.has(5).await;
    node.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_without_which_the_log_is_no_history_is_named() {
    let mut cluster = Cluster::start_with(1, often(), Book::new).await;
    cluster.leader().await;
    cluster.write(1, 0..40).await;
    soon(cluster.node(1).snapshot()).await.unwrap();
    cluster.stop_node(1).await;
    let list = cluster.disks[&1].open().snapshots.list().unwrap();
    let spoilt = list
        .iter()
        .map(raft_core::snapshot::SnapshotMeta::id)
        .collect();
    let error = start_spoilt(&cluster, spoilt).await.unwrap_err();
    assert!(
        matches!(&error, StartError::Store(store) if store.is_damage()),
        "{error}"
    );
    assert!(
        error.to_string().contains(&list[0].id().to_string()),
        "{error}"
    );
}

async fn start_spoilt(cluster: &Cluster, spoilt: Vec<LogId>) -> Result<(Node, Book), StartError> {
    let stores = cluster.disks[&1].open();
    let snapshots = Arc::new(Spoilt {
        snapshots: stores.snapshots,
        spoilt,
    });
    let stores = Stores {
        snapshots,
        ..stores
    };
    let book = Book::new();
    let builder = cluster.builder_on(1, stores, book.clone());
    Ok((builder.start().await?, book))
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_written_does_not_stop_the_node() {
    let mut cluster = Cluster::start_with(1, often(), Book::new).await;
    cluster.stop_node(1).await;
    let (node, book) = start_spoilt(&cluster, Vec::new()).await.unwrap();
    let mut events = node.events();
    let mut standing = node.watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    for line in 0..15 {
        node.propose(line.to_string()).await.unwrap();
    }
    let detail = event(&mut events, |event| match event {
        NodeEvent::SnapshotFailed { detail } => Some(detail.clone()),
        _ => None,
    })
    .await;
    assert!(detail.contains("spoilt: create failed"), "{detail}");
    let error = soon(node.snapshot()).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Failed(_)), "{error}");
    node.propose("on").await.unwrap();
    assert_eq!(book.lines().len(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_seldom_written_takes_its_snapshots_by_time() {
    let minute = Duration::from_secs(60);
    let mut config = Config::default();
    config.snapshot_interval = Some(minute);
    let cluster = Cluster::start_with(1, config, Book::new).await;
    cluster.leader().await;
    let mut events = cluster.node(1).events();
    for lines in [0..3, 3..4] {
        cluster.write(1, lines).await;
        let last = cluster.node(1).status().await.unwrap().raft.applied;
        tokio::time::advance(minute).await;
        let taken = event(&mut events, |event| match event {
            NodeEvent::SnapshotTaken(meta) => Some(meta.id().index),
            _ => None,
        });
        assert_eq!(taken.await, last);
    }
}
