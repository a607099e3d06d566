//! Puts the parts of a node together: lanes, threads, core and event loop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{broadcast, mpsc, watch};
use tracing::Span;

use super::Shared;
use super::applier::{self, Applier, Job};
use super::callers::Callers;
use super::clock::Clock;
use super::crew::Crew;
use super::error::StartError;
use super::event_loop::{Batch, EventLoop, Sources, Timer};
use super::events::EVENTS_MAX;
use super::hand::Hand;
use super::launch::Farewell;
use super::log_reader::{self, Fetch};
use super::log_writer::{self, LogWriter};
use super::peers::Peers;
use super::recover::Recovered;
use super::request::{ProposalGate, Request};
use super::restoring::{Restoring, piece_bytes};
use super::snapshots::{self, SnapshotJob, SnapshotWorker};
use super::snapshotting::Snapshotting;
use super::status::Counters;
use crate::config::Config;
use crate::consensus::{Effects, Raft, Setup, Write};
use crate::hard_state::Identity;
use crate::state_machine::RestoreCheck;
use crate::store::{LogReader, SnapshotStore};
use crate::transport::{Inbox, Transport};

/// A node that is ready to run.
pub(super) struct Assembly {
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) seed: u64,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) recovered: Recovered,
}

/// A node that runs once its event loop does.
pub(super) struct Built {
    pub(super) event_loop: EventLoop,
    pub(super) shared: Shared,
    pub(super) crew: Crew,
    pub(super) farewell: Farewell,
}

/// Who does what may block: a thread each, or the event loop where it does not.
struct Hands {
    log: Hand<LogWriter, Write>,
    reader: Hand<Box<dyn LogReader>, Fetch>,
    applier: Hand<Box<Applier>, Job>,
    snapshots: mpsc::UnboundedSender<SnapshotJob>,
}

impl Assembly {
    /// Starts the transport, then the threads. Called on the runtime that will run the event loop.
    pub(super) fn build(
        self,
        span: &Span,
        stopping: &Arc<AtomicBool>,
    ) -> Result<Built, StartError> {
        let Self {
            name,
            config,
            seed,
            transport,
            recovered,
        } = self;
        let identity = recovered.identity;
        let snapshots = Arc::clone(&recovered.snapshots);
        let (inbox, lanes) = Inbox::new(inbox_bytes_max(&config), Arc::clone(&snapshots));
        start_transport(transport.as_ref(), identity, &inbox)?;
        let (completions_sender, completions) = mpsc::unbounded_channel();
        let (requests_sender, requests) = mpsc::unbounded_channel();
        let sources = Sources {
            own_inbox: inbox,
            _completions: completions_sender.clone(),
            inbox: lanes,
            completions,
            requests,
            timer: Timer::new(),
            batch: Batch::default(),
        };
        let worker = SnapshotWorker {
            snapshots,
            transport: Arc::clone(&transport),
            retained: config.snapshots_retained,
            stopping: Arc::clone(stopping),
        };
        let mut crew = Crew::new(name, span.clone(), completions_sender);
        let clock = Clock::start();
        let now = clock.now();
        let outside = Outside {
            clock,
            gate: Arc::new(ProposalGate::new(config.unapplied_bytes_max)),
            requests: requests_sender,
            entry_bytes_max: config.entry_bytes_max,
            piece_bytes: piece_bytes(&config),
            restoring: Restoring::new(&config),
            restore_check: recovered.restore_check,
            snapshots: Arc::clone(&recovered.snapshots),
            callers: Callers::new(&config, recovered.applied),
            stopping: Arc::clone(stopping),
            transport,
        };
        let setup = Setup {
            id: identity.node,
            incarnation: identity.incarnation,
            group: identity.group,
            config,
            seed,
        };
        let newest_snapshot = recovered.newest_snapshot;
        let raft = Raft::new(setup, recovered.recovery, recovered.applied, now);
        let log = LogWriter::new(recovered.log, recovered.stable);
        let hands = Hands::start(log, recovered.reader, recovered.applier, worker, &mut crew);
        let hands = hands.map_err(StartError::Thread)?;
        let snapshotting = Snapshotting::new(newest_snapshot);
        Ok(outside.assemble(identity, raft, sources, hands, snapshotting, crew))
    }
}

