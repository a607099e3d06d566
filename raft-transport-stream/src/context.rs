//! What all tasks of a started transport share.

use std::net::SocketAddr;
use std::sync::Arc;

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::membership::Peer;
use raft_core::transport::Inbox;
use raft_core::wire::{HANDSHAKE_LIMITS, Hello, Lane};
use tokio::time::timeout;

use crate::callers::CallersAddresses;
use crate::config::TransportConfig;
use crate::connection::{Connection, LinkError, Progress};
use crate::handshake;
use crate::pace::SnapshotStreams;
use crate::stats::Counters;
use crate::streams::{Established, Streams};
use crate::tasks::Tasks;

/// Settings, identity, and where things go.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: TransportConfig,
    pub(crate) local: Identity,
    /// Where connections come from.
    pub(crate) streams: Arc<dyn Streams>,
    /// Where callers say that they are reached.
    pub(crate) callers: CallersAddresses,
    pub(crate) inbox: Inbox,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tasks: Tasks,
    pub(crate) snapshots: SnapshotStreams,
}

impl Context {
    /// A connection that has not been introduced: it takes small frames only.
    pub(crate) fn link<'a>(
        &'a self,
        established: Established,
        progress: &'a Progress,
    ) -> Connection<'a> {
        let write_timeout = self.config.write_timeout.0;
        Connection::new(
            established,
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
    ) -> Result<Connection<'a>, LinkError> {
        let connect = self.streams.dial(peer, address, lane);
        let established = match timeout(self.config.connect_timeout.0, connect).await {
            Ok(established) => established.inspect_err(|error| self.counters.distrust(error))?,
            Err(_) => return Err(LinkError::TimedOut("the dial")),
        };
        let advertised = self.advertised(established.local);
        let hello = Hello::new(self.local, peer, lane).reached_at(&advertised);
        let mut link = self.link(established, progress);
        match handshake::dial(&mut link, &hello, self.config.handshake_timeout.0).await {
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

    /// Where the other end of a stream with this local end reaches this node.
    fn advertised(&self, local: Option<SocketAddr>) -> String {
        if self.config.advertise.is_empty() {
            self.streams.advertised(local)
        } else {
            self.config.advertise.clone()
        }
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
    pub(crate) async fn conclude(&self, link: &mut Connection<'_>, error: &LinkError) {
        if let LinkError::RefusedByPeer(refusal) = error {
            self.counters.refused_by_peer(refusal);
        }
        if let LinkError::Io(error) = error {
            self.counters.distrust(error);
        }
        if let Some(refusal) = error.refusal() {
            link.refuse(self.local.group, refusal).await;
        }
    }
}
