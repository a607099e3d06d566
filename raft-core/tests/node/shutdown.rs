//! A leader hands over before it stops, and never waits long for that.

use raft_core::config::Config;
use raft_core::consensus::RoleName;
use raft_core::node::SnapshotError;
use tokio::time::Instant;

use crate::support::{Book, Cluster, soon};

#[tokio::test(start_paused = true)]
async fn a_leader_hands_over_before_it_stops() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    let began = Instant::now();
    cluster.stop_node(leader).await;
    let heir = cluster.leader().await;
    cluster.write(heir, 5..6).await;
    let election_timeout = cluster.config.election_timeout;
    assert!(began.elapsed() < election_timeout, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_that_is_dropped_hands_over_too() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    let began = Instant::now();
    drop(cluster.members.remove(&leader));
    let heir = cluster.leader().await;
    cluster.write(heir, 5..6).await;
    assert!(began.elapsed() < cluster.config.election_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_single_node_stops_at_once() {
    let mut cluster = Cluster::start(1).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    let began = Instant::now();
    cluster.stop_node(leader).await;
    assert!(began.elapsed() < cluster.config.heartbeat_interval);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_reaches_nobody_stops_within_an_election_timeout() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    cluster.network.isolate(leader);
    let began = Instant::now();
    let again = cluster.node(leader).clone();
    let second = tokio::spawn(async move { again.shutdown().await });
    cluster.stop_node(leader).await;
    soon(second).await.unwrap().unwrap();
    let patience = cluster.config.election_timeout + cluster.config.heartbeat_interval;
    assert!(began.elapsed() <= patience, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_last_of_three_stops_as_well() {
    let mut cluster = Cluster::start(3).await;
    cluster.leader().await;
    while let Some(node) = cluster.members.keys().next().copied() {
        cluster.stop_node(node).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_stops_at_once_and_its_leader_stays() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let began = Instant::now();
    cluster.stop_node(cluster.other_than(leader)).await;
    assert!(began.elapsed() < cluster.config.heartbeat_interval);
    let standing = *cluster.node(leader).watch().borrow();
    assert_eq!(standing.role, RoleName::Leader);
}

/// Whichever comes first, both are answered.
#[tokio::test(start_paused = true)]
async fn a_stop_and_a_snapshot_do_not_wait_for_each_other() {
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        for yields in 0..10 {
            let cluster = Cluster::start_with(1, Config::default(), book).await;
            cluster.leader().await;
            cluster.write(1, 0..1).await;
            let node = cluster.node(1).clone();
            let asked = node.clone();
            let snapshot = tokio::spawn(async move { asked.snapshot().await });
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            soon(node.shutdown()).await.unwrap();
            match soon(snapshot).await.unwrap() {
                Ok(meta) => assert!(meta.id().index.get() >= 3, "{meta:?}"),
                Err(error) => assert!(matches!(error, SnapshotError::Stopped(_)), "{error}"),
            }
        }
    }
}
