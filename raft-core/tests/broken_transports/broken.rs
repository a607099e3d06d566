//! The memory network, with one deliberate fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use raft_core::Identity;
use raft_core::conformance::transport::{Delivery, Endpoint, Heal, TransportBackend};
use raft_core::entry::{Entry, Sealed};
use raft_core::id::{ChainLink, NodeId};
use raft_core::membership::Peer;
use raft_core::memory::{MemoryStores, Network, NetworkTransport};
use raft_core::message::{Body, Message};
use raft_core::transport::{Inbound, Inbox, OutboundSnapshot, Transport};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turn, mpsc};

use super::copying::{Ending, FromTheBeginning, copy};
use super::fault::Fault;
use super::world::{Started, World};

/// A backend whose transports have the fault, if there is one.
pub(crate) struct Broken {
    fault: Option<Fault>,
    network: Network,
    world: Arc<World>,
}

struct BrokenTransport {
    fault: Option<Fault>,
    inner: Arc<NetworkTransport>,
    world: Arc<World>,
    address: String,
    /// Which of all, and which of its node.
    number: usize,
    life: usize,
    started: OnceLock<(Started, Handle)>,
    memory: Mutex<Memory>,
    dropped: AtomicU64,
    turn: Arc<Turn<()>>,
}

/// What it remembers, mostly to do wrong.
#[derive(Default)]
struct Memory {
    queues: BTreeMap<Option<NodeId>, mpsc::UnboundedSender<Item>>,
    addresses: BTreeMap<NodeId, String>,
    lives: BTreeMap<NodeId, usize>,
    /// What waits to be overtaken, on each lane.
    held: BTreeMap<(NodeId, bool), Message>,
    given_up: BTreeSet<NodeId>,
    readers: Vec<OutboundSnapshot>,
    files: Vec<File>,
    snapshots: usize,
}

/// One thing to be done after the other.
type Item = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the transport says it carries.
const LIMIT: usize = 1 << 20;
const NOWHERE: &str = "memory:nowhere";

impl Broken {
    pub(crate) fn with(fault: Fault) -> Self {
        Self::new(Some(fault))
    }

    pub(crate) fn healthy() -> Self {
        Self::new(None)
    }

    fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            network: Network::new(),
            world: Arc::default(),
        }
    }
}

impl TransportBackend for Broken {
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
        let (number, life) = self.world.open(local.node);
        let anywhere = || format!("memory:{}#{number}", local.node);
        let address = listen.map_or_else(anywhere, str::to_owned);
        let transport = Arc::new(BrokenTransport {
            fault: self.fault,
            inner: Arc::new(self.network.transport(local.node)),
            world: Arc::clone(&self.world),
            address: address.clone(),
            number,
            life,
            started: OnceLock::new(),
            memory: Mutex::default(),
            dropped: AtomicU64::new(0),
            turn: Arc::default(),
        });
        let (network, counted) = (self.network.clone(), Arc::clone(&transport));
        let counts = self.fault != Some(Fault::CountsNothing);
        Endpoint::new(transport)
            .reached_at(address)
            .dropped(move || {
                let dropped = network.counts().dropped + counted.dropped.load(Ordering::Relaxed);
                if counts { dropped } else { 0 }
            })
    }

    fn patience(&self) -> Duration {
        // The fault is waited for so long; what is healthy may be slow on a loaded machine.
        let broken = self.fault.map(|_| Duration::from_secs(10));
        broken.unwrap_or(Duration::from_secs(120))
    }

    fn snapshot_bytes(&self) -> u64 {
        32 << 20
    }

    fn reconnects(&self) -> usize {
        1_000
    }

    fn cut(&mut self, one: NodeId, other: NodeId) -> Option<Heal> {
        let network = self.network.clone();
        if self.fault != Some(Fault::CutsNothing) {
            network.cut(one, other);
        }
        let heals = self.fault != Some(Fault::NeverHeals);
        Some(Box::new(move || {
            if heals {
                network.heal();
            }
        }))
    }

    fn disturb(&mut self, seed: u64) -> Option<Heal> {
        let (network, world) = (self.network.clone(), Arc::clone(&self.world));
        let chance = Mutex::new(Pcg32::seed_from_u64(seed));
        network.lose_when(move |_| {
            let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
            chance.next_u32() % 4 == 0
        });
        world.disturb(true);
        Some(Box::new(move || {
            world.disturb(false);
            network.heal();
        }))
    }

    fn delivery(&self) -> Delivery {
        Delivery::OnceInOrder
    }

    fn lacks_nothing(&self) -> bool {
        true
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.world.end();
    }
}

