//! Everybody who waits is answered, whatever happens to the node.

use raft_core::change::MembershipChange;
use raft_core::consensus::Fault;
use raft_core::membership::Membership;
use raft_core::memory::{MemoryStores, Network};
use raft_core::node::{Node, NodeEvent, Outcome, ProposeError, ReadMode, StopReason};
use tokio::runtime::Handle;

use crate::support::{Book, Cluster, event, soon};

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_says_that_it_does_not_know() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    cluster.write(old, 0..1).await;
    cluster.network.isolate(old);
    let node = cluster.node(old).clone();
    let waits = tokio::spawn(async move { node.propose("lost").await });
    let new = cluster.leader_other_than(old).await;
    cluster.write(new, 1..2).await;
    cluster.network.heal();
    let error = soon(waits).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ProposeError::LeadershipLost { .. }),
        "{error}"
    );
    assert_eq!(error.outcome(), Outcome::Unknown);
    cluster.book(old).has(2).await;
    assert_eq!(cluster.book(old).lines(), ["line 0", "line 1"]);
}

#[tokio::test(start_paused = true)]
async fn every_future_resolves_on_shutdown() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    cluster.network.isolate(leader);
    let node = cluster.node(leader).clone();
    let mut proposals = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..50 {
        let handle = node.clone();
        proposals.push(tokio::spawn(async move { handle.propose("never").await }));
        let handle = node.clone();
        let read = async move { handle.read_barrier(ReadMode::Linearizable).await };
        reads.push(tokio::spawn(read));
    }
    let handle = node.clone();
    let batch = tokio::spawn(async move { handle.propose_many(vec!["a".into(); 9]).await });
    while node.status().await.unwrap().proposals_waiting < 59 {
        tokio::task::yield_now().await;
    }
    let mut events = node.events();
    soon(node.shutdown()).await.unwrap();
    for proposal in proposals {
        // While it tries in vain to hand over, it may lose its office before it stops.
        let error = soon(proposal).await.unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    }
    for result in soon(batch).await.unwrap() {
        assert_eq!(result.unwrap_err().outcome(), Outcome::Unknown);
    }
    for read in reads {
        assert!(soon(read).await.unwrap().is_err());
    }
    let error = node.propose("too late").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NeverApplied);
    assert!(node.status().await.is_err());
    assert!(node.snapshot().await.is_err());
    let reason = event(&mut events, stop_reason).await;
    assert!(matches!(reason, StopReason::Shutdown));
    assert!(events.next().await.is_none());
    assert!(node.events().next().await.is_none());
    soon(node.shutdown()).await.unwrap();
}

/// What is queued while the event loop does not run is answered too, as never applied.
#[tokio::test(start_paused = true)]
async fn what_was_queued_behind_the_shutdown_was_never_applied() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let node = cluster.node(1).clone();
    let proposals: Vec<_> = (0..5_000)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.propose("x").await })
        })
        .collect();
    let (stopped, ()) = tokio::join!(node.shutdown(), async {});
    stopped.unwrap();
    let mut applied = 0;
    for proposal in proposals {
        match soon(proposal).await.unwrap() {
            Ok(_) => applied += 1,
            Err(error) => assert!(matches!(error, ProposeError::Stopped { .. }), "{error}"),
        }
    }
    assert_eq!(cluster.book(1).lines().len(), applied);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_stops_the_node_and_is_named_to_everybody() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let node = cluster.node(1);
    node.propose("a").await.unwrap();
    cluster.disks[&1].break_down();
    let error = soon(node.propose("b")).await.unwrap_err();
    let ProposeError::Stopped { reason, outcome } = error else {
        panic!("{error}");
    };
    assert_eq!(outcome, Outcome::Unknown);
    assert!(matches!(reason, StopReason::Store(_)), "{reason}");
    assert!(
        reason.to_string().contains("memory store: append failed"),
        "{reason}"
    );
    assert!(matches!(soon(node.stopped()).await, StopReason::Store(_)));
    assert!(matches!(
        soon(node.shutdown()).await,
        Err(StopReason::Store(_))
    ));
}

