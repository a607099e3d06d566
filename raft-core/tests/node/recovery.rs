//! A group that has lost its quorum for ever, and goes on by decree.

use raft_core::id::RecoveryEpoch;
use raft_core::membership::Membership;
use raft_core::memory::MemoryStores;
use raft_core::node::Node;
use raft_core::recover::{RecoveryPlan, follow, force_membership, plan};
use tokio::runtime::Handle;

use crate::support::{Book, Cluster, Member, members, soon};

/// Three nodes with twenty lines, all stopped: who is to survive, and the others.
async fn stopped() -> (Cluster, u64, Vec<u64>) {
    let mut cluster = Cluster::start(3).await;
    let survivor = cluster.leader().await;
    cluster.write(survivor, 0..20).await;
    for id in 1..=3 {
        cluster.book(id).has(20).await;
    }
    for id in 1..=3 {
        cluster.stop_node(id).await;
    }
    let lost = (1..=3).filter(|id| *id != survivor).collect();
    (cluster, survivor, lost)
}

fn recover(cluster: &Cluster, survivor: u64, members: &[u64]) -> RecoveryPlan {
    let voters = members.iter().map(|id| (*id, format!("memory:{id}")));
    let membership = Membership::of_voters(voters).unwrap();
    let mut stores = cluster.disks[&survivor].open();
    let plan = plan(&stores, membership).unwrap();
    force_membership(&mut stores, &plan).unwrap();
    plan
}

/// Starts a node on new stores. An initial membership is ignored in a recovered group.
async fn start_new(cluster: &mut Cluster, id: u64, epoch: RecoveryEpoch) {
    let (disk, book) = (MemoryStores::new(), Book::new());
    let mut builder = Node::builder(id, disk.open(), cluster.network.transport(id), book.clone())
        .recovery_epoch(epoch)
        .runtime(Handle::current());
    if epoch > RecoveryEpoch::default() {
        builder = builder.initial_membership(members(5));
    }
    let node = builder.start().await.unwrap();
    assert_eq!(node.identity().epoch, epoch);
    cluster.disks.insert(id, disk);
    cluster.members.insert(id, Member { node, book });
}

#[tokio::test(start_paused = true)]
async fn a_survivor_goes_on_alone_with_every_entry_it_had() {
    let (mut cluster, survivor, _) = stopped().await;
    let plan = recover(&cluster, survivor, &[survivor]);
    cluster.start_node(survivor).await;
    assert_eq!(cluster.leader().await, survivor);
    cluster.write(survivor, 20..25).await;
    let lines: Vec<String> = (0..25).map(|line| format!("line {line}")).collect();
    assert_eq!(cluster.book(survivor).lines(), lines);
    let status = cluster.node(survivor).status().await.unwrap();
    let membership = status.raft.membership;
    assert_eq!(membership.voters(), plan.membership.voters());
    assert_eq!(
        cluster.node(survivor).identity().epoch,
        RecoveryEpoch::new(1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_survivor_goes_on_with_new_peers_on_empty_stores() {
    let (mut cluster, survivor, _) = stopped().await;
    let plan = recover(&cluster, survivor, &[survivor, 4, 5]);
    cluster.start_node(survivor).await;
    for id in [4, 5] {
        start_new(&mut cluster, id, plan.epoch).await;
    }
    assert_eq!(cluster.leader().await, survivor);
    cluster.write(survivor, 20..22).await;
    for id in [4, 5] {
        cluster.book(id).has(22).await;
        assert_eq!(cluster.book(id).lines(), cluster.book(survivor).lines());
    }
}

/// The lost nodes were not lost after all. They have a majority of their own, and lead each other;
/// neither side hears the other.
#[tokio::test(start_paused = true)]
async fn the_old_majority_that_comes_back_is_not_heard() {
    let (mut cluster, survivor, lost) = stopped().await;
    recover(&cluster, survivor, &[survivor]);
    cluster.start_node(survivor).await;
    assert_eq!(cluster.leader().await, survivor);
    cluster.write(survivor, 20..21).await;
    for id in &lost {
        cluster.start_node(*id).await;
    }
    let old = cluster.leader_other_than(survivor).await;
    assert!(lost.contains(&old));
    soon(cluster.node(old).propose("astray")).await.unwrap();
    cluster.write(survivor, 21..30).await;
    let lines: Vec<String> = (0..30).map(|line| format!("line {line}")).collect();
    assert_eq!(cluster.book(survivor).lines(), lines);
    for id in lost {
        cluster.book(id).has(21).await;
        assert_eq!(cluster.book(id).lines()[20], "astray");
    }
}

/// Without the epoch of the group, a new node is one of the old ones.
#[tokio::test(start_paused = true)]
async fn a_new_peer_of_the_wrong_epoch_is_not_heard_until_it_has_the_right_one() {
    let (mut cluster, survivor, _) = stopped().await;
    let plan = recover(&cluster, survivor, &[survivor, 4]);
    cluster.start_node(survivor).await;
    start_new(&mut cluster, 4, RecoveryEpoch::default()).await;
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    assert!(cluster.node(survivor).watch().borrow().leader.is_none());
    cluster.stop_node(4).await;
    start_new(&mut cluster, 4, plan.epoch).await;
    assert_eq!(cluster.leader().await, survivor);
    cluster.book(4).has(20).await;
}

#[tokio::test(start_paused = true)]
async fn two_of_five_recover_together_and_keep_their_data() {
    let mut cluster = Cluster::start(5).await;
    let leader = cluster.leader().await;
    let behind = cluster.other_than(leader);
    cluster.write(leader, 0..5).await;
    cluster.book(behind).has(5).await;
    cluster.network.isolate(behind);
    cluster.write(leader, 5..10).await;
    for id in 1..=5 {
        cluster.stop_node(id).await;
    }
    cluster.network.heal();
    let plan = recover(&cluster, leader, &[leader, behind]);
    follow(&mut cluster.disks[&behind].open(), &plan).unwrap();
    for id in [leader, behind] {
        cluster.start_node(id).await;
    }
    assert_eq!(cluster.leader().await, leader);
    cluster.write(leader, 10..12).await;
    cluster.book(behind).has(12).await;
    assert_eq!(cluster.book(behind).lines(), cluster.book(leader).lines());
}
