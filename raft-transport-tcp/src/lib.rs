//! `Transport` of [`raft_core`] on TCP.
//!
//! ```no_run
//! use raft_transport_tcp::{TcpTransport, TransportConfig};
//!
//! let transport = TcpTransport::bind_plaintext("127.0.0.1:7000", TransportConfig::default())?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What passes over the connections, and what happens when they break, is described at
//! [`raft_transport_stream`], which does it.
//!
//! **Plain text.** [`TcpTransport::bind_plaintext`] encrypts nothing, and no peer proves who it is:
//! use it where the network itself is trusted. It carries that in its name.

mod plain;
mod transport;

pub use raft_transport_stream::{TransportConfig, TransportStats};
pub use transport::TcpTransport;
