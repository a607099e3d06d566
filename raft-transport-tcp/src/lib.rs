//! `Transport` of [`raft_core`] on TCP.
//!
//! ```no_run
//! use raft_transport_tcp::{TcpConfig, TcpTransport};
//!
//! let transport = TcpTransport::bind_plaintext("127.0.0.1:7000", TcpConfig::default())?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! **Connections.** A node dials its peers when it has something to send, and only ever writes to
//! connections that it has dialed. To each peer there is one connection for control messages
//! (heartbeats, votes, replies), one for entries, and one for each snapshot, so that nothing large
//! delays what must be quick. A message travels as it is encoded by [`raft_core::wire`].
//!
//! **Strangers.** Both ends introduce themselves: a node of another cluster or group, another node
//! than the one that was meant, another protocol or another program altogether is refused. The
//! reason is told to the other end, logged through `tracing` and counted ([`TcpStats`]) on both.
//!
//! **Newcomers.** A node that belongs to no group yet knows nobody's address. It answers where the
//! caller's hello says that the caller is reached ([`TcpConfig::advertise`]). Once it knows the
//! membership, only the addresses there count.
//!
//! **Loss.** Queues are bounded, in messages and bytes; what does not fit is dropped and counted.
//! When a connection breaks, the node is told, and the next message dials again, after a pause that
//! grows with every failure.
//!
//! **Tasks.** Everything runs as tasks on the runtime on which the node started the transport; only
//! the bytes of snapshots are read and written on threads that may block.
//!
//! **Plain text.** Nothing here is encrypted and no peer proves who it is: use it where the network
//! itself is trusted. The constructor carries that in its name.

mod callers;
mod config;
mod connection;
mod context;
mod dialer;
mod handshake;
mod listener;
mod queue;
mod snapshot_receive;
mod snapshot_send;
mod stats;
mod tasks;
mod transport;

pub use config::TcpConfig;
pub use stats::TcpStats;
pub use transport::TcpTransport;
