//! The transport itself: what the node sees.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::membership::Peer;
use raft_core::message::Message;
use raft_core::transport::{Inbox, OutboundSnapshot, Transport};
use raft_transport_stream::{StreamTransport, TransportConfig, TransportStats};

use crate::plain::PlainStreams;

/// Carries messages between nodes over TCP. See the crate's documentation.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct TcpTransport {
    local_address: SocketAddr,
    shared: StreamTransport,
}

impl TcpTransport {
    /// Takes the address to listen at (`host:port`; port 0 lets the system choose) for connections
    /// without encryption and without proof of identity. Callers wait until the node has started.
    ///
    /// # Errors
    /// `InvalidInput` for settings that contradict each other; the system's error, with the address
    /// in its text, for one that cannot be taken.
    pub fn bind_plaintext(listen: &str, config: TransportConfig) -> io::Result<Self> {
        let streams = PlainStreams::bind(listen)?;
        Ok(Self {
            local_address: streams.listen_address(),
            shared: StreamTransport::new(Arc::new(streams), config)?,
        })
    }

    /// The address that was taken, with the port that the system chose.
    pub fn listen_address(&self) -> SocketAddr {
        self.local_address
    }

    /// What happened so far.
    pub fn stats(&self) -> TransportStats {
        self.shared.stats()
    }

    /// Waits until the transport was stopped and its last task has ended. At once if it was never
    /// started.
    pub async fn ended(&self) {
        self.shared.ended().await;
    }
}

impl Transport for TcpTransport {
    fn start(&self, local: Identity, inbox: Inbox) -> io::Result<()> {
        self.shared.start(local, inbox)
    }

    fn send(&self, to: &Peer, message: Message) {
        self.shared.send(to, message);
    }

    fn send_snapshot(&self, to: &Peer, snapshot: OutboundSnapshot) {
        self.shared.send_snapshot(to, snapshot);
    }

    fn stop(&self) {
        self.shared.stop();
    }

    fn message_bytes_max(&self) -> Option<usize> {
        self.shared.message_bytes_max()
    }

    fn local_address(&self) -> Option<String> {
        self.shared.local_address()
    }
}
