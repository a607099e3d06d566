//! A disk or a state machine that stands still: who notices, and who goes on.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::consensus::{RoleName, To};
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::memory::{MemoryStores, Network};
use raft_core::node::{Node, ProposeError, ReadMode, StopReason};
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::store::{LogBounds, LogReader, LogStore, StoreError, Stores};

use crate::support::{Book, Cluster, members, soon};

/// Threads that come by wait while it is closed.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn close(&self) {
        *self.0.0.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let (is_closed, opened) = &*self.0;
        let guard = is_closed.lock().unwrap();
        drop(opened.wait_while(guard, |is_closed| *is_closed).unwrap());
    }
}

/// A log on a disk of its own: syncs wait at the gate, and the next so many fail.
struct Disk {
    log: Box<dyn LogStore>,
    gate: Gate,
    failures: Arc<AtomicUsize>,
    syncs: Arc<AtomicUsize>,
}

impl LogStore for Disk {
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
        self.gate.pass();
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let fails = |left: usize| left.checked_sub(1);
        let failures = &self.failures;
        match failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails) {
            Ok(_) => Err(StoreError::io("disk.log", "fsync")(std::io::Error::other(
                "medium error",
            ))),
            Err(_) => self.log.sync(),
        }
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        self.log.reader()
    }
}

/// One of three nodes with a disk of its own, on its own threads.
struct Member {
    node: Node,
    book: Book,
    gate: Gate,
    failures: Arc<AtomicUsize>,
    syncs: Arc<AtomicUsize>,
}

async fn start_three(network: &Network) -> Vec<Member> {
    let mut config = Config::default();
    config.disk_stall_timeout = config.election_timeout;
    let mut started = Vec::new();
    for id in 1..=3_u64 {
        let stores = MemoryStores::new().open();
        let (gate, failures, syncs) = (Gate::default(), Arc::default(), Arc::default());
        let log = Box::new(Disk {
            log: stores.log,
            gate: Gate::clone(&gate),
            failures: Arc::clone(&failures),
            syncs: Arc::clone(&syncs),
        });
        let book = Book::that_may_block();
        let stores = Stores { log, ..stores };
        let builder = Node::builder(id, stores, network.transport(id), book.clone());
        let builder = builder.initial_membership(members(3));
        started.push(Member {
            node: builder.config(config.clone()).start().await.unwrap(),
            book,
            gate,
            failures,
            syncs,
        });
    }
    started
}

/// The place of a leader other than the member at `not`.
async fn leader_other_than(members: &[Member], not: usize) -> usize {
    let leads = |at: usize| {
        let mut standing = members[at].node.watch();
        async move {
            let leads = standing.wait_for(|now| at != not && now.role == RoleName::Leader);
            if leads.await.is_err() {
                std::future::pending::<()>().await; // It has stopped.
            }
            at
        }
    };
    soon(async {
        tokio::select! {
            at = leads(0) => at,
            at = leads(1) => at,
            at = leads(2) => at,
        }
    })
    .await
}

/// Writes a line at whoever leads, other than `not`, and says who that was. On a busy machine an
/// election may come in between.
async fn write(members: &[Member], not: usize, line: &str) -> usize {
    loop {
        let at = leader_other_than(members, not).await;
        if soon(members[at].node.propose(line.to_owned()))
            .await
            .is_ok()
        {
            return at;
        }
    }
}

/// Syncs run on a thread of their own, so the event loop notices that nothing comes back.
#[tokio::test]
async fn a_leader_whose_disk_hangs_is_replaced_and_comes_back() {
    let network = Network::new();
    let group = start_three(&network).await;
    let old = write(&group, usize::MAX, "first").await;
    group[old].gate.close();
    let node = group[old].node.clone();
    let hanging = tokio::spawn(async move { node.propose("second").await });
    let new = write(&group, old, "third").await;
    let status = soon(group[old].node.status()).await.unwrap();
    assert_ne!(status.raft.standing.role, RoleName::Leader);
    group[old].gate.open();
    let written = soon(hanging).await.unwrap();
    let lines = group[new].book.lines();
    assert!(written.is_err() || lines.contains(&"second".to_owned()));
    group[old].book.has(lines.len()).await;
    assert_eq!(group[old].book.lines()[..lines.len()], lines);
    for member in &group {
        soon(member.node.shutdown()).await.unwrap();
    }
}

