//! The transport itself: what the node sees.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::membership::Peer;
use raft_core::message::Message;
use raft_core::transport::{Inbox, OutboundSnapshot, Transport};
use raft_core::wire::Lane;
use tokio::runtime::Handle;

use crate::callers::CallersAddresses;
use crate::config::TransportConfig;
use crate::context::Context;
use crate::dialer::Dialer;
use crate::listener::Callers;
use crate::pace::SnapshotStreams;
use crate::queue::Queue;
use crate::snapshot_send;
use crate::stats::{Counters, TransportStats};
use crate::streams::Streams;
use crate::tasks::Tasks;

/// Carries messages between nodes over byte streams. See the crate's documentation.
///
/// Dropping it stops it.
pub struct StreamTransport {
    config: TransportConfig,
    streams: Arc<dyn Streams>,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

enum State {
    New,
    Running(Running),
    Stopped(Option<Tasks>),
}

struct Running {
    context: Arc<Context>,
    queues: BTreeMap<(NodeId, Lane), Arc<Queue>>,
}

impl StreamTransport {
    /// A transport over these streams. Callers wait until the node has started.
    ///
    /// # Errors
    /// `InvalidInput` for settings that contradict each other.
    pub fn new(streams: Arc<dyn Streams>, config: TransportConfig) -> io::Result<Self> {
        config
            .validate()
            .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        Ok(Self {
            config,
            streams,
            counters: Arc::default(),
            state: Mutex::new(State::New),
        })
    }

    /// What happened so far.
    pub fn stats(&self) -> TransportStats {
        let mut stats = self.counters.snapshot();
        self.streams.count(&mut stats);
        stats
    }

    /// Waits until the transport was stopped, its last task has ended, and its address is free. At
    /// once if it was never started.
    pub async fn ended(&self) {
        let tasks = match &*self.state() {
            State::New | State::Stopped(None) => return,
            State::Running(running) => running.context.tasks.clone(),
            State::Stopped(Some(tasks)) => tasks.clone(),
        };
        tasks.ended().await;
        self.streams.ended().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock and has changed half of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for StreamTransport {
    /// # Errors
    /// `InvalidInput` outside a tokio runtime, or if it was started before.
    fn start(&self, local: Identity, inbox: Inbox) -> io::Result<()> {
        let misuse = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let runtime = Handle::try_current().map_err(|error| misuse(error.to_string()))?;
        let mut state = self.state();
        if !matches!(*state, State::New) {
            return Err(misuse("a transport can be started once".into()));
        }
        let tasks = Tasks::new(runtime);
        self.streams.start(local, &tasks)?;
        let context = Arc::new(Context {
            config: self.config.clone(),
            local,
            streams: Arc::clone(&self.streams),
            callers: CallersAddresses::default(),
            inbox,
            counters: Arc::clone(&self.counters),
            tasks,
            snapshots: SnapshotStreams::new(&self.config),
        });
        let callers = Arc::new(Callers::new(Arc::clone(&context)));
        context.tasks.spawn(callers.run());
        *state = State::Running(Running {
            context,
            queues: BTreeMap::new(),
        });
        Ok(())
    }

    fn send(&self, to: &Peer, message: Message) {
        if let State::Running(running) = &mut *self.state() {
            running.send(to, message);
        }
    }

    fn send_snapshot(&self, to: &Peer, snapshot: OutboundSnapshot) {
        if let State::Running(running) = &*self.state() {
            let context = Arc::clone(&running.context);
            let sending = snapshot_send::send(context, to.clone(), snapshot);
            running.context.tasks.spawn(sending);
        }
    }

    fn stop(&self) {
        let mut state = self.state();
        let tasks = match &*state {
            State::New => None,
            State::Stopped(_) => return,
            State::Running(running) => {
                running.context.tasks.stop();
                Some(running.context.tasks.clone())
            }
        };
        self.streams.stop();
        *state = State::Stopped(tasks);
    }

    fn message_bytes_max(&self) -> Option<usize> {
        Some(self.config.frame_max.in_memory())
    }

    fn local_address(&self) -> Option<String> {
        Some(self.streams.local_address())
    }
}

impl Running {
    fn send(&mut self, to: &Peer, message: Message) {
        let Self {
            context, queues, ..
        } = self;
        let config = &context.config;
        let lane = if message.body.is_control() {
            Lane::Control
        } else {
            Lane::Bulk
        };
        if message.bytes() > config.frame_max.in_memory() {
            context.counters.dropped_too_large.add(1);
            tracing::error!(
                node = %context.local.node, peer = %to.id, bytes = message.bytes(),
                frame_max = %config.frame_max,
                "dropped a message: raise frame_max, or these entries are never replicated"
            );
            return;
        }
        let Some(address) = context.address_of(to) else {
            context.counters.dropped_unreachable.add(1);
            tracing::debug!(peer = %to.id, "dropped a message: nobody has said where to send it");
            return;
        };
        let queue = queues.entry((to.id, lane)).or_insert_with(|| {
            let (messages_max, bytes_max) =
                (config.queue_messages_max, config.queue_max.in_memory());
            let queue = Arc::new(Queue::new(&address, messages_max, bytes_max));
            let dialer = Dialer::new(Arc::clone(context), to.id, lane, Arc::clone(&queue));
            context.tasks.spawn(dialer.run());
            queue
        });
        if !queue.push(&address, message) {
            context.counters.dropped_full.add(1);
        }
    }
}

impl Drop for StreamTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for StreamTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTransport")
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}
