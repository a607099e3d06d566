//! Nodes whose stores were found damaged and have begun anew.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_core::config::Config;
use raft_core::consensus::To;
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogId, LogIndex, NodeId, RecoveryEpoch};
use raft_core::memory::MemoryStores;
use raft_core::node::{Node, NodeEvent, ReadMode, StartError};
use raft_core::store::{LogBounds, LogReader, LogStore, StableRecord, StoreError, Stores};
use raft_core::{FormerLives, Identity};

use crate::on_disk::{Ledger, lines};
use crate::support::{Book, Cluster, Member, event, soon};

/// Puts new stores in the place of those of node `id`, which remember whose these were.
fn begin_anew(cluster: &mut Cluster, id: u64) {
    let old = cluster.disks[&id].open();
    let identity = Identity::load(&*old.stable).unwrap();
    let before = FormerLives::load(&*old.stable).unwrap();
    drop(old);
    let renewed = MemoryStores::new();
    let former = FormerLives::new(identity, before, "rot");
    former.save(&mut *renewed.open().stable).unwrap();
    cluster.disks.insert(id, renewed);
}

/// Reads what the leader has, once one is known.
async fn has_all(node: &Node) {
    let mut standing = node.watch();
    let known = standing.wait_for(|now| now.leader.is_some());
    soon(known).await.unwrap();
    let applied = node.read_barrier(ReadMode::Linearizable);
    soon(applied).await.unwrap();
}

