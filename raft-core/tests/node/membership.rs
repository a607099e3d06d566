//! Changes of membership and transfers of leadership, through whole nodes.

use raft_core::change::{ChangeError, MembershipChange};
use raft_core::consensus::{ChangeRefusal, RoleName, To, TransferError};
use raft_core::id::NodeId;
use raft_core::membership::Membership;
use raft_core::memory::MemoryStores;
use raft_core::node::{
    ChangeMembershipError, Node, NodeEvent, StopReason, TransferLeadershipError,
};
use tokio::runtime::Handle;

use crate::support::{Book, Cluster, Member, event, id, soon};

/// Starts a node with empty stores, which belongs to no group yet.
async fn start_empty(cluster: &mut Cluster, node: u64) {
    let book = Book::new();
    let stores = MemoryStores::new().open();
    let transport = cluster.network.transport(node);
    let started = Node::builder(node, stores, transport, book.clone())
        .config(cluster.config.clone())
        .runtime(Handle::current())
        .start();
    let node_handle = started.await.unwrap();
    let member = Member {
        node: node_handle,
        book,
    };
    cluster.members.insert(node, member);
}

async fn membership(node: &Node) -> Membership {
    let status = soon(node.status()).await.unwrap();
    Membership::clone(&status.raft.membership)
}

/// Waits until `node` knows a settled membership with these voters.
async fn has_voters(node: &Node, voters: &[u64]) {
    let mut events = node.events();
    let voters = voters.iter().copied().map(NodeId::new).collect();
    let is_there = |known: &Membership| *known.voters() == voters && !known.is_joint();
    if !is_there(&membership(node).await) {
        event(&mut events, |event| match event {
            NodeEvent::MembershipChanged { membership, .. } => is_there(membership).then_some(()),
            _ => None,
        })
        .await;
    }
}

fn never_catches_up() -> MembershipChange {
    MembershipChange::new().add_voter(9, "memory:9")
}

/// Begins a change that waits for a node that does not exist.
async fn begin_endless_change(
    node: &Node,
) -> tokio::task::JoinHandle<Result<raft_core::id::LogId, ChangeMembershipError>> {
    let mut events = node.events();
    let handle = node.clone();
    let change = async move { handle.change_membership(never_catches_up()).await };
    let change = tokio::spawn(change);
    event(&mut events, |event| match event {
        NodeEvent::MembershipChanged { .. } => Some(()),
        _ => None,
    })
    .await;
    change
}

#[tokio::test(start_paused = true)]
async fn an_empty_node_joins_gets_a_vote_and_can_lead() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    start_empty(&mut cluster, 4).await;
    let change = MembershipChange::new().add_voter(4, "memory:4");
    let at = soon(cluster.node(leader).change_membership(change)).await;
    let status = cluster.node(leader).status().await.unwrap();
    assert_eq!(status.raft.membership_at, at.unwrap());
    assert!(status.raft.membership.voters().contains(&id(4)));
    cluster.book(4).has(5).await;
    let led = soon(cluster.node(leader).transfer_leadership(To::Node(id(4)))).await;
    assert_eq!(led.unwrap(), id(4));
    cluster.write(4, 5..6).await;
}

#[tokio::test(start_paused = true)]
async fn several_members_are_replaced_at_once() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..5).await;
    start_empty(&mut cluster, 4).await;
    start_empty(&mut cluster, 5).await;
    let mut change = MembershipChange::new()
        .add_voter(4, "memory:4")
        .add_voter(5, "memory:5");
    for leaving in (1..=3).filter(|node| *node != leader) {
        change = change.remove(leaving);
    }
    soon(cluster.node(leader).change_membership(change))
        .await
        .unwrap();
    for leaving in (1..=3).filter(|node| *node != leader) {
        cluster.stop_node(leaving).await;
    }
    cluster.write(leader, 5..6).await;
    has_voters(cluster.node(4), &[leader, 4, 5]).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_removes_itself_hands_over_and_its_heir_ends_the_change() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let change = MembershipChange::new().remove(leader);
    let error = soon(cluster.node(leader).change_membership(change)).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ChangeMembershipError::LeadershipLost { .. }),
        "{error}"
    );
    let heir = cluster.leader_other_than(leader).await;
    let rest: Vec<u64> = (1..=3).filter(|node| *node != leader).collect();
    has_voters(cluster.node(heir), &rest).await;
    cluster.write(heir, 1..3).await;
    assert_eq!(
        cluster.node(leader).watch().borrow().role,
        RoleName::Follower
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_given_up_says_so_to_its_caller() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let node = cluster.node(leader);
    let change = begin_endless_change(node).await;
    cluster.write(leader, 1..2).await; // What it began with is committed.
    let nested = soon(node.change_membership(never_catches_up())).await;
    let nested = nested.unwrap_err();
    let is_refused = matches!(
        &nested,
        ChangeMembershipError::Refused(ChangeRefusal::Invalid(ChangeError::InProgress { .. }))
    );
    assert!(is_refused, "{nested}");
    let abort = MembershipChange::abort();
    let at = soon(node.change_membership(abort)).await.unwrap();
    let error = soon(change).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ChangeMembershipError::Aborted { at: given_up } if given_up == at),
        "{error}"
    );
    assert!(membership(node).await.goal().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_under_way_resolves_when_leadership_is_lost() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let change = begin_endless_change(cluster.node(leader)).await;
    cluster.network.isolate(leader);
    let error = soon(change).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ChangeMembershipError::LeadershipLost { .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn changes_and_transfers_resolve_on_shutdown() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let node = cluster.node(leader).clone();
    let change = begin_endless_change(&node).await;
    cluster.network.isolate(leader);
    let target = id(cluster.other_than(leader));
    let handle = node.clone();
    let transfer = async move { handle.transfer_leadership(To::Node(target)).await };
    let transfer = tokio::spawn(transfer);
    tokio::task::yield_now().await;
    soon(node.shutdown()).await.unwrap();
    assert!(soon(change).await.unwrap().is_err());
    assert!(soon(transfer).await.unwrap().is_err());
    let error = node.change_membership(never_catches_up()).await;
    assert!(matches!(
        error,
        Err(ChangeMembershipError::Stopped(StopReason::Shutdown))
    ));
    let error = node.transfer_leadership(To::Best).await;
    assert!(matches!(
        error,
        Err(TransferLeadershipError::Stopped(StopReason::Shutdown))
    ));
}

#[tokio::test(start_paused = true)]
async fn leadership_goes_where_it_is_sent_and_stays_where_it_cannot() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let away = cluster.other_than(leader);
    cluster.network.isolate(away);
    let node = cluster.node(leader);
    let error = soon(node.transfer_leadership(To::Node(id(away)))).await;
    assert!(matches!(
        error,
        Err(TransferLeadershipError::Failed(TransferError::TargetNotReady(target))) if target == id(away)
    ));
    cluster.write(leader, 1..2).await;
    cluster.network.heal();
    let led = soon(node.transfer_leadership(To::Best)).await.unwrap();
    assert_eq!(led, node.watch().borrow().leader.unwrap());
    cluster.write(led.get(), 2..3).await;
    let error = node.transfer_leadership(To::Best).await;
    assert!(matches!(
        error,
        Err(TransferLeadershipError::Failed(TransferError::NotLeader(Some(now)))) if now == led
    ));
}
