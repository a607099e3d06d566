//! A state machine that writes everything down, and a group of nodes that run it.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::consensus::RoleName;
use raft_core::id::{LogId, LogIndex, NodeId};
use raft_core::membership::Membership;
use raft_core::memory::{MemoryStores, Network};
use raft_core::node::{EventStream, Node, NodeBuilder, NodeEvent, ReadMode, SnapshotError};
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError, Stores};
use raft_core::time::ClusterTime;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A machine that keeps its commands as lines. Clones share the lines.
///
/// It responds with the number of lines. The command `fail` is an error and `panic` a panic.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    lines: watch::Sender<Vec<String>>,
    may_block: bool,
}

impl Book {
    /// For the event loop.
    pub(crate) fn new() -> Self {
        Self {
            lines: watch::Sender::new(Vec::new()),
            may_block: false,
        }
    }

    /// For a thread of its own.
    pub(crate) fn that_may_block() -> Self {
        Self {
            may_block: true,
            ..Self::new()
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits until there are `count` lines.
    pub(crate) async fn has(&self, count: usize) {
        let mut lines = self.lines.subscribe();
        soon(lines.wait_for(|lines| lines.len() >= count))
            .await
            .unwrap();
    }
}

impl Book {
    /// Waits until these are the first lines.
    pub(crate) async fn begins_with(&self, expected: &[String]) {
        let mut lines = self.lines.subscribe();
        soon(lines.wait_for(|lines| lines.starts_with(expected)))
            .await
            .unwrap();
    }

    /// Waits until these are the lines.
    pub(crate) async fn holds(&self, expected: &[String]) {
        let mut lines = self.lines.subscribe();
        let held = patiently(lines.wait_for(|lines| lines == expected)).await;
        if held.is_none() {
            assert_eq!(self.lines(), expected, "it never did");
        }
    }
}

impl StateMachine for Book {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut responses = Vec::new();
        for committed in batch {
            let line = String::from_utf8(committed.command.to_vec()).unwrap();
            match line.as_str() {
                "fail" => return Err(StateMachineError::new("told to fail")),
                "panic" => panic!("told to panic"),
                _ => self.lines.send_modify(|lines| lines.push(line)),
            }
            responses.push(self.lines.borrow().len().to_string().into());
        }
        Ok(responses)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.lines().join("\n")))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        let restored = text.lines().map(str::to_owned).collect();
        self.lines.send_replace(restored);
        Ok(())
    }

    fn may_block(&self) -> bool {
        self.may_block
    }
}

/// Nodes 1 to n on the test's own runtime, their disks, and the network between them.
pub(crate) struct Cluster {
    pub(crate) network: Network,
    pub(crate) config: Config,
    pub(crate) disks: BTreeMap<u64, MemoryStores>,
    pub(crate) members: BTreeMap<u64, Member>,
    /// Makes the machine of a node that starts.
    pub(crate) book: fn() -> Book,
}

pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) book: Book,
}

impl Cluster {
    /// Starts `size` nodes.
    pub(crate) async fn start(size: u64) -> Self {
        Self::start_with(size, Config::default(), Book::new).await
    }

    pub(crate) async fn start_with(size: u64, config: Config, book: fn() -> Book) -> Self {
        let mut cluster = Self {
            network: Network::new(),
            config,
            disks: (1..=size).map(|id| (id, MemoryStores::new())).collect(),
            members: BTreeMap::new(),
            book,
        };
        for id in 1..=size {
            cluster.start_node(id).await;
        }
        if size > 1 {
            cluster.founded().await;
        }
        cluster
    }

    /// Waits until every node knows that all have met: before, the group cannot lose any of those
    /// who founded it.
    async fn founded(&self) {
        for member in self.members.values() {
            let mut events = member.node.events();
            let status = member.node.status().await.unwrap();
            if has_met_all(&status.raft.membership) {
                continue;
            }
            event(&mut events, |event| match event {
                NodeEvent::MembershipChanged { membership, .. } if has_met_all(membership) => {
                    Some(())
                }
                _ => None,
            })
            .await;
        }
    }

    /// Starts a node on its disk.
    pub(crate) async fn start_node(&mut self, id: u64) {
        let book = (self.book)();
        let node = self.builder(id, book.clone()).start().await.unwrap();
        self.members.insert(id, Member { node, book });
    }

    pub(crate) fn builder(&self, id: u64, machine: impl StateMachine) -> NodeBuilder {
        self.builder_on(id, self.disks[&id].open(), machine)
    }

    /// A node that is to be added to the running group.
    pub(crate) fn builder_that_joins(&self, id: u64, machine: impl StateMachine) -> NodeBuilder {
        let stores = self.disks[&id].open();
        Node::builder(id, stores, self.network.transport(id), machine)
            .config(self.config.clone())
            .runtime(Handle::current())
    }