async fn is_repaired(node: &Node) {
    let mut events = node.events();
    let status = node.status().await.unwrap();
    if status.raft.repairing.is_some() {
        event(&mut events, |event| {
            matches!(event, NodeEvent::Repaired).then_some(())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_voter_says_so_abstains_and_is_a_voter_again() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let victim = cluster.other_than(leader);
    cluster.write(leader, 0..5).await;
    cluster.stop_node(victim).await;
    begin_anew(&mut cluster, victim);
    cluster.network.isolate(victim);
    cluster.start_node(victim).await;
    // While it is alone it says so, and founds nothing on its own.
    let node = cluster.node(victim).clone();
    let mut events = node.events();
    node.campaign();
    let status = node.status().await.unwrap();
    let repairing = status.raft.repairing.unwrap();
    assert_eq!(
        (repairing.reason.as_str(), repairing.unknown),
        ("rot", false)
    );
    assert_eq!(status.raft.last, LogId::ORIGIN);
    cluster.write(leader, 5..10).await;
    cluster.network.heal();
    let reason = event(&mut events, |event| match event {
        NodeEvent::Repairing { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.await, "rot");
    event(&mut events, |event| {
        assert!(!matches!(event, NodeEvent::Displaced { .. }));
        matches!(event, NodeEvent::Repaired).then_some(())
    })
    .await;
    let status = node.status().await.unwrap();
    assert_eq!(
        (status.raft.repairing, status.raft.displaced_by),
        (None, None)
    );
    let own = status.identity.incarnation;
    assert!(status.raft.membership.admits(NodeId::new(victim), own));
    // The group needs its disk and its vote now.
    let other = (1..=3).find(|id| *id != leader && *id != victim).unwrap();
    cluster.stop_node(other).await;
    cluster.write(leader, 10..15).await;
    cluster.book(victim).has(15).await;
    assert_eq!(cluster.book(victim).lines(), lines(15));
    // Started again, it has nothing to repair.
    cluster.stop_node(victim).await;
    cluster.start_node(victim).await;
    let status = cluster.node(victim).status().await.unwrap();
    assert_eq!(status.raft.repairing, None);
}

/// Every disk of a group in turn, and nothing that was acknowledged is lost.
#[tokio::test(start_paused = true)]
async fn one_disk_after_the_other_may_rot() {
    let mut cluster = Cluster::start(3).await;
    let mut written = 0;
    for victim in 1..=3 {
        let leader = cluster.leader().await;
        cluster.write(leader, written..written + 5).await;
        cluster.stop_node(victim).await;
        begin_anew(&mut cluster, victim);
        cluster.start_node(victim).await;
        is_repaired(cluster.node(victim)).await;
        written += 5;
    }
    let leader = cluster.leader().await;
    cluster.write(leader, written..written + 1).await;
    for id in 1..=3 {
        cluster.book(id).has(written + 1).await;
        assert_eq!(cluster.book(id).lines(), lines(written + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn stores_that_began_anew_belong_to_whom_they_belonged_to() {
    let mut cluster = Cluster::start(3).await;
    cluster.stop_node(3).await;
    begin_anew(&mut cluster, 3);
    let stores = cluster.disks[&3].open();
    let error = cluster.builder_on(2, stores, Book::new()).start().await;
    let error = error.unwrap_err();
    assert!(matches!(error, StartError::WrongIdentity { .. }), "{error}");
    assert!(!error.is_damage());
}

/// What was kept of an earlier epoch is of a history that the later one may have replaced.
#[tokio::test(start_paused = true)]
async fn what_kept_a_snapshot_when_it_began_anew_stays_in_its_epoch() {
    for keeps in [true, false] {
        let mut cluster = Cluster::start(3).await;
        let leader = cluster.leader().await;
        cluster.write(leader, 0..3).await;
        has_all(cluster.node(3)).await;
        let (meta, mut bytes) = soon(cluster.node(3).backup()).await.unwrap();
        cluster.stop_node(3).await;
        begin_anew(&mut cluster, 3);
        let stores = cluster.disks[&3].open();
        if keeps {
            let mut sink = stores.snapshots.create(&meta.snapshot.header).unwrap();
            std::io::copy(&mut bytes, &mut sink).unwrap();
            sink.finish().unwrap();
        }
        let later = RecoveryEpoch::new(1);
        let builder = cluster.builder_on(3, stores, Book::new());
        let node = builder.recovery_epoch(later).start().await.unwrap();
        let epoch = node.status().await.unwrap().identity.epoch;
        assert_eq!(epoch == later, !keeps);
        soon(node.shutdown()).await.unwrap();
    }
}

/// The machine has kept everything on a disk of its own, and the log that it came from is lost.
#[tokio::test(start_paused = true)]
async fn a_machine_that_outlived_its_log_is_given_nothing_twice() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let victim = cluster.other_than(leader);
    cluster.stop_node(victim).await;
    let ledger = Ledger::default();
    let node = cluster
        .builder(victim, ledger.clone())
        .start()
        .await
        .unwrap();
    cluster.write(leader, 0..20).await;
    has_all(&node).await;
    assert_eq!(ledger.lines(), lines(20));
    ledger.sync();
    soon(node.shutdown()).await.unwrap();
    begin_anew(&mut cluster, victim);
    let ledger = ledger.restarted();
    let node = cluster
        .builder(victim, ledger.clone())
        .start()
        .await
        .unwrap();
    is_repaired(&node).await;
    cluster.write(leader, 20..25).await;
    has_all(&node).await;
    assert_eq!(ledger.lines(), lines(25));
    // Its snapshots stand for what it has applied again, as any other's.
    assert!(soon(node.snapshot()).await.is_ok());
}

/// A log whose records rot when it is told so.
struct Rotting {
    log: Box<dyn LogStore>,
    rotten: Arc<AtomicBool>,
}

struct RottingReader {
    reader: Box<dyn LogReader>,
    rotten: Arc<AtomicBool>,
}

impl LogStore for Rotting {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.log.bounds()
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.log.append(entries)
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        self.log.truncate_suffix(from)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        self.log.purge_prefix(through)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.log.sync()
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(RottingReader {
            reader: self.log.reader()?,
            rotten: Arc::clone(&self.rotten),
        }))
    }

    fn may_block(&self) -> bool {
        self.log.may_block()
    }
}

impl LogReader for RottingReader {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        match self.rotten.load(Ordering::SeqCst) {
            true => Err(StoreError::damaged("rotting", "an entry", &"told to be")),
            false => self.reader.read(range, bytes_max),
        }
    }
}

/// A leader reads damage where a follower needs an old entry. The others go on, and have it back.
#[tokio::test(start_paused = true)]
async fn damage_that_a_running_node_reads_stops_it_and_it_comes_back() {
    let mut config = Config::default();
    config.cached_bytes_max = 1;
    let mut cluster = Cluster::start_with(3, config, Book::new).await;
    let victim = 1;
    cluster.stop_node(victim).await;
    let rotten = Arc::new(AtomicBool::new(false));
    let stores = cluster.disks[&victim].open();
    let log = Box::new(Rotting {
        log: stores.log,
        rotten: Arc::clone(&rotten),
    });
    let stores = Stores { log, ..stores };
    let book = Book::new();
    let builder = cluster.builder_on(victim, stores, book.clone());
    let node = builder.start().await.unwrap();
    cluster.members.insert(victim, Member { node, book });
    has_all(cluster.node(victim)).await;
    let leader = cluster.leader().await;
    if leader != victim {
        let to = To::Node(NodeId::new(victim));
        soon(cluster.node(leader).transfer_leadership(to))
            .await
            .unwrap();
    }
    cluster.stop_node(2).await;
    cluster.write(victim, 0..20).await;
    rotten.store(true, Ordering::SeqCst);
    cluster.start_node(2).await;
    let Member { node, .. } = cluster.members.remove(&victim).unwrap();
    let reason = soon(node.stopped()).await;
    assert!(reason.is_damage(), "{reason}");
    drop(node);
    let leader = cluster.leader().await;
    cluster.write(leader, 20..25).await;
    begin_anew(&mut cluster, victim);
    cluster.start_node(victim).await;
    is_repaired(cluster.node(victim)).await;
    for id in 1..=3 {
        cluster.book(id).has(25).await;
        assert_eq!(cluster.book(id).lines(), lines(25));
    }
}
