//! The transport itself: what the node sees.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::membership::Peer;
use raft_core::message::Message;
use raft_core::transport::{Inbox, OutboundSnapshot, Transport};
use raft_core::wire::Lane;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::callers::CallersAddresses;
use crate::config::TcpConfig;
use crate::context::Context;
use crate::dialer::Dialer;
use crate::listener::Callers;
use crate::queue::Queue;
use crate::snapshot_send;
use crate::stats::{Counters, TcpStats};
use crate::tasks::Tasks;

/// Carries messages between nodes over TCP. See the crate's documentation.
///
/// Dropping it stops it.
pub struct TcpTransport {
    config: TcpConfig,
    local_address: SocketAddr,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

enum State {
    /// The address is taken, so that nobody else gets it, and so that errors show at once.
    Bound(std::net::TcpListener),
    Running(Running),
    Stopped(Option<Tasks>),
}

struct Running {
    context: Arc<Context>,
    listener: Arc<TcpListener>,
    queues: BTreeMap<(NodeId, Lane), Arc<Queue>>,
}

impl TcpTransport {
    /// Takes the address to listen at (`host:port`; port 0 lets the system choose) for connections
    /// without encryption and without proof of identity. Callers wait until the node has started.
    ///
    /// # Errors
    /// `InvalidInput` for settings that contradict each other; the system's error, with the address
    /// in its text, for one that cannot be taken.
    pub fn bind_plaintext(listen: &str, config: TcpConfig) -> io::Result<Self> {
        config
            .validate()
            .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        let cannot = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen at {listen}: {error}"))
        };
        let listener = std::net::TcpListener::bind(listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(Self {
            config,
            local_address: listener.local_addr().map_err(cannot)?,
            counters: Arc::default(),
            state: Mutex::new(State::Bound(listener)),
        })
    }

    /// The address that was taken, with the port that the system chose.
    pub fn listen_address(&self) -> SocketAddr {
        self.local_address
    }

    /// What happened so far.
    pub fn stats(&self) -> TcpStats {
        self.counters.snapshot()
    }

    /// Waits until the transport was stopped and its last task has ended. At once if it was never
    /// started.
    pub async fn ended(&self) {
        let tasks = match &*self.state() {
            State::Bound(_) | State::Stopped(None) => return,
            State::Running(running) => running.context.tasks.clone(),
            State::Stopped(Some(tasks)) => tasks.clone(),
        };
        tasks.ended().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock and has changed half of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for TcpTransport {
    /// # Errors
    /// `InvalidInput` outside a tokio runtime, or if it was started before.
    fn start(&self, local: Identity, inbox: Inbox) -> io::Result<()> {
        let misuse = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let runtime = Handle::try_current().map_err(|error| misuse(error.to_string()))?;
        let mut state = self.state();
        let State::Bound(listener) = &*state else {
            return Err(misuse("a transport can be started once".into()));
        };
        let listener = Arc::new(TcpListener::from_std(listener.try_clone()?)?);
        let context = Arc::new(Context {
            config: self.config.clone(),
            local,
            listen: self.local_address,
            callers: CallersAddresses::default(),
            inbox,
            counters: Arc::clone(&self.counters),
            tasks: Tasks::new(runtime),
        });
        let callers = Arc::new(Callers::new(Arc::clone(&context)));
        context.tasks.spawn(callers.run(Arc::clone(&listener)));
        *state = State::Running(Running {
            context,
            listener,
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
            State::Bound(_) => None,
            State::Stopped(_) => return,
            State::Running(running) => {
                running.context.tasks.stop();
                // The accepting task ends at its next wake-up; the port is free from now on.
                let shut = SockRef::from(&*running.listener).shutdown(std::net::Shutdown::Both);
                if let Err(error) = shut {
                    tracing::debug!(%error, "the listener closes with its task");
                }
                Some(running.context.tasks.clone())
            }
        };
        *state = State::Stopped(tasks);
    }

    fn local_address(&self) -> Option<String> {
        Some(self.local_address.to_string())
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
        if message.bytes() > config.frame_bytes_max as usize {
            context.counters.dropped_too_large.add(1);
            tracing::error!(
                node = %context.local.node, peer = %to.id, bytes = message.bytes(),
                frame_bytes_max = config.frame_bytes_max,
                "dropped a message: raise frame_bytes_max, or these entries are never replicated"
            );
            return;
        }
        let Some(address) = context.address_of(to) else {
            context.counters.dropped_unreachable.add(1);
            tracing::debug!(peer = %to.id, "dropped a message: nobody has said where to send it");
            return;
        };
        let queue = queues.entry((to.id, lane)).or_insert_with(|| {
            let (messages_max, bytes_max) = (config.queue_messages_max, config.queue_bytes_max);
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

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport")
            .field("listen", &self.local_address)
            .finish_non_exhaustive()
    }
}