impl Transport for BrokenTransport {
    fn start(&self, local: Identity, inbox: Inbox) -> io::Result<()> {
        let runtime = Handle::current();
        let started = Started {
            number: self.number,
            address: self.address.clone(),
            local,
            inbox: inbox.clone(),
            inner: Arc::clone(&self.inner),
        };
        self.world.start(started.clone());
        let keeps = self.fault == Some(Fault::KeepsTheInbox);
        let mut inner_inbox = inbox.clone();
        if keeps {
            runtime.spawn(async move {
                pending::<()>().await;
                drop(inbox);
            });
        } else if self.fault == Some(Fault::NeverTellsUnreachable) {
            let (messages_only, mut receiver) =
                Inbox::new(1 << 20, MemoryStores::new().open().snapshots);
            inner_inbox = messages_only;
            runtime.spawn(async move {
                loop {
                    let next = tokio::select! {
                        next = receiver.control.recv() => next,
                        next = receiver.bulk.recv() => next,
                    };
                    match next {
                        Some(Inbound::Message(message, _)) => drop(inbox.deliver(message).await),
                        Some(_) => {}
                        None => return,
                    }
                }
            });
        }
        // Nobody starts a transport twice.
        let _ = self.started.set((started, runtime));
        self.inner.start(local, inner_inbox)
    }

    fn send(&self, to: &Peer, message: Message) {
        let Some((me, runtime)) = self.started.get() else {
            return;
        };
        if self.is_lost(to, &message) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let deliver_to = |receivers: Vec<Started>| {
            for receiver in receivers {
                receiver.inbox.try_deliver(message.clone());
            }
        };
        match self.fault {
            Some(Fault::AltersPayloads) => return self.inner.send(to, altered(message)),
            Some(Fault::TellsEverybody) => {
                let mut others = self.world.all();
                others.retain(|other| other.local.node != me.local.node);
                return deliver_to(others);
            }
            Some(Fault::HearsStrangers) => deliver_to(self.strangers(me, to)),
            Some(Fault::LooksAtAddressesOnly) => {
                let mut there = self.world.all();
                there.retain(|other| other.address == to.address);
                return deliver_to(there);
            }
            Some(Fault::SendsToBothAddresses) => {
                let mut former = self.world.all_of(to.id);
                former.pop();
                deliver_to(former);
            }
            Some(Fault::WaitsInSend) => {
                let receiver = self.world.find(to.id);
                let arrives = || {
                    let inbox = receiver.as_ref().map(|receiver| &receiver.inbox);
                    inbox.is_none_or(|inbox| inbox.try_deliver(message.clone()))
                };
                return self.world.wait_until(arrives);
            }
            Some(Fault::OneLane | Fault::OneQueue | Fault::HoldsWithoutBound)
                if self.fault != Some(Fault::HoldsWithoutBound) || !message.body.is_control() =>
            {
                let receiver = self.world.find(to.id);
                return self.queue(runtime, to.id, async move {
                    if let Some(receiver) = receiver {
                        // A node that has stopped takes nothing.
                        let _ = receiver.inbox.deliver(message).await;
                    }
                });
            }
            Some(Fault::LeaksTasks | Fault::LeaksFiles) => self.leak(runtime, to.id),
            Some(_) | None => {}
        }
        for message in self.instead_of(to.id, message) {
            self.inner.send(to, message);
        }
    }

