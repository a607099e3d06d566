//! `Transport` of [`raft_core`] on TCP, with mutual TLS.
//!
//! ```no_run
//! use raft_transport_tcp::{TcpTransport, TlsConfig, TransportConfig};
//!
//! let tls = TlsConfig::new("node-1.pem", "node-1.key", "authorities.pem");
//! let transport = TcpTransport::bind("0.0.0.0:7000", TransportConfig::default(), tls)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What passes over the connections, and what happens when they break, is described at
//! [`raft_transport_stream`], which does it. How certificates name nodes, how to make them and how
//! they are replaced while nodes run is at [`raft_transport_stream::tls`].
//!
//! **TLS.** [`TcpTransport::bind`] speaks TLS 1.3 alone, and both ends prove with a certificate which
//! node they are. It is the feature `tls`, on by default.
//!
//! **Plain text.** [`TcpTransport::bind_plaintext`] encrypts nothing, and no peer proves who it is:
//! use it where the network itself is trusted. It carries that in its name. A node of the one kind
//! that meets a node of the other is refused, and both say why.
//!
//! **Sockets.** Each lane to each peer is a connection of its own, so a full one leaves the others
//! free. A machine that is gone is noticed after [`write_timeout`](TransportConfig::write_timeout)
//! if bytes are on their way (`TCP_USER_TIMEOUT`, on Linux), and by signs of life at rest.

mod plain;
#[cfg(feature = "tls")]
mod secure;
#[cfg(feature = "tls")]
mod secure_stream;
mod socket;
mod transport;

#[cfg(feature = "tls")]
pub use raft_transport_stream::tls::{NamePattern, TlsConfig, TlsError};
pub use raft_transport_stream::{Distrust, TransportConfig, TransportStats};
pub use transport::TcpTransport;
