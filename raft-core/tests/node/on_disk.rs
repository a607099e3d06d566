//! State machines that keep their state by themselves, and less of it than they have applied.

use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::id::LogId;
use raft_core::node::{Node, NodeEvent};
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

use crate::support::{Book, Cluster, event, soon};

/// What is on its disk.
#[derive(Clone, Debug, Default)]
struct Kept {
    lines: Vec<String>,
    applied: Option<LogId>,
}

/// Keeps lines on a disk of its own, which it syncs only when it is told to. Clones share the disk.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    disk: Arc<Mutex<Kept>>,
    memory: Arc<Mutex<Kept>>,
    /// How often it was given a snapshot.
    restored: Arc<Mutex<Vec<LogId>>>,
}

impl Ledger {
    pub(crate) fn sync(&self) {
        *self.disk.lock().unwrap() = self.memory.lock().unwrap().clone();
    }

    /// The process ends: what was not synced is gone.
    pub(crate) fn restarted(&self) -> Self {
        let disk = self.disk.lock().unwrap().clone();
        Self {
            disk: Arc::new(Mutex::new(disk.clone())),
            memory: Arc::new(Mutex::new(disk)),
            restored: Arc::default(),
        }
    }

    /// The snapshots that it was given since it was started.
    pub(crate) fn restored(&self) -> Vec<LogId> {
        self.restored.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.memory.lock().unwrap().lines.clone()
    }
}

impl StateMachine for Ledger {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut memory = self.memory.lock().unwrap();
        for committed in batch {
            let line = String::from_utf8(committed.command.to_vec()).unwrap();
            memory.lines.push(line);
            memory.applied = Some(committed.id);
        }
        Ok(vec![Bytes::new(); batch.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.lines().join("\n")))
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        *self.memory.lock().unwrap() = Kept {
            lines: text.lines().map(str::to_owned).collect(),
            applied: Some(meta.id()),
        };
        self.restored.lock().unwrap().push(meta.id());
        Ok(())
    }

    fn last_applied(&self) -> Option<LogId> {
        self.memory.lock().unwrap().applied
    }

    fn may_block(&self) -> bool {
        false
    }
}

pub(crate) fn lines(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("line {line}")).collect()
}

/// A single node whose log begins after its snapshots.
async fn purged() -> (Cluster, Node, Ledger) {
    let mut config = Config::default();
    config.snapshot_entries = 10;
    config.trailing_entries = 0;
    let mut cluster = Cluster::start_with(1, config, Book::new).await;
    cluster.stop_node(1).await;
    cluster
        .disks
        .insert(1, raft_core::memory::MemoryStores::new());
    let ledger = Ledger::default();
    let node = start(&cluster, &ledger).await;
    (cluster, node, ledger)
}

async fn start(cluster: &Cluster, ledger: &Ledger) -> Node {
    let node = cluster.builder(1, ledger.clone()).start().await.unwrap();
    let mut standing = node.watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    node
}

async fn write(node: &Node, numbers: std::ops::Range<usize>) {
    for line in numbers {
        soon(node.propose(format!("line {line}"))).await.unwrap();
    }
}

/// Killed after the log was purged beyond what the machine had made durable (RULES 100).
#[tokio::test(start_paused = true)]
async fn a_machine_behind_the_purged_log_is_restored_and_skips_nothing() {
    let (cluster, node, ledger) = purged().await;
    let mut events = node.events();
    write(&node, 0..3).await;
    ledger.sync();
    write(&node, 3..25).await;
    let taken = event(&mut events, |event| match event {
        NodeEvent::SnapshotTaken(meta) => Some(meta.id()),
        _ => None,
    })
    .await;
    assert!(Some(taken.index) > ledger.disk.lock().unwrap().applied.map(|id| id.index));
    soon(node.shutdown()).await.unwrap();
    let ledger = ledger.restarted();
    assert_eq!(ledger.lines(), lines(3));
    let node = start(&cluster, &ledger).await;
    write(&node, 25..26).await;
    assert_eq!(ledger.lines(), lines(26));
    assert_eq!(ledger.restored.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_ahead_of_its_snapshot_is_given_only_what_it_lacks() {
    let (cluster, node, ledger) = purged().await;
    write(&node, 0..25).await;
    ledger.sync();
    write(&node, 25..28).await;
    soon(node.snapshot()).await.unwrap();
    write(&node, 28..30).await;
    ledger.sync();
    write(&node, 30..33).await;
    soon(node.shutdown()).await.unwrap();
    let ledger = ledger.restarted();
    let node = start(&cluster, &ledger).await;
    write(&node, 33..34).await;
    assert_eq!(ledger.lines(), lines(34));
    assert_eq!(*ledger.restored.lock().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_disk_is_new_begins_with_the_snapshot() {
    let (cluster, node, ledger) = purged().await;
    write(&node, 0..25).await;
    soon(node.snapshot()).await.unwrap();
    soon(node.shutdown()).await.unwrap();
    drop(ledger);
    let ledger = Ledger::default();
    let node = start(&cluster, &ledger).await;
    write(&node, 25..26).await;
    assert_eq!(ledger.lines(), lines(26));
}
