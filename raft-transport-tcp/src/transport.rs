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
#[cfg(feature = "tls")]
use crate::secure::SecureStreams;
#[cfg(feature = "tls")]
use raft_transport_stream::tls::{Credentials, TlsConfig, TlsError};

/// Carries messages between nodes over TCP. See the crate's documentation.
///
/// Clones are handles to the same transport: keep one for [`stats`](Self::stats) and `reload`, and
/// give the other to the node. Dropping the last one stops it.
#[derive(Clone, Debug)]
pub struct TcpTransport {
    local_address: SocketAddr,
    shared: Arc<StreamTransport>,
    /// None with plain text.
    #[cfg(feature = "tls")]
    credentials: Option<Arc<Credentials>>,
}

impl TcpTransport {
    /// Takes the address to listen at (`host:port`; port 0 lets the system choose) for connections
    /// of mutual TLS: encrypted, and with both ends proving which node they are. Callers wait until
    /// the node has started, which fails if the certificate is another node's.
    ///
    /// # Errors
    /// `InvalidInput` for settings that contradict each other and for certificates that cannot be
    /// used, with the file in its text; the system's error, with the address in its text, for one that
    /// cannot be taken.
    #[cfg(feature = "tls")]
    pub fn bind(listen: &str, config: TransportConfig, tls: TlsConfig) -> io::Result<Self> {
        let credentials = Credentials::load(tls)?;
        let tcp = PlainStreams::bind(listen, &config)?;
        let local_address = tcp.listen_address();
        let streams = SecureStreams::new(tcp, Arc::clone(&credentials));
        Ok(Self {
            local_address,
            shared: Arc::new(StreamTransport::new(Arc::new(streams), config)?),
            credentials: Some(credentials),
        })
    }

    /// Reads certificate, key, authorities and revocations anew, at once. New connections rest on
    /// them; those that are open are made anew within
    /// [`renew_within`](TlsConfig::renew_within). If one of the files cannot be used, everything stays
    /// as it was. Reads files: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`TlsError`], also logged and counted ([`TransportStats::reloads_failed`]).
    #[cfg(feature = "tls")]
    pub fn reload(&self) -> Result<(), TlsError> {
        let credentials = self.credentials.as_ref().ok_or(TlsError::PlainText)?;
        credentials.reload()
    }

    /// Takes the address to listen at (`host:port`; port 0 lets the system choose) for connections
    /// without encryption and without proof of identity. Callers wait until the node has started.
    ///
    /// # Errors
    /// `InvalidInput` for settings that contradict each other; the system's error, with the address
    /// in its text, for one that cannot be taken.
    pub fn bind_plaintext(listen: &str, config: TransportConfig) -> io::Result<Self> {
        let streams = PlainStreams::bind(listen, &config)?;
        Ok(Self {
            local_address: streams.listen_address(),
            shared: Arc::new(StreamTransport::new(Arc::new(streams), config)?),
            #[cfg(feature = "tls")]
            credentials: None,
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