    pub(crate) fn builder_on(
        &self,
        id: u64,
        stores: Stores,
        machine: impl StateMachine,
    ) -> NodeBuilder {
        let size = u64::try_from(self.disks.len()).unwrap();
        Node::builder(id, stores, self.network.transport(id), machine)
            .config(self.config.clone())
            .initial_membership(members(size))
            .runtime(Handle::current())
    }

    /// Stops a node, and returns what its machine held.
    pub(crate) async fn stop_node(&mut self, id: u64) -> Vec<String> {
        let member = self.members.remove(&id).unwrap();
        soon(member.node.shutdown()).await.unwrap();
        member.book.lines()
    }

    pub(crate) fn node(&self, id: u64) -> &Node {
        &self.members[&id].node
    }

    pub(crate) fn book(&self, id: u64) -> &Book {
        &self.members[&id].book
    }

    /// Waits until some running node, other than `not`, leads.
    pub(crate) async fn leader_other_than(&self, not: u64) -> u64 {
        let waits = self.members.iter().filter(|(id, _)| **id != not);
        let waits = waits.map(|(id, member)| {
            let mut standing = member.node.watch();
            let id = *id;
            Box::pin(async move {
                let leads = standing.wait_for(|now| now.role == RoleName::Leader);
                leads.await.unwrap();
                id
            })
        });
        soon(first(waits.collect())).await
    }

    pub(crate) async fn leader(&self) -> u64 {
        self.leader_other_than(0).await
    }

    /// Some node that is not `id`.
    pub(crate) fn other_than(&self, id: u64) -> u64 {
        *self.members.keys().find(|other| **other != id).unwrap()
    }

    /// Proposes lines at `leader`, one after the other.
    pub(crate) async fn write(&self, leader: u64, lines: std::ops::Range<usize>) {
        for line in lines {
            let applied = self.node(leader).propose(format!("line {line}"));
            soon(applied).await.unwrap();
        }
    }
}

fn has_met_all(membership: &Membership) -> bool {
    membership.unrecorded().next().is_none()
}

/// Voters 1 to `size`.
pub(crate) fn members(size: u64) -> Membership {
    Membership::of_voters((1..=size).map(|id| (id, format!("memory:{id}")))).unwrap()
}

/// Waits for the first event that `wanted` takes.
pub(crate) async fn event<T>(
    events: &mut EventStream,
    wanted: impl Fn(&NodeEvent) -> Option<T>,
) -> T {
    soon(async {
        loop {
            let event = events.next().await.expect("the node has stopped");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    })
    .await
}

/// Real time: what waits for a thread knows no other.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bounds a wait.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    patiently(what).await.expect("it never happened")
}

/// While time is paused, a real second may be many hours.
#[expect(
    clippy::disallowed_methods,
    reason = "threads know no other time, and nothing but the patience depends on it"
)]
async fn patiently<T>(what: impl Future<Output = T>) -> Option<T> {
    let began = Instant::now();
    let mut what = std::pin::pin!(what);
    while began.elapsed() < PATIENCE {
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut what).await;
        if let Ok(ended) = ended {
            return Some(ended);
        }
    }
    None
}

/// The first of several futures to end.
async fn first<T>(mut futures: Vec<impl Future<Output = T> + Unpin>) -> T {
    std::future::poll_fn(|context| {
        let ended =
            futures
                .iter_mut()
                .find_map(|future| match std::pin::Pin::new(future).poll(context) {
                    std::task::Poll::Ready(value) => Some(value),
                    std::task::Poll::Pending => None,
                });
        ended.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

/// A node's id.
pub(crate) fn id(id: u64) -> NodeId {
    NodeId::new(id)
}

/// Snapshots of which some cannot be opened, and none be written.
pub(crate) struct Spoilt {
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) spoilt: Vec<LogId>,
}

impl SnapshotStore for Spoilt {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        self.snapshots.list()
    }

    fn create(&self, _: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(StoreError::io("spoilt", "create")(full))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        if self.spoilt.contains(&last) {
            return Err(StoreError::damaged(
                "spoilt",
                last.to_string(),
                &"told to be",
            ));
        }
        self.snapshots.open(last)
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        self.snapshots.retain(keep, through)
    }
}

/// A snapshot, once the restoration in the way has ended.
pub(crate) async fn snapshot_of(node: &Node) -> SnapshotMeta {
    loop {
        match soon(node.snapshot()).await {
            Err(SnapshotError::Restoring) => {
                let applied = node.status().await.unwrap().raft.applied;
                // Whether it comes or not: then there is another try.
                let _ = soon(node.read_barrier(ReadMode::AtLeast(applied.next()))).await;
            }
            taken => return taken.unwrap(),
        }
    }
}

/// The group's own time.
pub(crate) async fn time_of(node: &Node) -> ClusterTime {
    soon(node.propose("what time is it")).await.unwrap();
    snapshot_of(node).await.header.time
}
