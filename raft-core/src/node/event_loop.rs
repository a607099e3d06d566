//! The event loop: wait, step, execute.
//!
//! One task owns the core and everything that does not block. Whatever else there is to do is
//! handed to a thread, at most once a turn, and comes back as a [`Completion`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, Sleep};

use super::applier::{Applier, Job};
use super::callers::Callers;
use super::clock::Clock;
use super::completion::Completion;
use super::error::StopReason;
use super::events::NodeEvent;
use super::hand::Hand;
use super::log_reader::Fetch;
use super::log_writer::LogWriter;
use super::peers::Peers;
use super::request::{ProposalGate, Request};
use super::restoring::Restoring;
use super::snapshots::SnapshotJob;
use super::snapshotting::Snapshotting;
use super::status::Counters;
use crate::consensus::{Effects, Event, Raft, Standing, Write};
use crate::hard_state::Identity;
use crate::id::LogIndex;
use crate::store::LogReader;
use crate::time::Timestamp;
use crate::transport::{Inbound, Inbox, InboxReceiver, Transport};

/// The task that owns the core.
pub(super) struct EventLoop {
    pub(super) identity: Identity,
    pub(super) raft: Raft,
    pub(super) effects: Effects,
    pub(super) clock: Clock,
    /// The time of the turn in progress.
    pub(super) now: Timestamp,
    pub(super) sources: Sources,
    pub(super) gate: Arc<ProposalGate>,
    pub(super) callers: Callers,
    pub(super) restoring: Restoring,
    pub(super) log: Hand<LogWriter, Write>,
    /// How often entries were to be removed from the log.
    pub(super) removals: u64,
    pub(super) reader: Hand<Box<dyn LogReader>, Fetch>,
    pub(super) applier: Hand<Box<Applier>, Job>,
    pub(super) snapshots: mpsc::UnboundedSender<SnapshotJob>,
    pub(super) snapshotting: Snapshotting,
    /// Snapshots that the machine is still to be restored from.
    pub(super) restores: usize,
    pub(super) applied: LogIndex,
    pub(super) peers: Peers,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) events: broadcast::Sender<NodeEvent>,
    pub(super) counters: Counters,
    /// The node hands over and then shuts down.
    pub(super) leaving: bool,
    /// Tells the threads that nobody waits for them any more.
    pub(super) stopping: Arc<AtomicBool>,
    /// Set when the node must stop, and why: the first reason counts.
    pub(super) stop: Option<StopReason>,
}

/// Everything that can wake the event loop.
pub(super) struct Sources {
    /// Also keeps the lanes open when the transport lets go of them.
    pub(super) own_inbox: Inbox,
    /// Kept so that this lane stays open.
    pub(super) _completions: mpsc::UnboundedSender<Completion>,
    pub(super) inbox: InboxReceiver,
    pub(super) completions: mpsc::UnboundedReceiver<Completion>,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    pub(super) timer: Timer,
    pub(super) batch: Batch,
}

/// What one turn takes in.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) control: Vec<Inbound>,
    pub(super) completions: Vec<Completion>,
    pub(super) bulk: Vec<Inbound>,
    pub(super) requests: Vec<Request>,
    /// Every handle was dropped.
    pub(super) deserted: bool,
}

/// The one timer. It is moved only to an earlier time: a deadline that moves away with every
/// message, as a follower's does, costs nothing until the old one fires.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Timestamp>,
}

/// Messages that one turn takes from a lane before it looks at the others again.
const MESSAGES_A_TURN: usize = 256;
/// Requests that one turn takes: the larger the batch, the cheaper each.
const REQUESTS_A_TURN: usize = 4_096;

impl EventLoop {
    /// Runs until the node must stop.
    pub(super) async fn run(mut self) -> StopReason {
        self.begin();
        loop {
            if let Some(reason) = self.stop.take() {
                return self.finish(reason);
            }
            self.sources.timer.arm(&self.clock, self.next_deadline());
            if self.sources.have_more() {
                // The transport's sockets share this thread: let them have their turn.
                tokio::task::yield_now().await;
            }
            self.sources.wait().await;
            self.counters.wake_ups += 1;
            self.turn();
        }
    }

    /// The first turn: the core may have something to do already.
    fn begin(&mut self) {
        self.now = self.clock.now();
        self.step(Event::TimePassed);
        self.settle();
        self.hand_off();
        self.tell_inbox();
    }

    /// Lets the transport know what snapshots are worth taking in.
    fn tell_inbox(&self) {
        let (term, committed) = self.raft.horizon();
        self.sources.own_inbox.node_is_at(term, committed);
    }

