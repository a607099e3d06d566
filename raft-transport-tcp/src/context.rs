//! What all tasks of a started transport share.

use std::net::SocketAddr;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::membership::Peer;
use raft_core::transport::Inbox;
use raft_core::wire::{HANDSHAKE_LIMITS, Hello, Lane};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::callers::CallersAddresses;
use crate::config::TcpConfig;
use crate::connection::{Connection, LinkError, Progress};
use crate::handshake;
use crate::stats::Counters;
use crate::tasks::Tasks;

/// Settings, identity, and where things go.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: TcpConfig,
    pub(crate) local: Identity,
    /// Where this node listens.
    pub(crate) listen: SocketAddr,
    /// Where callers say that they are reached.
    pub(crate) callers: CallersAddresses,
    pub(crate) inbox: Inbox,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tasks: Tasks,
}

impl Context {
    /// A connection that has not been introduced: it takes small frames only.
    pub(crate) fn link<'a, S: AsyncRead + AsyncWrite + Unpin>(
        &'a self,
        stream: S,
        progress: &'a Progress,
    ) -> Connection<'a, S> {
        let write_timeout = self.config.write_timeout();
        Connection::new(
            stream,
            HANDSHAKE_LIMITS,
            write_timeout,
            &self.counters,
            progress,
        )
    }

    /// Connects to `peer` at `address` and introduces us. The outcome is counted and logged.
    pub(crate) async fn dial<'a>(
        &'a self,
        (peer, address): (NodeId, &str),
        lane: Lane,
        progress: &'a Progress,
    ) -> Result<Connection<'a, TcpStream>, LinkError> {
        let connect = timeout(self.config.connect_timeout(), TcpStream::connect(address));
        let stream = match connect.await {
            Ok(stream) => stream?,
            Err(_) => return Err(LinkError::TimedOut("the dial")),
        };
        stream.set_nodelay(true)?;
        let advertised = self.advertised(&stream);
        let hello = Hello::new(self.local, peer, lane).reached_at(&advertised);
        let mut link = self.link(stream, progress);
        match handshake::dial(&mut link, &hello, self.config.handshake_timeout()).await {
            Ok(()) => {
                self.counters.dialed.add(1);
                tracing::debug!(node = %self.local.node, %peer, address, ?lane, "connected");
                Ok(link)
            }
            Err(error) => {
                self.conclude(&mut link, &error).await;
                Err(error)
            }
        }
    }

    /// Where the other end of `stream` reaches this node.
    fn advertised(&self, stream: &TcpStream) -> String {
        if !self.config.advertise.is_empty() {
            return self.config.advertise.clone();
        }
        let mut address = self.listen;
        if address.ip().is_unspecified()
            && let Ok(seen) = stream.local_addr()
        {
            address.set_ip(seen.ip());
        }
        address.to_string()
    }

    /// Where `peer` is reached: as the membership says, or else as it has said itself.
    pub(crate) fn address_of(&self, peer: &Peer) -> Option<String> {
        if peer.address.is_empty() {
            self.callers.get(peer.id)
        } else {
            Some(peer.address.clone())
        }
    }

    /// Tells the other end why a connection ends, if it is its fault, and counts refusals.
    pub(crate) async fn conclude<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        link: &mut Connection<'_, S>,
        error: &LinkError,
    ) {
        if let LinkError::RefusedByPeer(refusal) = error {
            self.counters.refused_by_peer(refusal);
        }
        if let Some(refusal) = error.refusal() {
            link.refuse(self.local.group, refusal).await;
        }
    }
}
