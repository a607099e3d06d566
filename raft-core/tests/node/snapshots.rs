//! Snapshots: taken, sent, received, restored.

use raft_core::config::Config;
use raft_core::node::{NodeEvent, SnapshotError};

use crate::support::{Book, Cluster, event, id, soon};

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
