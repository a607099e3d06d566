//! A machine that does not take a snapshot.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::id::{LogId, LogIndex};
use raft_core::node::{NodeEvent, StopReason};
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError, Stores};

use crate::support::{Book, Cluster, event, soon};

/// Takes commands, and no snapshot.
struct Stubborn(Book);

impl StateMachine for Stubborn {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        self.0.apply(batch)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.0.snapshot()
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        from.read_exact(&mut [0])?;
        Err(StateMachineError::new("told not to restore"))
    }
}

/// Counts the snapshots that are open.
struct Counting {
    snapshots: Arc<dyn SnapshotStore>,
    open: Arc<AtomicUsize>,
}

struct Opened(Box<dyn SnapshotRead>, Arc<AtomicUsize>);

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl SnapshotRead for Opened {}

impl Drop for Opened {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SnapshotStore for Counting {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        self.snapshots.list()
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        self.snapshots.create(header)
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        let (meta, data) = self.snapshots.open(last)?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok((meta, Box::new(Opened(data, Arc::clone(&self.open)))))
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        self.snapshots.retain(keep, through)
    }
}

/// It stops, and leaves nothing open. The snapshot is in its store by then, so that a machine that
/// takes it goes on from there.
#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_restore_stops_the_node_and_a_better_one_goes_on() {
    let mut config = Config::default();
    config.snapshot_entries = 10;
    config.trailing_entries = 2;
    let mut cluster = Cluster::start_with(3, config, Book::new).await;
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    cluster.stop_node(follower).await;
    let mut events = cluster.node(leader).events();
    cluster.write(leader, 0..40).await;
    event(&mut events, |event| {
        matches!(event, NodeEvent::SnapshotTaken(_)).then_some(())
    })
    .await;
    let open = Arc::new(AtomicUsize::new(0));
    for life in 0..4 {
        let stores = cluster.disks[&follower].open();
        let snapshots = Arc::new(Counting {
            snapshots: stores.snapshots,
            open: Arc::clone(&open),
        });
        let stores = Stores {
            snapshots,
            ..stores
        };
        let machine = Stubborn(Book::new());
        let said = match cluster.builder_on(follower, stores, machine).start().await {
            Ok(node) => {
                let reason = soon(node.stopped()).await;
                assert!(matches!(reason, StopReason::StateMachine(_)), "{reason}");
                reason.to_string()
            }
            Err(error) => error.to_string(),
        };
        assert!(said.contains("told not to restore"), "life {life}: {said}");
        assert_eq!(open.load(Ordering::SeqCst), 0, "life {life}");
    }
    cluster.start_node(follower).await;
    cluster.book(follower).has(40).await;
    assert_eq!(cluster.book(follower).lines(), cluster.book(leader).lines());
}