    /// Steps everything that has come in, then does what the steps asked for.
    fn turn(&mut self) {
        self.now = self.clock.now();
        let mut batch = std::mem::take(&mut self.sources.batch);
        for inbound in batch.control.drain(..) {
            self.on_inbound(inbound);
        }
        for completion in batch.completions.drain(..) {
            self.on_completion(completion);
        }
        for inbound in batch.bulk.drain(..) {
            self.on_inbound(inbound);
        }
        self.on_requests(&mut batch.requests);
        if batch.deserted {
            self.shut_down();
        }
        self.sources.batch = batch;
        if self.raft.deadline().is_some_and(|due| due <= self.now) {
            self.step(Event::TimePassed);
        }
        self.settle();
        self.hand_off();
        self.tell_inbox();
        self.callers.expire(self.now);
        self.restoring.expire(self.now);
    }

    /// Gives the core an event and executes what it wants, effect by effect.
    pub(super) fn step(&mut self, event: Event) {
        if self.stop.is_some() {
            return;
        }
        self.counters.steps += 1;
        let mut effects = std::mem::take(&mut self.effects);
        self.raft.step(self.now, event, &mut effects);
        for effect in effects.drain() {
            self.execute(effect);
        }
        self.effects = effects;
    }

    /// Does in place what needs no thread, and steps the outcome, until nothing is left. Writes
    /// and entries that a turn collected go to the store and to the machine together.
    fn settle(&mut self) {
        while self.stop.is_none()
            && (self.propose_part() || self.write_log() || self.read_log() || self.apply())
        {
            self.now = self.clock.now();
        }
    }

    fn hand_off(&mut self) {
        self.log.hand_off();
        self.reader.hand_off();
        self.applier.hand_off();
    }

    /// The node stops once this turn is over.
    pub(super) fn stop_for(&mut self, reason: StopReason) {
        self.stop.get_or_insert(reason);
    }

    /// Tells whoever listens.
    pub(super) fn publish(&self, event: NodeEvent) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let callers = [self.callers.deadline(), self.restoring.deadline()];
        let core = self.raft.deadline().into_iter();
        core.chain(callers.into_iter().flatten()).min()
    }
}

impl Sources {
    /// Waits for the first source that has something, then takes what all of them have. Control
    /// messages come first, so that nothing holds up a heartbeat (RULE 7).
    async fn wait(&mut self) {
        let Self {
            inbox,
            completions,
            requests,
            timer,
            batch,
            ..
        } = self;
        tokio::select! {
            biased;
            _ = inbox.control.recv_many(&mut batch.control, MESSAGES_A_TURN) => {}
            _ = completions.recv_many(&mut batch.completions, MESSAGES_A_TURN) => {}
            _ = inbox.bulk.recv_many(&mut batch.bulk, MESSAGES_A_TURN) => {}
            taken = requests.recv_many(&mut batch.requests, REQUESTS_A_TURN), if !batch.deserted => {
                batch.deserted = taken == 0;
            }
            () = timer.fire() => {}
        }
        take_more(&mut batch.control, MESSAGES_A_TURN, || {
            inbox.control.try_recv().ok()
        });
        take_more(&mut batch.completions, MESSAGES_A_TURN, || {
            completions.try_recv().ok()
        });
        take_more(&mut batch.bulk, MESSAGES_A_TURN, || {
            inbox.bulk.try_recv().ok()
        });
        take_more(&mut batch.requests, REQUESTS_A_TURN, || {
            requests.try_recv().ok()
        });
    }

    /// Whether the next wait will be none.
    fn have_more(&self) -> bool {
        !self.inbox.control.is_empty()
            || !self.completions.is_empty()
            || !self.inbox.bulk.is_empty()
            || !self.requests.is_empty()
    }
}

fn take_more<T>(into: &mut Vec<T>, max: usize, mut next: impl FnMut() -> Option<T>) {
    while into.len() < max
        && let Some(one) = next()
    {
        into.push(one);
    }
}

impl Timer {
    pub(super) fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep_until(Instant::now())),
            armed: None,
        }
    }

    /// Makes sure that it fires at `due` or before.
    fn arm(&mut self, clock: &Clock, due: Option<Timestamp>) {
        if let Some(due) = due
            && self.armed.is_none_or(|armed| due < armed)
        {
            self.sleep.as_mut().reset(clock.instant(due));
            self.armed = Some(due);
        }
    }

    async fn fire(&mut self) {
        match self.armed {
            Some(_) => self.sleep.as_mut().await,
            None => std::future::pending().await,
        }
        self.armed = None;
    }
}
