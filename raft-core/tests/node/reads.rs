//! Reads of every freshness, through whole nodes.

use std::time::Duration;

use raft_core::config::Config;
use raft_core::id::LogIndex;
use raft_core::node::{ReadError, ReadMode};
use tokio::time::{Instant, advance};

use crate::support::{Book, Cluster, soon};

const LAG: ReadMode = ReadMode::Bounded {
    lag: Duration::from_millis(200),
};

#[tokio::test(start_paused = true)]
async fn a_bounded_read_asks_the_leader_once_for_all_within_its_lag() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let follower = cluster.other_than(leader);
    let node = cluster.node(follower);
    soon(node.read_barrier(LAG)).await.unwrap();
    assert_eq!(cluster.book(follower).lines().len(), 3);
    let sent = node.status().await.unwrap().counters.messages_sent;
    for _ in 0..10 {
        soon(node.read_barrier(LAG)).await.unwrap();
    }
    assert_eq!(node.status().await.unwrap().counters.messages_sent, sent);
    cluster.network.isolate(follower);
    advance(Duration::from_millis(250)).await;
    let error = soon(node.read_barrier(LAG)).await.unwrap_err();
    let ReadError::TooStale {
        lag,
        behind: Some(behind),
    } = error
    else {
        panic!("{error}");
    };
    assert!(behind > lag && lag == Duration::from_millis(200), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_bounded_read_waits_for_the_next_leader() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let follower = cluster.other_than(leader);
    cluster.stop_node(leader).await;
    soon(cluster.node(follower).read_barrier(LAG))
        .await
        .unwrap();
    assert_eq!(cluster.book(follower).lines().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn every_member_reads_by_the_leaders_lease() {
    let mut config = Config::default();
    config.lease_reads = true;
    let cluster = Cluster::start_with(3, config, Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    for member in cluster.members.values() {
        soon(member.node.read_barrier(ReadMode::Lease))
            .await
            .unwrap();
        assert_eq!(member.book.lines().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_of_every_mode_resolves_on_a_node_that_is_cut_off() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let everyone: Vec<u64> = cluster.members.keys().copied().collect();
    for node in &everyone {
        cluster.network.isolate(*node);
    }
    let began = Instant::now();
    for node in everyone {
        for mode in [
            ReadMode::Linearizable,
            ReadMode::Lease,
            LAG,
            ReadMode::AtLeast(LogIndex::new(1_000)),
        ] {
            soon(cluster.node(node).read_barrier(mode))
                .await
                .unwrap_err();
        }
        let local = cluster.node(node).read_barrier(ReadMode::Local).await;
        assert!(local.is_ok());
    }
    assert!(began.elapsed() < Duration::from_secs(60));
}
