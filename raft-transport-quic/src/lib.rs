//! `Transport` of [`raft_core`] on QUIC ([`quinn`]), always under mutual TLS 1.3.
//!
//! ```no_run
//! use raft_transport_quic::{QuicTransport, TlsConfig, TransportConfig};
//!
//! let tls = TlsConfig::new("node-1.pem", "node-1.key", "authorities.pem");
//! let transport = QuicTransport::bind("0.0.0.0:7000", TransportConfig::default(), tls)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What passes over the streams, and what happens when they break, is described at
//! [`raft_transport_stream`], which does it. How certificates name nodes, how to make them and how
//! they are replaced while nodes run is at [`raft_transport_stream::tls`].
//!
//! **Connections.** A node has one UDP port. To each peer that it has something to say it makes one
//! connection, and on it a stream for control messages, one for entries and one for each snapshot;
//! what is urgent is sent first. A snapshot that is given up is reset, so that nothing more of it is
//! sent. A lost packet holds up its own stream alone.
//!
//! **Addresses that change.** A connection outlives a change of its dialer's address or port, for
//! instance by a router that has forgotten it.
//!
//! **Goodbyes.** A node that stops, or is done with a connection, says so at once, however much still
//! waits to be sent: congestion control (Cubic) does not hold the goodbye back.
//!
//! **Restarts.** A node that was killed and is back answers packets of connections that it does not
//! know any more by a reset that its peers recognise, as long as its private key is the same: they dial
//! again at once. A machine that is gone for good is noticed by silence
//! ([`idle_timeout`](TransportConfig::idle_timeout)), later than by TCP, where its system may still
//! answer.
//!
//! **Floods.** While many handshakes are under way, whoever begins one has to prove first that it is
//! reached at its address (Retry). Handshakes, connections and streams are bounded.
//!
//! **Costs.** The same work takes two to three times the processor time of TLS over TCP, for a byte as
//! for a message, and a round trip on a fast network half as long again: packets are made in the
//! program, not in the kernel or the network card. Take QUIC for networks that lose packets, move or
//! translate addresses; within a data centre TCP is quicker. Large socket buffers matter: the transport
//! asks for 4 MiB, of which Linux gives what `net.core.rmem_max` and `wmem_max` allow.

mod accepting;
mod closing;
mod connections;
mod endpoint;
mod errors;
mod goodbye;
mod reset;
mod runtime;
mod stream;
mod streams;
mod transport;

pub use raft_transport_stream::tls::{NamePattern, TlsConfig, TlsError};
pub use raft_transport_stream::{Distrust, TransportConfig, TransportStats};
pub use transport::QuicTransport;
