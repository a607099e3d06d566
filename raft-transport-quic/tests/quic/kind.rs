//! QUIC.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use raft_core::Identity;
use raft_core::id::NodeId;
use raft_transport_quic::QuicTransport;
use raft_transport_stream::ByteStream;
use raft_transport_stream::tls::Credentials;
use rustls::ClientConfig;

pub(crate) use raft_transport_quic::{TlsConfig, TransportConfig, TransportStats};

use crate::authority::any_cluster;

/// What the tests are about.
pub(crate) type Carrier = QuicTransport;

/// Whether a name is proved before anything is said.
pub(crate) const PROVES_NAMES: bool = true;
/// Whether the port can be taken again when stopping has begun, or else when it has ended.
pub(crate) const PORT_IS_FREE_AT_ONCE: bool = false;

pub(crate) fn bind(listen: &str, config: TransportConfig, local: Identity) -> io::Result<Carrier> {
    bind_with(listen, config, any_cluster(local.node))
}

pub(crate) fn bind_with(
    listen: &str,
    config: TransportConfig,
    tls: TlsConfig,
) -> io::Result<Carrier> {
    QuicTransport::bind(listen, config, tls)
}

/// A stream to a node, of a caller that the test plays itself.
pub(crate) async fn call(
    address: SocketAddr,
    caller: Identity,
    called: NodeId,
) -> Box<dyn ByteStream> {
    stream(
        connect(address, caller, called)
            .await
            .open_bi()
            .await
            .unwrap(),
    )
}

/// The same, with a session of the test's own making.
pub(crate) async fn call_with(
    address: SocketAddr,
    client: ClientConfig,
    name: String,
) -> io::Result<Box<dyn ByteStream>> {
    let connection = connect_with(address, client, &name).await?;
    Ok(stream(connection.open_bi().await?))
}

/// A connection to a node.
pub(crate) async fn connect(address: SocketAddr, caller: Identity, called: NodeId) -> Connection {
    let tls = any_cluster(caller.node);
    let name = tls.names.name(called, caller.cluster);
    let credentials = Credentials::load(tls).unwrap();
    let client = ClientConfig::clone(&credentials.current().client);
    connect_with(address, client, &name).await.unwrap()
}

/// The same, with a session of the test's own making.
pub(crate) async fn connect_with(
    address: SocketAddr,
    client: ClientConfig,
    name: &str,
) -> io::Result<Connection> {
    let crypto = QuicClientConfig::try_from(client).unwrap();
    let client = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap())?;
    let connecting = endpoint.connect_with(client, address, name).unwrap();
    Ok(connecting.await?)
}

fn stream((send, recv): (SendStream, RecvStream)) -> Box<dyn ByteStream> {
    Box::new(tokio::io::join(recv, send))
}

/// A node that the test plays itself.
pub(crate) struct Listener {
    endpoint: Endpoint,
    connection: Option<Connection>,
    pub(crate) connections: usize,
}

impl Listener {
    pub(crate) async fn bind(local: Identity) -> Self {
        let credentials = Credentials::load(any_cluster(local.node)).unwrap();
        let crypto = QuicServerConfig::try_from(Arc::clone(&credentials.current().server)).unwrap();
        let server = ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            endpoint,
            connection: None,
            connections: 0,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    pub(crate) async fn accept(&mut self) -> Box<dyn ByteStream> {
        loop {
            if let Some(connection) = &self.connection
                && let Ok(accepted) = connection.accept_bi().await
            {
                return stream(accepted);
            }
            let incoming = self.endpoint.accept().await.unwrap();
            // One that has ended already has a successor.
            self.connection = incoming.await.ok();
            self.connections += 1;
        }
    }
}