/// What the event loop and the handles share, or have one end of each.
struct Outside {
    clock: Clock,
    gate: Arc<ProposalGate>,
    requests: mpsc::UnboundedSender<Request>,
    entry_bytes_max: usize,
    piece_bytes: usize,
    restoring: Restoring,
    restore_check: Option<RestoreCheck>,
    snapshots: Arc<dyn SnapshotStore>,
    callers: Callers,
    stopping: Arc<AtomicBool>,
    transport: Arc<dyn Transport>,
}

impl Outside {
    fn assemble(
        self,
        identity: Identity,
        raft: Raft,
        sources: Sources,
        hands: Hands,
        snapshotting: Snapshotting,
        crew: Crew,
    ) -> Built {
        let status = raft.status();
        let mut peers = Peers::default();
        peers.learn(&status.membership);
        let (standing, standing_seen) = watch::channel(status.standing);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (stopped, stopped_seen) = watch::channel(None);
        let shared = Shared {
            identity,
            address: self.transport.local_address(),
            clock: self.clock.clone(),
            entry_bytes_max: self.entry_bytes_max,
            piece_bytes: self.piece_bytes,
            restore_check: self.restore_check,
            restores: AtomicBool::new(false),
            snapshots: Arc::clone(&self.snapshots),
            gate: Arc::clone(&self.gate),
            requests: self.requests,
            standing: standing_seen,
            events: events.clone(),
            stopped: stopped_seen,
        };
        let farewell = Farewell {
            stopped,
            events: events.clone(),
        };
        let event_loop = EventLoop {
            identity,
            raft,
            effects: Effects::new(),
            now: self.clock.now(),
            clock: self.clock,
            sources,
            gate: self.gate,
            callers: self.callers,
            restoring: self.restoring,
            log: hands.log,
            removals: 0,
            reader: hands.reader,
            applier: hands.applier,
            snapshots: hands.snapshots,
            snapshotting,
            restores: 0,
            applied: status.applied,
            peers,
            transport: self.transport,
            standing,
            events,
            counters: Counters::default(),
            leaving: false,
            stopping: self.stopping,
            stop: None,
        };
        Built {
            event_loop,
            shared,
            crew,
            farewell,
        }
    }
}

impl Hands {
    /// Gives a thread to everything that may block.
    fn start(
        log: LogWriter,
        reader: Box<dyn LogReader>,
        applier: Applier,
        worker: SnapshotWorker,
        crew: &mut Crew,
    ) -> io::Result<Self> {
        let (snapshots, queue) = mpsc::unbounded_channel();
        crew.start("snapshots", move |done| {
            snapshots::run(&worker, queue, done);
        })?;
        let (log, reader) = if log.may_block() {
            let (writes, queue) = mpsc::unbounded_channel();
            crew.start("log", move |done| log_writer::run(log, queue, done))?;
            let (fetches, fetch_queue) = mpsc::unbounded_channel();
            crew.start("reader", move |done| {
                log_reader::run(reader, fetch_queue, done);
            })?;
            (Hand::to_thread(writes), Hand::to_thread(fetches))
        } else {
            (Hand::in_place(log), Hand::in_place(reader))
        };
        let applier = if applier.may_block() {
            let (jobs, queue) = mpsc::unbounded_channel();
            crew.start("apply", move |done| applier::run(applier, queue, done))?;
            Hand::to_thread(jobs)
        } else {
            Hand::in_place(Box::new(applier))
        };
        Ok(Self {
            log,
            reader,
            applier,
            snapshots,
        })
    }
}

/// Entries that may wait in the inbox: what one leader may have on its way, and what its
/// predecessor may still have.
fn inbox_bytes_max(config: &Config) -> u32 {
    let bytes = config.in_flight_bytes_max.saturating_mul(2);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn start_transport(
    transport: &dyn Transport,
    identity: Identity,
    inbox: &Inbox,
) -> Result<(), StartError> {
    let started = transport.start(identity, inbox.clone());
    started.map_err(|source| StartError::Transport {
        address: transport.local_address(),
        source,
    })
}