/// A read asks who leads, and that is not a question to a disk.
#[tokio::test]
async fn a_read_does_not_wait_for_the_disk_of_a_follower() {
    let network = Network::new();
    let group = start_three(&network).await;
    loop {
        let leader = write(&group, usize::MAX, "first").await;
        let (away, slow) = ((leader + 1) % 3, (leader + 2) % 3);
        network.isolate(group[away].node.id());
        group[slow].gate.close();
        let node = group[leader].node.clone();
        let hanging = tokio::spawn(async move { node.propose("second").await });
        let read = soon(group[leader].node.read_barrier(ReadMode::Linearizable)).await;
        let is_over = hanging.is_finished();
        group[slow].gate.open();
        network.heal();
        let written = soon(hanging).await.unwrap();
        // On a busy machine the leader may lose its office before it is asked, or soon after.
        if read.is_ok() && !(is_over && written.is_err()) {
            assert!(!is_over, "the disk was not needed");
            break;
        }
    }
    for member in &group {
        soon(member.node.shutdown()).await.unwrap();
    }
}

/// The second sync would succeed, and would say nothing of what the first one has lost.
#[tokio::test]
async fn a_sync_that_has_failed_is_not_tried_again() {
    let network = Network::new();
    let group = start_three(&network).await;
    let leader = write(&group, usize::MAX, "first").await;
    let at = (leader + 1) % 3;
    let sick = &group[at];
    sick.failures.store(1, Ordering::SeqCst);
    write(&group, at, "second").await;
    let reason = soon(sick.node.stopped()).await;
    assert!(matches!(reason, StopReason::Store(_)), "{reason}");
    assert!(reason.to_string().contains("disk.log"), "{reason}");
    let syncs = sick.syncs.load(Ordering::SeqCst);
    for _ in 0..5 {
        write(&group, at, "more").await;
    }
    assert_eq!(sick.syncs.load(Ordering::SeqCst), syncs);
    assert_eq!(sick.failures.load(Ordering::SeqCst), 0);
}

/// A book that is written at the gate.
struct Slow {
    book: Book,
    gate: Gate,
}

impl StateMachine for Slow {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        self.gate.pass();
        self.book.apply(batch)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.book.snapshot()
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        self.book.restore(meta, from)
    }

    fn may_block(&self) -> bool {
        true
    }
}

/// It leads on, for its log is fine and its followers serve reads; and it says that it is full.
#[tokio::test(start_paused = true)]
async fn a_machine_that_hangs_costs_no_leadership() {
    let mut config = Config::default();
    config.unapplied_bytes_max = 1_000;
    let mut cluster = Cluster::start_with(3, config, Book::new).await;
    let old = cluster.leader().await;
    let slow = if old == 1 { 2 } else { 1 };
    cluster.stop_node(slow).await;
    let (book, gate) = (Book::new(), Gate::default());
    let machine = Slow {
        book: book.clone(),
        gate: gate.clone(),
    };
    let node = cluster.builder(slow, machine).start().await.unwrap();
    let member = crate::support::Member {
        node: node.clone(),
        book: book.clone(),
    };
    cluster.members.insert(slow, member);
    let old = cluster.leader_other_than(slow).await;
    cluster.write(old, 0..1).await;
    book.has(1).await;
    let to = To::Node(node.id());
    soon(cluster.node(old).transfer_leadership(to))
        .await
        .unwrap();
    gate.close();
    let term = soon(node.status()).await.unwrap().raft.standing.term;
    let writers: Vec<_> = (0..20)
        .map(|line| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(format!("{line:100}")).await })
        })
        .collect();
    // Twenty election timeouts, in which followers read what the leader confirms.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let reader = cluster.node(old);
        soon(reader.read_barrier(ReadMode::Linearizable))
            .await
            .unwrap();
    }
    let standing = soon(node.status()).await.unwrap().raft.standing;
    assert_eq!((standing.role, standing.term), (RoleName::Leader, term));
    gate.open();
    let mut applied = 0;
    for writer in writers {
        match soon(writer).await.unwrap() {
            Ok(_) => applied += 1,
            Err(error) => assert!(matches!(error, ProposeError::Overloaded), "{error}"),
        }
    }
    assert!((1..20).contains(&applied), "{applied} of 20 fit");
    soon(node.propose("room again")).await.unwrap();
}