    fn send_snapshot(&self, to: &Peer, mut snapshot: OutboundSnapshot) {
        let Some((me, runtime)) = self.started.get() else {
            return;
        };
        let fault = self.fault;
        let is_second = {
            let mut memory = self.memory();
            memory.snapshots += 1;
            memory.snapshots > 1
        };
        match fault {
            Some(Fault::KeepsReaders) => {
                if is_second || self.world.all_of(me.local.node).is_empty() {
                    return self.memory().readers.push(snapshot);
                }
            }
            Some(Fault::StartsOver) => snapshot.data = Box::new(FromTheBeginning(snapshot.data)),
            Some(Fault::TruncatesSnapshots) => {
                let ends_at = snapshot.meta.size.saturating_sub(1);
                snapshot.data = Box::new(Ending(io::Read::take(snapshot.data, ends_at)));
            }
            Some(Fault::LosesEmptySnapshots) if snapshot.meta.size == 0 => return,
            Some(Fault::SendsOneSnapshotOnly) if is_second => {
                let (inbox, to) = (me.inbox.clone(), to.id);
                let (term, last) = (snapshot.term, snapshot.meta.id());
                runtime.spawn(async move {
                    let outcome = Err("one was sent already".to_owned());
                    inbox.snapshot_sent(to, term, last, outcome).await
                });
                return;
            }
            Some(_) | None => {}
        }
        let Some(fault) = fault.filter(|fault| self.copies_by_hand(*fault, me, to)) else {
            return self.inner.send_snapshot(to, snapshot);
        };
        let copied = copy(fault, Arc::clone(&self.world), me.clone(), to.id, snapshot);
        match fault {
            Fault::OneLane | Fault::OneQueue => self.queue(runtime, to.id, copied),
            Fault::SnapshotsTakeTurns => {
                let turn = Arc::clone(&self.turn);
                runtime.spawn(async move {
                    let _turn = turn.lock().await;
                    copied.await;
                });
            }
            _ => drop(runtime.spawn(copied)),
        }
    }

    fn stop(&self) {
        match self.fault {
            Some(Fault::StopDoesNothing) => return,
            Some(Fault::StopWaits) => self.world.wait_until(|| false),
            Some(Fault::StopsItsSuccessor) => {
                if let Some((me, _)) = self.started.get()
                    && let Some(newest) = self.world.find(me.local.node)
                {
                    newest.inner.stop();
                }
            }
            Some(_) | None => {}
        }
        self.world.stop(self.number);
        self.inner.stop();
    }

    fn message_bytes_max(&self) -> Option<usize> {
        Some(LIMIT)
    }

    fn local_address(&self) -> Option<String> {
        let is_wrong = self.fault == Some(Fault::GivesAWrongAddress);
        Some(if is_wrong {
            NOWHERE.to_owned()
        } else {
            self.address.clone()
        })
    }
}

impl BrokenTransport {
    /// Whether the message goes no further: rightly only if it is too large.
    fn is_lost(&self, to: &Peer, message: &Message) -> bool {
        let bytes = message.bytes();
        let mut memory = self.memory();
        let is_known = memory.addresses.contains_key(&to.id);
        let first_address = memory
            .addresses
            .entry(to.id)
            .or_insert_with(|| to.address.clone());
        let has_moved = *first_address != to.address;
        let peers = memory.addresses.len();
        match self.fault {
            Some(Fault::DeliversOverTheLimit) => false,
            Some(Fault::BreaksOverTheLimit) if bytes > LIMIT => {
                if let Some((me, _)) = self.started.get() {
                    me.inbox.unreachable(to.id);
                }
                true
            }
            Some(Fault::RefusesAtTheLimit) => bytes >= LIMIT,
            Some(Fault::RefusesWhatIsLarge) => bytes > LIMIT / 3,
            Some(Fault::LosesEmptyAppends) => {
                matches!(&message.body, Body::Append { entries, .. } if entries.is_empty())
            }
            Some(Fault::GoesOneWay) => message.from > message.to,
            Some(Fault::GivesAWrongAddress) => to.address == NOWHERE,
            Some(Fault::HasTenPeers) => {
                let is_lost = !is_known && peers > 10;
                if is_lost {
                    memory.addresses.remove(&to.id);
                }
                is_lost
            }
            Some(Fault::StaysAtTheFirstAddress) => has_moved,
            Some(Fault::LosesAfterARestart) => self.world.lives(to.id) > 1,
            Some(Fault::IsDeafToASuccessor) => self.life > 1,
            Some(Fault::GivesUpOnAbsentPeers) => {
                if self.world.find(to.id).is_none() {
                    memory.given_up.insert(to.id);
                }
                memory.given_up.contains(&to.id)
            }
            Some(_) | None => bytes > LIMIT,
        }
    }

