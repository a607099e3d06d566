//! A switch within one process: messages move from node to node as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::runtime::Handle;

use crate::hard_state::Identity;
use crate::id::NodeId;
use crate::membership::Peer;
use crate::message::Message;
use crate::transport::{Inbox, OutboundSnapshot, SnapshotIntake, Transport};

/// Connects nodes of one process, and cuts them off again: for tests, for benchmarks without a
/// network, and for clusters that live in one program.
///
/// A message goes straight into the receiver's [`Inbox`], on the sender's thread: no task, no
/// encoding, no copy. Addresses mean nothing here; nodes are found by their id. Nodes of different
/// clusters, groups or recovery epochs may share a switch and never hear each other.
///
/// Cloning gives another handle to the same switch. Every method may be called on any thread.
#[derive(Clone, Default)]
pub struct Network {
    switch: Arc<Switch>,
}

/// One node's [`Transport`] on a [`Network`].
///
/// A node that restarts takes a new one from [`Network::transport`]: starting it replaces what was
/// attached under that id.
#[derive(Debug)]
pub struct NetworkTransport {
    id: NodeId,
    switch: Arc<Switch>,
    /// Which attachment is ours; zero before `start`. Numbers are never used twice.
    port: AtomicU64,
}

/// What a [`Network`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkCounts {
    /// Messages that reached an inbox.
    pub delivered: u64,
    /// Messages lost: the link was cut, the receiver absent or its inbox full, or a test asked.
    pub dropped: u64,
}

#[derive(Default)]
struct Switch {
    state: RwLock<State>,
    last_port: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    attached: BTreeMap<NodeId, Attached>,
    /// One-way links that lose everything.
    cut: BTreeSet<(NodeId, NodeId)>,
    loses: Option<Loses>,
}

#[derive(Clone)]
struct Attached {
    port: u64,
    local: Identity,
    inbox: Inbox,
    runtime: Handle,
}

type Loses = Box<dyn Fn(&Message) -> bool + Send + Sync>;

impl Network {
    /// A switch with nobody attached and every link whole.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport of one node. It is attached when the node starts it.
    pub fn transport(&self, node: impl Into<NodeId>) -> NetworkTransport {
        NetworkTransport {
            id: node.into(),
            switch: Arc::clone(&self.switch),
            port: AtomicU64::new(0),
        }
    }

    /// Loses everything that `from` sends to `to`, and nothing the other way, until it is healed.
    pub fn cut_one_way(&self, from: impl Into<NodeId>, to: impl Into<NodeId>) {
        self.switch.write().cut.insert((from.into(), to.into()));
    }

    /// Loses everything between two nodes, both ways.
    pub fn cut(&self, one: impl Into<NodeId>, other: impl Into<NodeId>) {
        let (one, other) = (one.into(), other.into());
        self.switch.write().cut.extend([(one, other), (other, one)]);
    }

    /// Cuts every link between the nodes of `one` and the nodes of `other`, both ways.
    pub fn partition<N: Into<NodeId>>(
        &self,
        one: impl IntoIterator<Item = N>,
        other: impl IntoIterator<Item = N>,
    ) {
        let other: Vec<NodeId> = other.into_iter().map(Into::into).collect();
        for near in one.into_iter().map(Into::into) {
            for far in &other {
                self.cut(near, *far);
            }
        }
    }

    /// Cuts a node off from every node that is attached now.
    pub fn isolate(&self, node: impl Into<NodeId>) {
        let node = node.into();
        let others: Vec<NodeId> = self.switch.read().attached.keys().copied().collect();
        for other in others.into_iter().filter(|other| *other != node) {
            self.cut(node, other);
        }
    }

    /// Loses every message for which `loses` is true. Replaces the previous choice. It is called on
    /// the senders' threads and must not use this network.
    pub fn lose_when(&self, loses: impl Fn(&Message) -> bool + Send + Sync + 'static) {
        self.switch.write().loses = Some(Box::new(loses));
    }

    /// Makes every link whole again and ends [`Network::lose_when`].
    pub fn heal(&self) {
        let mut state = self.switch.write();
        state.cut.clear();
        state.loses = None;
    }

    /// Whether a node is attached.
    pub fn is_attached(&self, node: impl Into<NodeId>) -> bool {
        self.switch.read().attached.contains_key(&node.into())
    }

