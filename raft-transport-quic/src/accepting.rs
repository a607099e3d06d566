//! Callers: their connections, and the streams on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming};
use raft_transport_stream::tls::Credentials;
use raft_transport_stream::{Caller, Established, Renewals, Seat, Seats, Tasks};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::connections::established;
use crate::endpoint::Settings;
use crate::errors::{RENEWED, STOPPED, explain};
use crate::goodbye;
use crate::stream::QuicStream;

/// Takes in connections, a bounded number of them, and hands out their streams.
#[derive(Debug)]
pub(crate) struct Accepting {
    pub(crate) settings: Settings,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) handshake_timeout: Duration,
    /// Of connections; those of streams are counted by whoever takes them in.
    pub(crate) seats: Arc<Seats>,
    pub(crate) calling: mpsc::Sender<Caller>,
    pub(crate) tasks: Tasks,
    /// Handshakes that are under way.
    pub(crate) half_open: Arc<AtomicUsize>,
}

/// With more handshakes under way, callers prove first that they are reached at their address: a
/// flood with made-up addresses gets no further, and an honest caller loses one round trip.
const HALF_OPEN_UNPROVEN_MAX: usize = 16;

/// A connection of a caller, that is told why if it ends with us.
#[derive(Debug)]
struct Accepted(Connection);

/// Counts a handshake while it lives.
#[derive(Debug)]
struct HalfOpen(Arc<AtomicUsize>);

impl Accepting {
    /// Accepts until the endpoint is closed.
    pub(crate) async fn run(self: Arc<Self>, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            self.admit(incoming);
        }
    }

    fn admit(self: &Arc<Self>, incoming: Incoming) {
        let crowded = self.half_open.load(Ordering::Relaxed) >= HALF_OPEN_UNPROVEN_MAX;
        if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "a caller was not asked to prove its address");
            }
            return;
        }
        let from = incoming.remote_address();
        match self.seats.take(Some(from.ip())) {
            Ok(seat) => {
                let half_open = HalfOpen::new(&self.half_open);
                let this = Arc::clone(self);
                let served = async move { this.serve(incoming, half_open, seat).await };
                self.tasks.spawn(served);
            }
            Err(full) => {
                tracing::warn!(%from, setting = full.0, "a caller was turned away: no room");
                incoming.refuse();
            }
        }
    }

    async fn serve(&self, incoming: Incoming, half_open: HalfOpen, _seat: Seat) {
        let from = incoming.remote_address();
        let renewals = self.credentials.renewals();
        let connection = match self.shake_hands(incoming).await {
            Ok(connection) => Accepted(connection),
            // Told as a caller whose stream never came to be, so that it is counted and logged.
            Err(error) => return self.hand_out(from, Err(error)).await,
        };
        drop(half_open);
        let over = renewals.clone().over();
        tokio::select! {
            () = self.hand_out_streams(&connection.0, &renewals) => {}
            () = over => goodbye::close(&connection.0, RENEWED),
        }
    }

    async fn shake_hands(&self, incoming: Incoming) -> io::Result<Connection> {
        let server = self.settings.server(&self.credentials.current())?;
        let connecting = incoming.accept_with(Arc::new(server));
        let connecting = connecting.map_err(|error| explain(&error))?;
        match timeout(self.handshake_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| explain(&error)),
            Err(late) => Err(late.into()),
        }
    }

    /// Until the connection ends.
    async fn hand_out_streams(&self, connection: &Connection, renewals: &Renewals) {
        loop {
            let (send, recv) = match connection.accept_bi().await {
                Ok(stream) => stream,
                Err(error) => {
                    let from = connection.remote_address();
                    tracing::debug!(%from, "a connection has ended: {}", explain(&error));
                    return;
                }
            };
            let stream = QuicStream::new(send, recv, None);
            let renewals = renewals.clone();
            let established = established((connection, stream), &self.credentials, renewals);
            let from = connection.remote_address();
            self.hand_out(from, Ok(established)).await;
        }
    }

    async fn hand_out(&self, from: SocketAddr, established: io::Result<Established>) {
        let caller = Caller {
            from: from.to_string(),
            address: Some(from.ip()),
            established: Box::pin(std::future::ready(established)),
        };
        // Nobody takes in callers any more: the transport has stopped.
        let _ = self.calling.send(caller).await;
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        // One that is closed already stays as it is.
        goodbye::close(&self.0, STOPPED);
    }
}

impl HalfOpen {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
