//! Streams of QUIC: how they come to be, and how everything ends.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Endpoint;
use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::wire::Lane;
use raft_transport_stream::tls::Credentials;
use raft_transport_stream::{
    Caller, Established, Pending, Seats, Streams, Tasks, TransportConfig, TransportStats,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::accepting::Accepting;
use crate::closing::close;
use crate::connections::Connections;
use crate::endpoint::{self, Settings};
use crate::reset::endpoint_config;
use crate::runtime::ListedRuntime;

/// Dials and listens over one UDP socket.
#[derive(Debug)]
pub(crate) struct QuicStreams {
    local_address: SocketAddr,
    config: TransportConfig,
    settings: Settings,
    credentials: Arc<Credentials>,
    connections: Connections,
    state: Mutex<State>,
    /// Whoever has called, from the tasks that accept.
    calling: mpsc::Sender<Caller>,
    callers: tokio::sync::Mutex<mpsc::Receiver<Caller>>,
}

#[derive(Debug)]
enum State {
    /// Taken at once, so that nobody else gets the address and errors show early.
    Bound(UdpSocket),
    Running(Running),
    /// With what is left to wait for.
    Stopped(Option<Tasks>),
}

#[derive(Debug)]
struct Running {
    endpoint: Endpoint,
    /// The tasks of the QUIC stack.
    drivers: Tasks,
    runtime: Handle,
}

/// Callers that wait to be taken in. More wait in their connections.
const CALLERS_AHEAD: usize = 16;

impl QuicStreams {
    /// Takes the address to listen at.
    pub(crate) fn bind(
        listen: &str,
        config: &TransportConfig,
        credentials: Arc<Credentials>,
    ) -> io::Result<Self> {
        let socket = endpoint::bind(listen)?;
        let settings = Settings::new(config);
        let (calling, callers) = mpsc::channel(CALLERS_AHEAD);
        Ok(Self {
            local_address: socket.local_addr()?,
            config: config.clone(),
            connections: Connections::new(settings.clone(), Arc::clone(&credentials)),
            settings,
            credentials,
            state: Mutex::new(State::Bound(socket)),
            calling,
            callers: tokio::sync::Mutex::new(callers),
        })
    }

    /// The address that was taken.
    pub(crate) fn listen_address(&self) -> SocketAddr {
        self.local_address
    }

    fn run(&self, socket: UdpSocket, tasks: &Tasks) -> io::Result<Running> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let drivers = Tasks::new(runtime.clone());
        let server = self.settings.server(&self.credentials.current())?;
        let endpoint = Endpoint::new(
            endpoint_config(&self.credentials),
            Some(server),
            socket,
            Arc::new(ListedRuntime(drivers.clone())),
        )?;
        let accepting = Arc::new(Accepting {
            settings: self.settings.clone(),
            credentials: Arc::clone(&self.credentials),
            handshake_timeout: self.config.handshake_timeout.0,
            seats: Arc::new(Seats::new(&with_room_to_be_told(&self.config))),
            calling: self.calling.clone(),
            tasks: tasks.clone(),
            half_open: Arc::default(),
        });
        tasks.spawn(accepting.run(endpoint.clone()));
        Ok(Running {
            endpoint,
            drivers,
            runtime,
        })
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        match &*self.state() {
            State::Running(running) => Ok(running.endpoint.clone()),
            State::Bound(_) | State::Stopped(_) => {
                Err(io::Error::other("the transport is not running"))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A few more connections than streams are let in: over their streams, callers are told why there is
/// no room for them.
fn with_room_to_be_told(config: &TransportConfig) -> TransportConfig {
    const ROOM: usize = 16;
    let mut config = config.clone();
    for most in [
        &mut config.inbound_connections_max,
        &mut config.inbound_connections_per_address_max,
    ] {
        *most = most.saturating_add(ROOM);
    }
    config
}

impl Streams for QuicStreams {
    fn start(&self, local: Identity, tasks: &Tasks) -> io::Result<()> {
        self.credentials.begin(local, tasks)?;
        let mut state = self.state();
        let State::Bound(socket) = &*state else {
            return Err(io::Error::other("the transport was started or stopped"));
        };
        let socket = socket.try_clone()?;
        *state = State::Running(self.run(socket, tasks)?);
        Ok(())
    }

    fn dial<'a>(&'a self, peer: NodeId, address: &'a str, lane: Lane) -> Pending<'a, Established> {
        Box::pin(async move {
            let endpoint = self.endpoint()?;
            let to = (peer, address);
            self.connections.open(&endpoint, to, lane).await
        })
    }

    fn accept(&self) -> Pending<'_, Caller> {
        Box::pin(async {
            let caller = self.callers.lock().await.recv().await;
            caller.ok_or_else(|| io::Error::other("the transport was stopped"))
        })
    }

    fn stop(&self) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Stopped(None)) {
            State::Bound(_) => {}
            State::Running(running) => {
                let Running {
                    endpoint,
                    drivers,
                    runtime,
                } = running;
                *state = State::Stopped(Some(drivers.clone()));
                drop(state);
                runtime.spawn(close(endpoint, drivers));
            }
            stopped @ State::Stopped(_) => *state = stopped,
        }
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // Callers that nobody has taken in hold their connections.
            let mut callers = self.callers.lock().await;
            callers.close();
            while callers.try_recv().is_ok() {}
            let drivers = match &*self.state() {
                State::Stopped(Some(drivers)) => drivers.clone(),
                State::Bound(_) | State::Running(_) | State::Stopped(None) => return,
            };
            drivers.ended().await;
        })
    }

    fn count(&self, stats: &mut TransportStats) {
        self.credentials.count(stats);
    }

    fn local_address(&self) -> String {
        self.local_address.to_string()
    }

    fn advertised(&self, local: Option<SocketAddr>) -> String {
        let mut address = self.local_address;
        if address.ip().is_unspecified()
            && let Some(seen) = local
        {
            address.set_ip(seen.ip());
        }
        address.to_string()
    }
}
