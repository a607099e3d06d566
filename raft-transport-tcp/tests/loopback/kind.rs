//! Plain text over TCP.

use std::io;
use std::net::SocketAddr;

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_transport_stream::ByteStream;
use raft_transport_tcp::TcpTransport;
use tokio::net::{TcpListener, TcpStream};

pub(crate) use raft_transport_tcp::{TransportConfig, TransportStats};

/// What the tests are about.
pub(crate) type Carrier = TcpTransport;

/// Whether a name is proved before anything is said.
pub(crate) const PROVES_NAMES: bool = false;
/// Whether the port can be taken again when stopping has begun, or else when it has ended.
pub(crate) const PORT_IS_FREE_AT_ONCE: bool = true;

pub(crate) fn bind(listen: &str, config: TransportConfig, _: Identity) -> io::Result<Carrier> {
    TcpTransport::bind_plaintext(listen, config)
}

/// A stream to a node, of a caller that the test plays itself.
pub(crate) async fn call(address: SocketAddr, _: Identity, _: NodeId) -> Box<dyn ByteStream> {
    Box::new(TcpStream::connect(address).await.unwrap())
}

/// A node that the test plays itself.
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) async fn bind(_: Identity) -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) async fn accept(&mut self) -> Box<dyn ByteStream> {
        Box::new(self.0.accept().await.unwrap().0)
    }
}
