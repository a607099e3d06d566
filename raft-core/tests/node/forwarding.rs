//! Proposals that are made at one node and appended by its leader.

use std::time::Duration;

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::consensus::To;
use raft_core::id::Term;
use raft_core::message::Body;
use raft_core::node::{Outcome, ProposeError, ProposeOptions};

use crate::support::{Book, Cluster, id, soon};

/// A group in which everybody knows the leader, the leader, and another node.
async fn three(config: Config) -> (Cluster, u64, u64) {
    let cluster = Cluster::start_with(3, config, Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let follower = cluster.other_than(leader);
    cluster.book(follower).has(1).await;
    (cluster, leader, follower)
}

fn forward() -> ProposeOptions {
    ProposeOptions::new().forward()
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_that_of_the_node_that_was_asked() {
    let (cluster, leader, follower) = three(Config::default()).await;
    let node = cluster.node(follower);
    let applied = soon(node.propose_with("a", forward())).await.unwrap();
    assert_eq!(applied.response, "2");
    assert_eq!(cluster.book(follower).lines(), ["line 0", "a"]);
    let commands: Vec<Bytes> = (0..100).map(|line| line.to_string().into()).collect();
    let results = soon(node.propose_many_with(commands.clone(), forward())).await;
    let responses: Vec<Bytes> = results
        .into_iter()
        .map(|result| result.unwrap().response)
        .collect();
    let expected: Vec<String> = (3..103).map(|count: usize| count.to_string()).collect();
    assert_eq!(responses, expected);
    cluster.book(leader).has(102).await;
    assert_eq!(cluster.book(leader).lines()[2..], commands);
    let counters = node.status().await.unwrap().counters;
    assert_eq!(counters.proposals_forwarded, 101);
    assert_eq!(node.status().await.unwrap().proposals_waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_question_is_unknown_and_is_not_asked_again() {
    let (cluster, leader, follower) = three(Config::default()).await;
    cluster
        .network
        .lose_when(|message| matches!(message.body, Body::Propose { .. }));
    let node = cluster.node(follower);
    let error = soon(node.propose_with("a", forward())).await.unwrap_err();
    assert!(matches!(error, ProposeError::ForwardLost), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let hurry = forward().deadline(Duration::from_millis(20));
    let error = soon(node.propose_with("b", hurry)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    cluster.network.heal();
    cluster.write(leader, 1..2).await;
    assert_eq!(cluster.book(leader).lines(), ["line 0", "line 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_unknown_and_the_command_applies_once() {
    let (cluster, leader, follower) = three(Config::default()).await;
    cluster
        .network
        .lose_when(|message| matches!(message.body, Body::ProposeReply { .. }));
    let error = soon(cluster.node(follower).propose_with("a", forward())).await;
    assert_eq!(error.unwrap_err().outcome(), Outcome::Unknown);
    cluster.book(follower).has(2).await;
    assert_eq!(cluster.book(leader).lines(), ["line 0", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_proposal_survives_the_leader_that_took_it() {
    let (mut cluster, leader, follower) = three(Config::default()).await;
    // It is not told of the commit by this leader.
    cluster
        .network
        .lose_when(|message| matches!(message.body, Body::Heartbeat { .. }));
    let node = cluster.node(follower).clone();
    let proposed = tokio::spawn(async move { node.propose_with("a", forward()).await });
    cluster.book(leader).has(2).await;
    cluster.stop_node(leader).await;
    cluster.network.heal();
    let applied = soon(proposed).await.unwrap();
    assert_eq!(applied.unwrap().response, "2");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_answers_all_the_same() {
    let (cluster, _, follower) = three(Config::default()).await;
    let node = cluster.node(follower).clone();
    cluster
        .network
        .lose_when(move |message| match message.body {
            Body::Heartbeat { .. } | Body::Append { .. } => message.to == id(follower),
            _ => message.from == id(follower) && !matches!(message.body, Body::Propose { .. }),
        });
    let error = soon(node.propose_with("a", forward())).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}

#[tokio::test(start_paused = true)]
async fn overload_at_the_leader_comes_back_as_overload() {
    let mut config = Config::default();
    config.unapplied_bytes_max = 100;
    let (cluster, _, follower) = three(config).await;
    let commands = vec![
        "x".repeat(60).into(),
        "y".repeat(30).into(),
        "z".repeat(60).into(),
    ];
    let results = soon(
        cluster
            .node(follower)
            .propose_many_with(commands, forward()),
    )
    .await;
    assert!(results[0].is_ok() && results[1].is_ok(), "{results:?}");
    let error = results[2].as_ref().unwrap_err();
    assert!(matches!(error, ProposeError::Overloaded), "{error}");
    assert_eq!(error.outcome(), Outcome::NeverApplied);
}

#[tokio::test(start_paused = true)]
async fn an_expected_term_of_the_past_refuses_everywhere() {
    let (cluster, leader, follower) = three(Config::default()).await;
    let term = cluster.node(leader).watch().borrow().term;
    let bound = forward().expected_term(term);
    soon(cluster.node(leader).propose_with("a", bound))
        .await
        .unwrap();
    soon(cluster.node(follower).propose_with("b", bound))
        .await
        .unwrap();
    let heir = cluster.node(leader).transfer_leadership(To::Best);
    let heir = soon(heir).await.unwrap().get();
    cluster.write(heir, 1..2).await;
    for member in cluster.members.values() {
        let mut standing = member.node.watch();
        soon(standing.wait_for(|now| now.term > term))
            .await
            .unwrap();
        let error = soon(member.node.propose_with("c", bound))
            .await
            .unwrap_err();
        let (was, is) = (term, Term::new(term.get() + 1));
        assert!(
            matches!(error, ProposeError::TermChanged { expected, current } if (expected, current) == (was, is)),
            "{error}"
        );
        assert_eq!(error.outcome(), Outcome::NeverApplied);
    }
}