    /// What is sent in place of a message.
    fn instead_of(&self, to: NodeId, message: Message) -> Vec<Message> {
        let is_disturbed = self.world.is_disturbed();
        let repeated = |message: Message| vec![message.clone(), message];
        match self.fault {
            Some(Fault::Repeats) => repeated(message),
            Some(Fault::RepeatsWhenDisturbed) if is_disturbed => repeated(message),
            Some(Fault::Reorders) => self.swapped(to, message),
            Some(Fault::ReordersWhenDisturbed) if is_disturbed => self.swapped(to, message),
            Some(Fault::TearsWhenDisturbed) if is_disturbed => vec![torn(message)],
            Some(_) | None => vec![message],
        }
    }

    /// The message and the one before it on its lane, or nothing yet.
    fn swapped(&self, to: NodeId, message: Message) -> Vec<Message> {
        let lane = (to, message.body.is_control());
        let mut memory = self.memory();
        if let Some(held) = memory.held.remove(&lane) {
            return vec![message, held];
        }
        memory.held.insert(lane, message);
        Vec::new()
    }

    /// Whether the fault lies in how snapshots are sent.
    fn copies_by_hand(&self, fault: Fault, me: &Started, to: &Peer) -> bool {
        match fault {
            Fault::HearsStrangers => !self.strangers(me, to).is_empty(),
            Fault::OneLane
            | Fault::OneQueue
            | Fault::GoesOnAfterItsStop
            | Fault::IgnoresTheReceiversStop
            | Fault::NeverTellsOutcomes
            | Fault::SnapshotsTakeTurns
            | Fault::AlwaysTellsSuccess
            | Fault::NeverStartsOver
            | Fault::TellsNoProgress
            | Fault::ReadsEverythingFirst
            | Fault::RepeatsParts
            | Fault::IgnoresStaleness => true,
            _ => false,
        }
    }

    /// The receiver, if it does not belong together with us.
    fn strangers(&self, me: &Started, to: &Peer) -> Vec<Started> {
        let family = |of: &Identity| (of.cluster, of.group, of.epoch);
        let mut strangers = self.world.all_of(to.id);
        strangers.retain(|other| family(&other.local) != family(&me.local));
        strangers
    }

    /// Does this after everything else for the peer, or for everybody.
    fn queue(&self, runtime: &Handle, to: NodeId, item: impl Future<Output = ()> + Send + 'static) {
        let key = (self.fault != Some(Fault::OneQueue)).then_some(to);
        let mut memory = self.memory();
        let queue = memory.queues.entry(key).or_insert_with(|| {
            let (sender, mut items) = mpsc::unbounded_channel::<Item>();
            runtime.spawn(async move {
                while let Some(item) = items.recv().await {
                    item.await;
                }
            });
            sender
        });
        // The task lives as long as the runtime.
        let _ = queue.send(Box::pin(item));
    }

    /// Leaves something behind for each life of the peer.
    fn leak(&self, runtime: &Handle, to: NodeId) {
        let life = self.world.lives(to);
        let mut memory = self.memory();
        if memory.lives.insert(to, life) == Some(life) {
            return;
        }
        if self.fault == Some(Fault::LeaksTasks) {
            runtime.spawn(pending::<()>());
        } else {
            let file = std::env::current_exe().and_then(File::open);
            memory.files.push(file.unwrap());
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same message with another payload in its last entry.
fn altered(mut message: Message) -> Message {
    if let Body::Append { entries, .. } = &mut message.body
        && let Some(last) = entries.pop()
    {
        let link = ChainLink {
            id: entries.last().map_or(ChainLink::ORIGIN.id, Entry::id),
            checksum: last.previous_checksum(),
        };
        let mut payload = last.payload().bytes().to_vec();
        if let Some(byte) = payload.first_mut() {
            *byte ^= 1;
        }
        let sealed = Sealed::command(payload);
        entries.push(Entry::new(link, last.term(), last.time(), sealed));
    }
    message
}

/// The same message without its last entry.
fn torn(mut message: Message) -> Message {
    if let Body::Append { entries, .. } = &mut message.body {
        entries.pop();
    }
    message
}
