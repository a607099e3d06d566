//! What one kind of transport differs from another in: how byte streams come to be.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::wire::Lane;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::renewal::Renewals;
use crate::stats::TransportStats;
use crate::tasks::Tasks;

/// Makes byte streams: the only thing to write for a new kind of network.
///
/// **Promise.** A stream delivers bytes in order and unaltered, or fails. Streams do not hold up
/// each other: a full one must leave the others free, or lanes are of no use.
///
/// **Thread.** `start` is called once, on the node's runtime. The futures may be dropped at any time.
pub trait Streams: fmt::Debug + Send + Sync + 'static {
    /// Begins to listen, as this node. What it spawns in `tasks` ends with the transport.
    ///
    /// # Errors
    /// Of the system, or for a node that this cannot be.
    fn start(&self, local: Identity, tasks: &Tasks) -> io::Result<()>;

    /// Opens a stream to `peer`, who is reached at `address`, for one lane.
    fn dial<'a>(&'a self, peer: NodeId, address: &'a str, lane: Lane) -> Pending<'a, Established>;

    /// Waits for the next caller. After an error it is called again, a moment later.
    fn accept(&self) -> Pending<'_, Caller>;

    /// Stops listening. Streams that are open are closed by who holds them.
    fn stop(&self);

    /// Waits until it was stopped and holds nothing of the system any more. Called after its streams
    /// are gone.
    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// Adds what only this kind of network counts.
    fn count(&self, _stats: &mut TransportStats) {}

    /// Where it listens, in the form that other nodes dial.
    fn local_address(&self) -> String;

    /// Where a node reaches us that talks to us over a stream with this local end.
    fn advertised(&self, local: Option<SocketAddr>) -> String;
}

/// What will be there, or an error of the system.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Somebody has called.
pub struct Caller {
    /// Where from, for people.
    pub from: String,
    /// The address that it calls from, for counting its streams.
    pub address: Option<IpAddr>,
    /// Does what has to be done before bytes can pass, such as the handshake of TLS. It is polled
    /// by a task of the caller's own and given up when the handshake takes too long.
    pub established: Pending<'static, Established>,
}

/// A stream that bytes can pass.
pub struct Established {
    /// The stream.
    pub stream: Box<dyn ByteStream>,
    /// Our end of it, where that means something.
    pub local: Option<SocketAddr>,
    /// What the other end has proved of itself.
    pub proof: Proof,
    /// When that has to be proved again.
    pub renewals: Renewals,
}

/// What the other end of a stream has proved of itself, before it has said who it is.
#[derive(Clone)]
pub enum Proof {
    /// Nothing: whoever reaches the address is believed.
    None,
    /// Says whether it may be this node, or why not: for instance whether its certificate names it.
    Checked(Arc<dyn Fn(Identity) -> Result<(), String> + Send + Sync>),
}

impl Proof {
    /// Whether the other end may be who it claims to be.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub fn admits(&self, claimed: Identity) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::Checked(check) => check(claimed),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Proof::None",
            Self::Checked(_) => "Proof::Checked",
        })
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("local", &self.local)
            .field("proof", &self.proof)
            .finish_non_exhaustive()
    }
}