    /// How many messages were delivered and lost so far.
    pub fn counts(&self) -> NetworkCounts {
        NetworkCounts {
            delivered: self.switch.delivered.load(Ordering::Relaxed),
            dropped: self.switch.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Transport for NetworkTransport {
    /// Attaches the node under its id, in place of whoever was attached under it.
    ///
    /// # Errors
    /// `InvalidInput` if `local` is another node's identity, or outside a tokio runtime.
    fn start(&self, local: Identity, inbox: Inbox) -> io::Result<()> {
        if local.node != self.id {
            let text = format!("the transport of node {} was given to {local}", self.id);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let runtime = Handle::try_current()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let port = self.switch.last_port.fetch_add(1, Ordering::Relaxed) + 1;
        self.port.store(port, Ordering::Release);
        let attached = Attached {
            port,
            local,
            inbox,
            runtime,
        };
        let mut state = self.switch.write();
        if state.attached.insert(self.id, attached).is_some() {
            state.say_unreachable(self.id);
        }
        Ok(())
    }

    fn send(&self, to: &Peer, message: Message) {
        let state = self.switch.read();
        let counter = match state.route(self.id, self.port(), to.id) {
            Ok((_, receiver)) if !state.loses(&message) && receiver.inbox.try_deliver(message) => {
                &self.switch.delivered
            }
            Ok(_) | Err(_) => &self.switch.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn send_snapshot(&self, to: &Peer, snapshot: OutboundSnapshot) {
        let (from, port, to) = (self.id, self.port(), to.id);
        let Some(sender) = self.switch.read().attached_at(from, port).cloned() else {
            return; // Stopped: nobody is left to hear the outcome.
        };
        let (term, last) = (snapshot.term, snapshot.meta.id());
        let switch = Arc::clone(&self.switch);
        sender.runtime.spawn(async move {
            let copied = tokio::task::spawn_blocking(move || {
                switch.copy_snapshot((from, port), to, snapshot)
            });
            let outcome = match copied.await {
                Ok(outcome) => outcome.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            // A node that has stopped does not want to know.
            let _ = sender.inbox.snapshot_sent(to, term, last, outcome).await;
        });
    }

    fn stop(&self) {
        let mut state = self.switch.write();
        if state.attached_at(self.id, self.port()).is_some() {
            state.attached.remove(&self.id);
            state.say_unreachable(self.id);
        }
    }

    fn local_address(&self) -> Option<String> {
        Some(format!("memory:{}", self.id))
    }
}

impl NetworkTransport {
    fn port(&self) -> u64 {
        self.port.load(Ordering::Acquire)
    }
}

impl Switch {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        // No code panics while it holds the lock and has changed half of the state.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies until the end, or until either node is gone or the link is cut.
    fn copy_snapshot(
        &self,
        (from, port): (NodeId, u64),
        to: NodeId,
        snapshot: OutboundSnapshot,
    ) -> io::Result<()> {
        const CHUNK_BYTES: u32 = 256 << 10;
        let receiver = self.receiver(from, port, to)?;
        let sender = self.read().attached_at(from, port).cloned();
        let sender = sender.ok_or_else(|| gone(from))?;
        let intake = receiver
            .inbox
            .receive_snapshot(from, snapshot.term, snapshot.meta.clone());
        let term = snapshot.term;
        let mut incoming = match intake.map_err(io::Error::other)? {
            SnapshotIntake::Wanted(incoming) => incoming,
            SnapshotIntake::Unneeded => return Ok(()),
        };
        for part in snapshot.parts(incoming.kept(), CHUNK_BYTES)? {
            let part = part?;
            if self.receiver(from, port, to)?.port != receiver.port {
                return Err(gone(to));
            }
            if !incoming.is_wanted()? {
                incoming.discard();
                return Ok(());
            }
            incoming.take(part.offset, &part.data)?;
            sender.inbox.snapshot_progressed(to, term);
        }
        incoming.finish()
    }

    fn receiver(&self, from: NodeId, port: u64, to: NodeId) -> io::Result<Attached> {
        let state = self.read();
        let (_, receiver) = state.route(from, port, to)?;
        Ok(receiver.clone())
    }
}

impl State {
    fn attached_at(&self, node: NodeId, port: u64) -> Option<&Attached> {
        let attached = self.attached.get(&node)?;
        (attached.port == port).then_some(attached)
    }

    /// Both ends, if something sent now would arrive.
    fn route(&self, from: NodeId, port: u64, to: NodeId) -> io::Result<(&Attached, &Attached)> {
        let sender = self.attached_at(from, port).ok_or_else(|| gone(from))?;
        let receiver = self.attached.get(&to).ok_or_else(|| gone(to))?;
        let family = |of: Identity| (of.cluster, of.group, of.epoch);
        let related = family(sender.local) == family(receiver.local);
        if !related || self.cut.contains(&(from, to)) {
            let text = format!("the link from node {from} to node {to} is cut");
            return Err(io::Error::new(io::ErrorKind::NotConnected, text));
        }
        Ok((sender, receiver))
    }

    fn loses(&self, message: &Message) -> bool {
        self.loses.as_ref().is_some_and(|loses| loses(message))
    }

    /// What a broken connection would tell everyone else.
    fn say_unreachable(&self, node: NodeId) {
        for (_, other) in self.attached.iter().filter(|(id, _)| **id != node) {
            other.inbox.unreachable(node);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.switch.fmt(f)
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_struct("Network")
            .field("attached", &state.attached.keys())
            .field("cut", &state.cut)
            .finish_non_exhaustive()
    }
}

fn gone(node: NodeId) -> io::Error {
    let text = format!("node {node} is not attached");
    io::Error::new(io::ErrorKind::NotConnected, text)
}
