//! What every [`Transport`](raft_core::transport::Transport) of [`raft_core`] over byte streams
//! shares. TCP, TLS and QUIC differ only in how a stream comes to be ([`Streams`]); everything above
//! it is here, once.
//!
//! **Streams.** A node dials its peers when it has something to send, and only ever writes messages
//! to streams that it has dialed. To each peer there is one stream for control messages
//! (heartbeats, votes, replies), one for entries, and one for each snapshot, so that nothing large
//! delays what must be quick. A message travels as it is encoded by [`raft_core::wire`].
//!
//! **Strangers.** Both ends introduce themselves: a node of another cluster or group, another node
//! than the one that was meant, a node that its certificate does not name ([`Proof`]), another
//! protocol or another program altogether is refused. The reason is told to the other end, logged
//! through `tracing` and counted ([`TransportStats`]) on both.
//!
//! **Trust.** Which certificates count, what they name and how they are replaced while a node runs is
//! the same over TCP and QUIC: see `tls` (the feature of that name). Streams that rest on what counted
//! before are [made anew](Renewals), without a loss.
//!
//! **Newcomers.** A node that belongs to no group yet knows nobody's address. It answers where the
//! caller's hello says that the caller is reached ([`TransportConfig::advertise`]). Once it knows the
//! membership, only the addresses there count.
//!
//! **Loss.** Queues are bounded, in messages and bytes; what does not fit is dropped and counted.
//! When a stream breaks, the node is told, and the next message dials again, after a pause that
//! grows with every failure.
//!
//! **Order.** A message arrives once at most, and those of a lane in the order in which they were sent:
//! nothing is sent a second time, and a new stream ends its predecessor before it is listened to.
//!
//! **Snapshots.** Each travels on a stream of its own, in chunks with offset and checksum. A receiver
//! that has part of it already, from a stream that broke or from before a restart, is sent the rest.
//! They can be [slowed down](TransportConfig::snapshot_rate), and only
//! [so many](TransportConfig::snapshot_streams_max) are under way at once.
//!
//! **Tasks.** Everything runs as tasks on the runtime on which the node started the transport; only
//! the bytes of snapshots are read and written on threads that may block.

mod callers;
mod chance;
mod config;
mod connection;
mod context;
mod dialer;
mod distrust;
mod handshake;
mod listener;
mod pace;
mod queue;
mod renewal;
mod seats;
mod snapshot_receive;
mod snapshot_send;
mod stats;
mod streams;
mod tasks;
#[cfg(feature = "tls")]
pub mod tls;
mod transport;

pub use config::TransportConfig;
pub use distrust::Distrust;
pub use renewal::Renewals;
pub use seats::{Full, Seat, Seats};
pub use stats::TransportStats;
pub use streams::{ByteStream, Caller, Established, Pending, Proof, Streams};
pub use tasks::Tasks;
pub use transport::StreamTransport;
