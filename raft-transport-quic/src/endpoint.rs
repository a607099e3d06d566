//! The settings of QUIC.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, IdleTimeout, ServerConfig, VarInt};
use raft_transport_stream::TransportConfig;
use raft_transport_stream::tls::Material;
use socket2::SockRef;

use crate::goodbye::UntilGoodbyes;

/// Room for what arrives while the program does something else. Without it, a busy receiver loses
/// packets.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// What may be under way on one stream before the receiver has taken it: a fast network's worth.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// Streams of messages from one caller, twice: the old ones end while the new ones begin.
const MESSAGE_STREAMS: usize = 4;

/// What all connections have.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    dialed: Arc<quinn::TransportConfig>,
    accepted: Arc<quinn::TransportConfig>,
    inbound_connections_max: usize,
}

impl Settings {
    pub(crate) fn new(config: &TransportConfig) -> Self {
        let accepted = transport(config);
        // One of the ends is enough to keep a connection alive.
        let mut dialed = transport(config);
        dialed.keep_alive_interval(Some(config.keepalive.0));
        Self {
            dialed: Arc::new(dialed),
            accepted: Arc::new(accepted),
            inbound_connections_max: config.inbound_connections_max,
        }
    }

    /// For the next connection to a peer.
    pub(crate) fn client(&self, material: &Material) -> io::Result<ClientConfig> {
        let crypto = QuicClientConfig::try_from(Arc::clone(&material.client));
        let mut client = ClientConfig::new(Arc::new(crypto.map_err(io::Error::other)?));
        client.transport_config(Arc::clone(&self.dialed));
        Ok(client)
    }

    /// For the next connection of a caller.
    pub(crate) fn server(&self, material: &Material) -> io::Result<ServerConfig> {
        let crypto = QuicServerConfig::try_from(Arc::clone(&material.server));
        let crypto = crypto.map_err(io::Error::other)?;
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        server
            .transport_config(Arc::clone(&self.accepted))
            .migration(true)
            .max_incoming(self.inbound_connections_max)
            // No more is kept of what comes before a handshake is looked at.
            .incoming_buffer_size(64 << 10)
            .incoming_buffer_size_total(4 << 20);
        Ok(server)
    }
}

fn transport(config: &TransportConfig) -> quinn::TransportConfig {
    let streams = config
        .snapshot_streams_max
        .saturating_add(1)
        .saturating_mul(2);
    let streams = u32::try_from(streams.saturating_add(MESSAGE_STREAMS)).unwrap_or(u32::MAX);
    let idle = IdleTimeout::try_from(config.idle_timeout.0);
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        // Beyond what the protocol can say, silence means nothing.
        .max_idle_timeout(idle.ok())
        .congestion_controller_factory(Arc::new(UntilGoodbyes))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        // A stream that nobody reads leaves the others free.
        .send_window(u64::from(streams) * u64::from(STREAM_WINDOW_BYTES));
    transport
}

/// Takes the address to listen at.
pub(crate) fn bind(listen: &str) -> io::Result<UdpSocket> {
    let cannot = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen at {listen}: {error}"))
    };
    let socket = UdpSocket::bind(listen).map_err(cannot)?;
    socket.set_nonblocking(true).map_err(cannot)?;
    let options = SockRef::from(&socket);
    let sized = options
        .set_recv_buffer_size(SOCKET_BUFFER_BYTES)
        .and_then(|()| options.set_send_buffer_size(SOCKET_BUFFER_BYTES));
    if let Err(error) = sized {
        tracing::warn!(listen, %error, "small socket buffers: a busy node will lose packets");
    }
    Ok(socket)
}
