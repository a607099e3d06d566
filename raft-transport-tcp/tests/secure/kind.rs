//! TLS over TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_transport_stream::ByteStream;
use raft_transport_stream::tls::Credentials;
use raft_transport_tcp::TcpTransport;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) use raft_transport_tcp::{TlsConfig, TransportConfig, TransportStats};

use crate::authority::any_cluster;

/// What the tests are about.
pub(crate) type Carrier = TcpTransport;

/// Whether a name is proved before anything is said.
pub(crate) const PROVES_NAMES: bool = true;
/// Whether the port can be taken again when stopping has begun, or else when it has ended.
pub(crate) const PORT_IS_FREE_AT_ONCE: bool = true;

pub(crate) fn bind(listen: &str, config: TransportConfig, local: Identity) -> io::Result<Carrier> {
    bind_with(listen, config, any_cluster(local.node))
}

pub(crate) fn bind_with(
    listen: &str,
    config: TransportConfig,
    tls: TlsConfig,
) -> io::Result<Carrier> {
    TcpTransport::bind(listen, config, tls)
}

/// A stream to a node, of a caller that the test plays itself.
pub(crate) async fn call(
    address: SocketAddr,
    caller: Identity,
    called: NodeId,
) -> Box<dyn ByteStream> {
    let tls = any_cluster(caller.node);
    let name = ServerName::try_from(tls.names.name(called, caller.cluster)).unwrap();
    let credentials = Credentials::load(tls).unwrap();
    let connector = TlsConnector::from(Arc::clone(&credentials.current().client));
    let tcp = TcpStream::connect(address).await.unwrap();
    Box::new(connector.connect(name, tcp).await.unwrap())
}

/// The same, with a session of the test's own making.
pub(crate) async fn call_with(
    address: SocketAddr,
    client: ClientConfig,
    name: String,
) -> io::Result<Box<dyn ByteStream>> {
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from(name).unwrap();
    let stream = connector.connect(name, TcpStream::connect(address).await?);
    Ok(Box::new(stream.await?))
}

/// A node that the test plays itself.
pub(crate) struct Listener {
    tcp: TcpListener,
    server: Arc<ServerConfig>,
}

impl Listener {
    pub(crate) async fn bind(local: Identity) -> Self {
        let credentials = Credentials::load(any_cluster(local.node)).unwrap();
        Self {
            tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            server: Arc::clone(&credentials.current().server),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    pub(crate) async fn accept(&mut self) -> Box<dyn ByteStream> {
        let (tcp, _) = self.tcp.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        Box::new(acceptor.accept(tcp).await.unwrap())
    }
}
