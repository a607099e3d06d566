//! Calls that cannot be meant: each is refused, changes nothing, and says what to do instead.

use std::time::Duration;

use raft_core::change::MembershipChange;
use raft_core::config::Config;
use raft_core::consensus::To;
use raft_core::id::{ClusterId, Term};
use raft_core::membership::Membership;
use raft_core::memory::Network;
use raft_core::node::{Node, ProposeOptions, ReadMode};

use crate::support::{Book, Cluster, id, members, soon};

async fn refused(node: &Node, change: MembershipChange) -> String {
    let answer = soon(node.change_membership(change)).await;
    answer.unwrap_err().to_string()
}

async fn not_handed_over(node: &Node, to: u64) -> String {
    let answer = soon(node.transfer_leadership(To::Node(id(to)))).await;
    answer.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_bad_change_or_transfer_names_the_fix() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let node = cluster.node(leader);
    let change = MembershipChange::new;
    let learner = change().add_learner(4, "memory:4");
    soon(node.change_membership(learner)).await.unwrap();
    let follower = cluster.node(cluster.other_than(leader));
    let elsewhere = format!("ask node {leader}");
    let cases = [
        (
            not_handed_over(node, 4).await,
            "promote it first, or name a voter",
        ),
        (not_handed_over(node, 9).await, "name one of its voters"),
        (not_handed_over(node, leader).await, "leads already"),
        (not_handed_over(follower, leader).await, &elsewhere),
        (
            refused(node, change()).await,
            "say whom to add, remove, promote or demote",
        ),
        (
            refused(node, change().remove(1).remove(2).remove(3)).await,
            "keep at least one",
        ),
        (
            refused(node, change().remove(9)).await,
            "name one of the members",
        ),
        (refused(node, change().promote(9)).await, "add it first"),
        (
            refused(node, change().add_voter(4, "x")).await,
            "promote it, or set its address",
        ),
        (
            refused(node, change().add_voter(5, "")).await,
            "say where it is reached",
        ),
        (
            refused(node, MembershipChange::abort()).await,
            "nothing to abort",
        ),
        (refused(follower, change().remove(4)).await, &elsewhere),
    ];
    for (said, fix) in cases {
        assert!(said.contains(fix), "`{said}` does not say `{fix}`");
    }
    let status = soon(node.status()).await.unwrap();
    assert_eq!(status.raft.membership.voters().len(), 3);
    assert_eq!(status.raft.membership.members().len(), 4);
    assert!(status.raft.membership.goal().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_within_a_change_names_the_fix() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let node = cluster.node(leader).clone();
    let mut events = node.events();
    let endless = MembershipChange::new().add_voter(9, "memory:9");
    let first = node.clone();
    let first = tokio::spawn(async move { first.change_membership(endless).await });
    crate::support::event(&mut events, |event| {
        matches!(event, raft_core::node::NodeEvent::MembershipChanged { .. }).then_some(())
    })
    .await;
    cluster.write(leader, 1..2).await;
    let said = refused(&node, MembershipChange::new().remove(9)).await;
    assert!(said.contains("wait for it, or abort it"), "{said}");
    soon(node.change_membership(MembershipChange::abort()))
        .await
        .unwrap();
    let said = soon(first).await.unwrap().unwrap_err().to_string();
    assert!(said.contains("was given up"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_start_names_the_fix() {
    let nobody = Membership::of_voters(Vec::<(u64, String)>::new());
    let twice = Membership::of_voters([(1, "a"), (1, "b")]);
    let nowhere = Membership::of_voters([(1, "")]);
    let mut cases = vec![
        (nobody.unwrap_err().to_string(), "name one"),
        (twice.unwrap_err().to_string(), "name it once"),
        (nowhere.unwrap_err().to_string(), "say where it is reached"),
    ];
    let mut cluster = Cluster::start(3).await;
    cluster.leader().await;
    cluster.stop_node(1).await;
    let network = Network::new();
    let stores = || cluster.disks[&1].open();
    let other_cluster = Node::builder(1, stores(), network.transport(1), Book::new())
        .cluster(ClusterId::from_name("another"));
    let said = other_cluster.start().await.unwrap_err().to_string();
    cases.push((said, "give this node its own stores"));
    let stranger = Node::builder(
        9,
        raft_core::memory::MemoryStores::new().open(),
        network.transport(9),
        Book::new(),
    );
    let stranger = stranger.initial_membership(members(3)).start().await;
    cases.push((
        stranger.unwrap_err().to_string(),
        "add it, or give no initial membership",
    ));
    for (said, fix) in cases {
        assert!(said.contains(fix), "`{said}` does not say `{fix}`");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_proposal_or_read_names_the_fix() {
    let mut config = Config::default();
    config.entry_bytes_max = 100;
    config.unapplied_bytes_max = 100;
    let cluster = Cluster::start_with(3, config, Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let node = cluster.node(leader);
    let past = ProposeOptions::new().expected_term(Term::new(1));
    let too_large = "split it, or raise entry_bytes_max";
    let mut cases = Vec::new();
    for options in [ProposeOptions::new(), ProposeOptions::new().forward()] {
        let said = soon(node.propose_with("x".repeat(101), options)).await;
        cases.push((said.unwrap_err().to_string(), too_large));
    }
    for options in [past, past.forward()] {
        let said = soon(node.propose_with("x", options)).await;
        cases.push((
            said.unwrap_err().to_string(),
            "look again at what it was decided by",
        ));
    }
    let commands = vec!["x".repeat(60).into(), "y".repeat(60).into()];
    let said = soon(node.propose_many(commands)).await;
    cases.push((
        said[1].as_ref().unwrap_err().to_string(),
        "propose again a little later",
    ));
    let said = soon(node.read_barrier(ReadMode::Bounded {
        lag: Duration::ZERO,
    }))
    .await;
    cases.push((said.unwrap_err().to_string(), "ask for a linearizable one"));
    for (said, fix) in cases {
        assert!(said.contains(fix), "`{said}` does not say `{fix}`");
    }
    assert_eq!(cluster.book(leader).lines().len(), 2);
}
