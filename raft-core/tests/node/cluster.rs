//! What a group of nodes does when all goes well, and when a node goes away and comes back.

use bytes::Bytes;
use raft_core::consensus::RoleName;
use raft_core::id::LogIndex;
use raft_core::node::{Counters, ProposeError, ReadMode};

use crate::support::{Book, Cluster, id, soon};

#[tokio::test(start_paused = true)]
async fn a_single_node_applies_and_reads() {
    let cluster = Cluster::start(1).await;
    assert_eq!(cluster.leader().await, 1);
    let node = cluster.node(1);
    let first = node.propose("a").await.unwrap();
    let second = node.propose("b").await.unwrap();
    assert_eq!((first.response, second.response), ("1".into(), "2".into()));
    assert!(second.id.index > first.id.index);
    let read = node.read_barrier(ReadMode::Linearizable).await.unwrap();
    assert!(read >= second.id.index);
    assert_eq!(cluster.book(1).lines(), ["a", "b"]);
    node.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn three_nodes_go_on_without_their_leader_and_take_it_back() {
    let mut cluster = Cluster::start(3).await;
    let first = cluster.leader().await;
    cluster.write(first, 0..10).await;
    cluster.stop_node(first).await;
    let second = cluster.leader().await;
    assert_ne!(first, second);
    cluster.write(second, 10..20).await;
    cluster.start_node(first).await;
    cluster.write(second, 20..21).await;
    for member in cluster.members.values() {
        member.book.has(21).await;
        assert_eq!(member.book.lines(), cluster.book(second).lines());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_killed_comes_back_with_all_it_had_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    let ids: Vec<u64> = cluster.members.keys().copied().collect();
    for node in &ids {
        cluster.disks[node].crash();
        // The store is taken away under it: it notices at its next write, or here.
        let member = cluster.members.remove(node).unwrap();
        let _ = soon(member.node.shutdown()).await;
    }
    for node in ids {
        cluster.start_node(node).await;
    }
    let leader = cluster.leader().await;
    cluster.write(leader, 5..6).await;
    for member in cluster.members.values() {
        member.book.has(6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_applied_in_the_order_it_was_given() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let lines: Vec<Bytes> = (0..100).map(|line| line.to_string().into()).collect();
    let results = soon(cluster.node(leader).propose_many(lines.clone())).await;
    let responses: Vec<String> = results
        .into_iter()
        .map(|result| String::from_utf8(result.unwrap().response.to_vec()).unwrap())
        .collect();
    let expected: Vec<String> = (1..=100).map(|count: usize| count.to_string()).collect();
    assert_eq!(responses, expected);
    assert_eq!(cluster.book(leader).lines(), lines);
}

#[tokio::test(start_paused = true)]
async fn every_member_serves_linearizable_reads() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    for member in cluster.members.values() {
        soon(member.node.read_barrier(ReadMode::Linearizable))
            .await
            .unwrap();
        assert_eq!(member.book.lines().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_local_read_waits_for_nobody() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    cluster.network.isolate(leader);
    let index = cluster.node(leader).read_barrier(ReadMode::Local).await;
    assert!(index.unwrap() > LogIndex::new(3));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_lead_names_the_leader() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let follower = cluster.other_than(leader);
    let mut standing = cluster.node(follower).watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    let error = cluster.node(follower).propose("x").await.unwrap_err();
    assert!(matches!(error, ProposeError::NotLeader { leader: Some(hint) } if hint == id(leader)));
}

#[tokio::test(start_paused = true)]
async fn a_campaign_moves_the_leadership_at_once() {
    let cluster = Cluster::start(1).await;
    let mut standing = cluster.node(1).watch();
    cluster.node(1).campaign();
    soon(standing.wait_for(|now| now.role == RoleName::Leader))
        .await
        .unwrap();
}

/// A write on a group that stands still wakes its leader twice (the request, the acknowledgements)
/// and a follower once (the entry; the commit comes with the next heartbeat), for one sync each.
/// No time passes meanwhile, so no heartbeat is counted.
#[tokio::test(start_paused = true)]
async fn a_single_write_at_rest_costs_at_most_two_wake_ups_a_node() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    for member in cluster.members.values() {
        member.book.has(1).await;
    }
    for _ in 0..10 {
        tokio::task::yield_now().await; // The last heartbeat's answers arrive.
    }
    let before = counters(&cluster).await;
    cluster.write(leader, 1..2).await;
    let after = counters(&cluster).await;
    for (before, after) in before.iter().zip(&after) {
        // The second question cost a wake-up too.
        let wake_ups = after.wake_ups - before.wake_ups - 1;
        assert!((1..=2).contains(&wake_ups), "{wake_ups} wake-ups");
        assert_eq!(after.log_syncs - before.log_syncs, 1);
        assert!(after.messages_sent - before.messages_sent <= 2);
    }
}

async fn counters(cluster: &Cluster) -> Vec<Counters> {
    let mut all = Vec::new();
    for member in cluster.members.values() {
        all.push(member.node.status().await.unwrap().counters);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn threads_and_the_event_loop_give_the_same_results() {
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        let cluster = Cluster::start_with(3, raft_core::config::Config::default(), book).await;
        let leader = cluster.leader().await;
        cluster.write(leader, 0..20).await;
        for member in cluster.members.values() {
            member.book.has(20).await;
            assert_eq!(member.book.lines(), cluster.book(leader).lines());
        }
    }
}
