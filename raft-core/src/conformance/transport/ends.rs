//! One node without a node: a transport, and the other end of its inbox.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::backend::Endpoint;
use super::make;
use super::receiving::Shelf;
use super::running::Patience;
use super::sending::Source;
use crate::hard_state::Identity;
use crate::id::{LogId, LogIndex, NodeId, Term};
use crate::membership::Peer;
use crate::message::{Body, Message};
use crate::snapshot::SnapshotMeta;
use crate::store::SnapshotStore;
use crate::transport::{Inbound, Inbox, InboxReceiver};

/// How a node is started.
pub(super) struct Setup {
    pub(super) local: Identity,
    pub(super) listen: Option<String>,
    pub(super) inbox_bytes_max: u32,
    pub(super) shelf: Shelf,
}

/// A node that was started.
pub(super) struct End {
    pub(super) voice: Voice,
    pub(super) shelf: Shelf,
    inbox_bytes_max: u32,
    inbox: Inbox,
    receiver: InboxReceiver,
    /// What was told while something else was waited for.
    notices: VecDeque<Inbound>,
    patience: Patience,
}

/// What a node says things with.
#[derive(Clone)]
pub(super) struct Voice {
    pub(super) local: Identity,
    pub(super) endpoint: Endpoint,
    ledger: Ledger,
    patience: Patience,
}

/// Every message that was sent in a property, by its number, which is its term: whatever arrives
/// must be there.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    last: u64,
    sent: BTreeMap<Term, Line>,
    /// The newest message that has arrived, from whom, where, and on which lane: of heartbeats or not.
    newest: BTreeMap<(NodeId, NodeId, bool), Term>,
}

struct Line {
    from: Identity,
    meant_for: NodeId,
    message: Message,
    arrived: u64,
    /// A later one of its lane was there first.
    was_overtaken: bool,
}

/// The first pause before a message is said again.
const AGAIN: Duration = Duration::from_millis(5);
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// What it is longer for each MiB of a message.
const PASSING: Duration = Duration::from_millis(50);
/// The longest pause before a new message is said in place of one that may be lost.
const NEW_MAX: Duration = Duration::from_millis(50);

impl Setup {
    /// A node of the usual cluster.
    pub(super) fn of(node: u64) -> Self {
        let (shelf, _) = Shelf::keeping(u64::MAX);
        Self {
            local: make::identity(node),
            listen: None,
            inbox_bytes_max: 64 << 20,
            shelf,
        }
    }

    /// As `end` was started.
    pub(super) fn as_before(end: &End) -> Self {
        Self {
            local: end.voice.local,
            listen: None,
            inbox_bytes_max: end.inbox_bytes_max,
            shelf: end.shelf.clone(),
        }
    }

    /// With this identity.
    pub(super) fn named(mut self, change: impl FnOnce(&mut Identity)) -> Self {
        change(&mut self.local);
        self
    }

    /// With room for so many bytes of entries.
    pub(super) fn with_inbox(mut self, bytes_max: u32) -> Self {
        self.inbox_bytes_max = bytes_max;
        self
    }

    /// With this store of snapshots.
    pub(super) fn with_shelf(mut self, shelf: Shelf) -> Self {
        self.shelf = shelf;
        self
    }
}

impl End {
    pub(super) fn start(
        setup: Setup,
        endpoint: Endpoint,
        ledger: Ledger,
        patience: Patience,
    ) -> Self {
        let snapshots: Arc<dyn SnapshotStore> = Arc::new(setup.shelf.clone());
        let (inbox, receiver) = Inbox::new(setup.inbox_bytes_max, snapshots);
        let started = endpoint.transport().start(setup.local, inbox.clone());
        started.expect("a transport that starts");
        Self {
            voice: Voice {
                local: setup.local,
                endpoint,
                ledger,
                patience,
            },
            shelf: setup.shelf,
            inbox_bytes_max: setup.inbox_bytes_max,
            inbox,
            receiver,
            notices: VecDeque::new(),
            patience,
        }
    }

    /// As it stands in the others' membership.
    pub(super) fn peer(&self) -> Peer {
        Peer {
            id: self.voice.local.node,
            address: self.address(),
        }
    }

