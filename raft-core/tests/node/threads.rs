//! Nodes on their own threads, with stores that may block: real time, real hand-offs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raft_core::config::Config;
use raft_core::consensus::RoleName;
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::memory::{MemoryStores, Network};
use raft_core::node::{Node, Outcome, StopReason};
use raft_core::store::{LogBounds, LogReader, LogStore, StoreError, Stores};

use crate::support::{Book, members, soon};

/// A log that says it may block, and fails when its syncs are used up.
struct Slow {
    log: Box<dyn LogStore>,
    syncs_left: Arc<AtomicUsize>,
}

impl LogStore for Slow {
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
        let one_less = |left: usize| left.checked_sub(1);
        let left = &self.syncs_left;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => self.log.sync(),
            Err(_) => {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                Err(StoreError::io("slow.log", "fsync")(full))
            }
        }
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        self.log.reader()
    }
}

async fn start_three(syncs_left: &Arc<AtomicUsize>) -> (Vec<Node>, Vec<Book>) {
    let network = Network::new();
    let (mut nodes, mut books) = (Vec::new(), Vec::new());
    for id in 1..=3_u64 {
        let stores = MemoryStores::new().open();
        let log = Box::new(Slow {
            log: stores.log,
            syncs_left: Arc::clone(syncs_left),
        });
        let stores = Stores { log, ..stores };
        let book = Book::that_may_block();
        let builder = Node::builder(id, stores, network.transport(id), book.clone());
        let mut config = Config::default();
        // A stall of the machine moves no leader.
        config.election_timeout = Duration::from_secs(10);
        config.disk_stall_timeout = Duration::from_secs(20);
        let builder = builder.config(config).initial_membership(members(3));
        nodes.push(builder.start().await.unwrap());
        books.push(book);
    }
    (nodes, books)
}

async fn leader(nodes: &[Node]) -> &Node {
    let mut standing = nodes[0].watch();
    nodes[0].campaign();
    let led = standing.wait_for(|now| now.role == RoleName::Leader);
    soon(led).await.unwrap();
    &nodes[0]
}

#[tokio::test]
async fn concurrent_writers_share_syncs() {
    let syncs_left = Arc::new(AtomicUsize::new(usize::MAX));
    let (nodes, books) = start_three(&syncs_left).await;
    let leader = leader(&nodes).await;
    let writers: Vec<_> = (0..200)
        .map(|line| {
            let leader = leader.clone();
            tokio::spawn(async move { leader.propose(format!("line {line}")).await })
        })
        .collect();
    for writer in writers {
        soon(writer).await.unwrap().unwrap();
    }
    for book in &books {
        book.has(200).await;
        assert_eq!(book.lines(), books[0].lines());
    }
    let counters = leader.status().await.unwrap().counters;
    assert!(counters.log_syncs < 200, "{counters:?}");
    for node in &nodes {
        soon(node.shutdown()).await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_sync_on_the_log_thread_stops_the_node_and_names_the_file() {
    let syncs_left = Arc::new(AtomicUsize::new(usize::MAX));
    let (nodes, _) = start_three(&syncs_left).await;
    let leader = leader(&nodes).await;
    soon(leader.propose("a")).await.unwrap();
    syncs_left.store(0, Ordering::SeqCst);
    let error = soon(leader.propose("b")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    // Whether the others get to a sync depends on what it still sent.
    let reason = soon(leader.stopped()).await;
    assert!(matches!(reason, StopReason::Store(_)), "{reason}");
    assert!(
        reason.to_string().contains("slow.log: fsync failed"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_panicking_store_is_a_reason_to_stop_and_not_a_hang() {
    let stores = MemoryStores::new().open();
    struct Panics(Box<dyn LogStore>);
    impl LogStore for Panics {
        fn bounds(&self) -> Result<LogBounds, StoreError> {
            self.0.bounds()
        }
        fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
            assert!(entries[0].index() < LogIndex::new(3), "told to panic");
            self.0.append(entries)
        }
        fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
            self.0.truncate_suffix(from)
        }
        fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
            self.0.purge_prefix(through)
        }
        fn sync(&mut self) -> Result<(), StoreError> {
            self.0.sync()
        }
        fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
            self.0.reader()
        }
    }
    let log = Box::new(Panics(stores.log));
    let stores = Stores { log, ..stores };
    let network = Network::new();
    let builder = Node::builder(1, stores, network.transport(1), Book::new());
    let node = builder
        .initial_membership(members(1))
        .start()
        .await
        .unwrap();
    let mut standing = node.watch();
    soon(standing.wait_for(|now| now.role == RoleName::Leader))
        .await
        .unwrap();
    let error = soon(node.propose("x")).await.unwrap_err();
    assert!(error.to_string().contains("log panicked"), "{error}");
    let reason = soon(node.stopped()).await;
    assert!(
        matches!(reason, StopReason::Panicked { place: "log", .. }),
        "{reason}"
    );
}