/// It was in force from its append on; an append that failed leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_change_that_could_not_be_written_is_not_in_force_after_a_restart() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    cluster.write(1, 0..1).await;
    cluster.disks[&1].break_down();
    let change = MembershipChange::new().add_learner(2, "memory:2");
    soon(cluster.node(1).change_membership(change))
        .await
        .unwrap_err();
    assert!(matches!(
        soon(cluster.node(1).stopped()).await,
        StopReason::Store(_)
    ));
    cluster.members.clear();
    cluster.disks[&1].crash();
    cluster.start_node(1).await;
    cluster.leader().await;
    cluster.write(1, 1..2).await;
    let status = soon(cluster.node(1).status()).await.unwrap();
    assert_eq!(
        status.raft.membership.voters(),
        crate::support::members(1).voters()
    );
    assert_eq!(cluster.book(1).lines(), ["line 0", "line 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_or_panicking_machine_stops_the_node_and_answers_everybody() {
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        for (command, said) in [("fail", "told to fail"), ("panic", "told to panic")] {
            let config = raft_core::config::Config::default();
            let cluster = Cluster::start_with(1, config, book).await;
            cluster.leader().await;
            let node = cluster.node(1);
            let commands = vec!["fine".into(), command.into(), "behind".into()];
            for result in soon(node.propose_many(commands)).await {
                let error = result.unwrap_err();
                assert_eq!(error.outcome(), Outcome::Unknown);
                assert!(error.to_string().contains(said), "{error}");
            }
            let reason = soon(node.stopped()).await;
            assert!(matches!(reason, StopReason::StateMachine(_)), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_node() {
    let mut cluster = Cluster::start(1).await;
    let mut events = cluster.node(1).events();
    let other = cluster.node(1).clone();
    cluster.members.clear();
    other.propose("still here").await.unwrap_err();
    drop(other);
    let reason = event(&mut events, stop_reason).await;
    assert!(matches!(reason, StopReason::Shutdown));
    assert!(!cluster.network.is_attached(1));
}

#[tokio::test(start_paused = true)]
async fn different_initial_memberships_are_detected_and_not_merged() {
    let network = Network::new();
    let mut nodes = Vec::new();
    for id in [1, 2] {
        let other_address = format!("wrong by {id}");
        let membership = Membership::of_voters([(1, "a".to_owned()), (2, other_address)]).unwrap();
        let node = Node::builder(
            id,
            MemoryStores::new().open(),
            network.transport(id),
            Book::new(),
        )
        .initial_membership(membership)
        .runtime(Handle::current());
        nodes.push(node.start().await.unwrap());
    }
    let reason = soon(async {
        tokio::select! {
            reason = nodes[0].stopped() => reason,
            reason = nodes[1].stopped() => reason,
        }
    })
    .await;
    assert!(
        matches!(reason, StopReason::Fault(Fault::Divergence { .. })),
        "{reason}"
    );
    assert!(
        reason.to_string().contains("different initial memberships"),
        "{reason}"
    );
}

/// The runtime that was given to the node is torn down under it.
#[test]
fn a_runtime_that_ends_first_answers_everybody() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (outer, inner) = (runtime(), runtime());
    let network = Network::new();
    let stores = MemoryStores::new().open();
    let builder = Node::builder(1, stores, network.transport(1), Book::that_may_block())
        .initial_membership(crate::support::members(2))
        .runtime(inner.handle().clone());
    let node = inner.block_on(builder.start()).unwrap();
    let handle = node.clone();
    let read = outer.spawn(async move { handle.read_barrier(ReadMode::Linearizable).await });
    drop(inner);
    outer.block_on(async {
        let reason = soon(node.stopped()).await;
        assert!(matches!(reason, StopReason::RuntimeGone), "{reason}");
        assert!(soon(read).await.unwrap().is_err());
        let error = soon(node.propose("x")).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NeverApplied);
    });
}

fn stop_reason(event: &NodeEvent) -> Option<StopReason> {
    match event {
        NodeEvent::Stopped(reason) => Some(reason.clone()),
        _ => None,
    }
}