    pub(super) fn address(&self) -> String {
        self.voice.endpoint.address()
    }

    /// Stops, and waits for the last task where that can be waited for.
    pub(super) async fn stop(&self) {
        self.voice.stop().await;
    }

    /// Stops, and waits for nothing.
    pub(super) fn begin_to_stop(&self) {
        self.voice.endpoint.transport().stop();
    }

    /// Tells the inbox how far the node is.
    pub(super) fn is_at(&self, term: Term, committed: u64) {
        self.inbox.node_is_at(term, LogIndex::new(committed));
    }

    /// Waits until `message` arrives, and checks whatever else arrives on its lane.
    pub(super) async fn hear(&mut self, message: &Message) {
        let is_it = |arrived: &Message| arrived.term == message.term;
        self.hear_on(message.body.is_control(), is_it).await;
    }

    /// Waits for a message of this lane for which `is_it` is true, and checks whatever else arrives.
    async fn hear_on(&mut self, is_control: bool, is_it: impl Fn(&Message) -> bool) {
        loop {
            let lane = if is_control {
                &mut self.receiver.control
            } else {
                &mut self.receiver.bulk
            };
            let next = lane.recv().await;
            match next.expect("the property holds the inbox") {
                Inbound::Message(arrived, _) => {
                    self.voice.ledger.check(&arrived, &self.voice.local);
                    if is_it(&arrived) {
                        return;
                    }
                }
                notice => self.notices.push_back(notice),
            }
        }
    }

    /// The next notice for which `pick` gives something.
    async fn notice<T>(&mut self, what: &str, pick: impl Fn(&Inbound) -> Option<T>) -> T {
        let patience = self.patience;
        patience.wait(self.seek(pick), what).await
    }

    /// The same, without an end. Messages are checked and passed over, other notices set aside. May
    /// be dropped while it waits, and called again.
    async fn seek<T>(&mut self, pick: impl Fn(&Inbound) -> Option<T>) -> T {
        let mut told = self.notices.iter().enumerate();
        let found = told.find_map(|(at, notice)| Some((at, pick(notice)?)));
        if let Some((at, picked)) = found {
            self.notices.remove(at);
            return picked;
        }
        loop {
            let next = self.receiver.control.recv().await;
            let next = next.expect("the property holds the inbox");
            if let Some(picked) = pick(&next) {
                return picked;
            }
            match next {
                Inbound::Message(arrived, _) => {
                    self.voice.ledger.check(&arrived, &self.voice.local);
                }
                notice => self.notices.push_back(notice),
            }
        }
    }

    /// Waits until the node is told that what was sent to `peer` may be lost. It goes on sending
    /// meanwhile: a transport may notice only then.
    pub(super) async fn told_unreachable(&mut self, peer: &Peer) {
        let what = format!("the node is told that node {} is unreachable", peer.id);
        let (patience, voice) = (self.patience, self.voice.clone());
        let is_it = |notice: &Inbound| {
            matches!(notice, Inbound::Unreachable(id) if *id == peer.id).then_some(())
        };
        let told = async {
            loop {
                if timeout(AGAIN, self.seek(is_it)).await.is_ok() {
                    return;
                }
                voice.say(peer, make::heartbeat());
            }
        };
        patience.wait(told, &what).await;
    }

    /// Whether the node was told so, among what has arrived.
    pub(super) fn was_told_unreachable(&self) -> bool {
        let is_it = |notice: &Inbound| matches!(notice, Inbound::Unreachable(_));
        self.notices.iter().any(is_it)
    }

    /// How sending the snapshot to `peer` ended.
    pub(super) async fn outcome(&mut self, peer: &Peer, of: LogId) -> Result<(), String> {
        let node = peer.id;
        let what = format!("the outcome of snapshot {of} to node {node} is told");
        let told = self.notice(&what, |notice| match notice {
            Inbound::SnapshotSent {
                to, last, outcome, ..
            } if (*to, *last) == (node, of) => Some(outcome.clone()),
            _ => None,
        });
        told.await
    }

    /// Waits until a snapshot has arrived, and says from whom, in which term, and what it is.
    pub(super) async fn received(&mut self) -> (NodeId, Term, SnapshotMeta) {
        let what = "a snapshot arrives and the node is told";
        let told = self.notice(what, |notice| match notice {
            Inbound::SnapshotReceived { from, term, meta } => Some((*from, *term, meta.clone())),
            _ => None,
        });
        told.await
    }

    /// How often the node was told that a snapshot moves on, among what has arrived.
    pub(super) fn times_progressed(&self, peer: &Peer, in_term: Term) -> usize {
        let is_it = |notice: &&Inbound| {
            matches!(notice, Inbound::SnapshotProgressed { to, term }
                if (*to, *term) == (peer.id, in_term))
        };
        self.notices.iter().filter(is_it).count()
    }

    /// Takes everything that has arrived, checks it, and gives the messages.
    pub(super) fn drain(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let lanes = [&mut self.receiver.control, &mut self.receiver.bulk];
        for lane in lanes {
            while let Ok(next) = lane.try_recv() {
                match next {
                    Inbound::Message(arrived, _) => {
                        self.voice.ledger.check(&arrived, &self.voice.local);
                        messages.push(arrived);
                    }
                    notice => self.notices.push_back(notice),
                }
            }
        }
        messages
    }

    /// The next message of the lane for entries.
    pub(super) async fn next_entries(&mut self) -> Message {
        loop {
            let next = self.receiver.bulk.recv().await;
            if let Inbound::Message(arrived, _) = next.expect("the property holds the inbox") {
                self.voice.ledger.check(&arrived, &self.voice.local);
                return arrived;
            }
        }
    }

    /// Gives up the endpoint, and what else holds the inbox here, and gives what tells when nobody
    /// else holds it either.
    pub(super) fn into_receiver(self) -> InboxReceiver {
        self.receiver
    }
}

impl Voice {
    /// A new message for `to`.
    pub(super) fn message(&self, to: &Peer, body: Body) -> Message {
        Message {
            group: self.local.group,
            from: self.local.node,
            incarnation: self.local.incarnation,
            to: to.id,
            term: self.ledger.number(),
            body,
        }
    }

    /// Sends `message`, which from now on may arrive.
    pub(super) fn send(&self, to: &Peer, message: Message) {
        self.ledger.note(self.local, to, &message);
        self.endpoint.transport().send(to, message);
    }

    /// Sends a new message, and says which.
    pub(super) fn say(&self, to: &Peer, body: Body) -> Term {
        let message = self.message(to, body);
        let number = message.term;
        self.send(to, message);
        number
    }

    /// Sends a snapshot.
    pub(super) fn send_snapshot(&self, to: &Peer, source: Source) -> LogId {
        let snapshot = source.outbound();
        let id = snapshot.meta.id();
        self.endpoint.transport().send_snapshot(to, snapshot);
        id
    }

    /// Says a new message to `to` until it has arrived there.
    pub(super) async fn tell(&self, to: &mut End, body: Body) {
        let peer = to.peer();
        self.tell_at(&peer, to, body).await;
    }

    /// Says a new message to the node at `peer` until it has arrived at `to`.
    pub(super) async fn tell_at(&self, peer: &Peer, to: &mut End, body: Body) {
        let message = self.message(peer, body);
        let (from, kind, bytes) = (self.local.node, message.body.name(), message.bytes());
        let what = format!(
            "{kind} of node {from} ({bytes} bytes) arrives at node {}",
            peer.id
        );
        let arrives = async {
            let mut pause = AGAIN + PASSING * u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
            loop {
                self.send(peer, message.clone());
                // It may be lost: then it is said again.
                if timeout(pause, to.hear(&message)).await.is_ok() {
                    return;
                }
                pause = (pause * 2).min(AGAIN_MAX);
            }
        };
        self.patience.wait(arrives, &what).await;
    }

    /// Says new messages to `to`, each of them once, until one of them has arrived there.
    pub(super) async fn insist(&self, to: &mut End, body: &Body) {
        let (peer, before) = (to.peer(), self.newest());
        let (from, kind) = (self.local.node, body.name());
        let what = format!(
            "one {kind} of many of node {from} arrives at node {}",
            peer.id
        );
        let is_new = |arrived: &Message| arrived.from == from && arrived.term > before;
        let arrives = async {
            let mut pause = AGAIN;
            loop {
                self.say(&peer, body.clone());
                let heard = to.hear_on(body.is_control(), is_new);
                if timeout(pause, heard).await.is_ok() {
                    return;
                }
                pause = (pause * 2).min(NEW_MAX);
            }
        };
        self.patience.wait(arrives, &what).await;
    }

    /// Panics if a message that was sent after this one has arrived twice.
    pub(super) fn assert_once_since(&self, number: Term) {
        let lines = self.ledger.lock();
        for (_, line) in lines.since(number) {
            let (arrived, message) = (line.arrived, brief(&line.message));
            assert!(arrived <= 1, "it arrived {arrived} times: {message}");
        }
    }

    /// Panics if a message that was sent after this one has arrived after a later one of its lane.
    pub(super) fn assert_in_order_since(&self, number: Term) {
        let lines = self.ledger.lock();
        let overtaken = lines.since(number).find(|(_, line)| line.was_overtaken);
        let overtaken = overtaken.map(|(_, line)| brief(&line.message));
        assert_eq!(overtaken, None, "a later message of its lane arrived first");
    }

    /// Stops, and waits for the last task where that can be waited for.
    pub(super) async fn stop(&self) {
        self.endpoint.transport().stop();
        if let Some(ended) = self.endpoint.end() {
            self.patience
                .wait(ended, "the last task ends after a stop")
                .await;
        }
    }

    /// The number of the newest message in the property.
    pub(super) fn newest(&self) -> Term {
        Term::new(self.ledger.lock().last)
    }

    /// How often the message of this number has arrived.
    pub(super) fn times_arrived(&self, number: Term) -> u64 {
        let lines = self.ledger.lock();
        lines.sent.get(&number).map_or(0, |line| line.arrived)
    }
}

impl Ledger {
    fn number(&self) -> Term {
        let mut lines = self.lock();
        lines.last += 1;
        Term::new(lines.last)
    }

    fn note(&self, from: Identity, to: &Peer, message: &Message) {
        self.lock()
            .sent
            .entry(message.term)
            .or_insert_with(|| Line {
                from,
                meant_for: to.id,
                message: message.clone(),
                arrived: 0,
                was_overtaken: false,
            });
    }

    /// Whatever arrives was sent, to this node, by a relative, and is what it was.
    fn check(&self, arrived: &Message, at: &Identity) {
        let family = |of: &Identity| (of.cluster, of.group, of.epoch);
        let mut lines = self.lock();
        let Lines { sent, newest, .. } = &mut *lines;
        let line = sent.get_mut(&arrived.term);
        let node = at.node;
        let found = line.is_some();
        assert!(
            found,
            "node {node} received what nobody sent: {}",
            brief(arrived)
        );
        let line = line.expect("it was found");
        let (meant, from) = (line.meant_for, line.from);
        assert_eq!(
            meant, node,
            "node {node} received what was sent to node {meant}"
        );
        assert!(
            family(&from) == family(at),
            "{at} received a message of a stranger, {from}, epoch {}",
            from.epoch
        );
        assert!(
            line.message == *arrived,
            "a message was altered on its way: sent {}, arrived {}",
            brief(&line.message),
            brief(arrived)
        );
        line.arrived += 1;
        let lane = (arrived.from, node, arrived.body.is_control());
        let newest = newest.entry(lane).or_insert(arrived.term);
        line.was_overtaken |= *newest > arrived.term;
        *newest = arrived.term.max(*newest);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn since(&self, number: Term) -> impl Iterator<Item = (&Term, &Line)> {
        self.sent.range((Bound::Excluded(number), Bound::Unbounded))
    }
}

/// Not the payload.
fn brief(message: &Message) -> String {
    let (kind, bytes) = (message.body.name(), message.bytes());
    let (from, to, term) = (message.from, message.to, message.term);
    format!("{kind} of {bytes} bytes from node {from} to node {to} in term {term}")
}
