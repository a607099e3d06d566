//! The connections that we have dialed: one to each peer, for as long as a stream needs it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use quinn::{Connection, Endpoint};
use raft_core::id::NodeId;
use raft_core::wire::Lane;
use raft_transport_stream::tls::Credentials;
use raft_transport_stream::{Established, Renewals};
use rustls::pki_types::CertificateDer;
use tokio::net::lookup_host;

use crate::endpoint::Settings;
use crate::errors::{UNUSED, explain};
use crate::goodbye;
use crate::stream::QuicStream;

/// Dials.
#[derive(Debug)]
pub(crate) struct Connections {
    settings: Settings,
    credentials: Arc<Credentials>,
    /// Locked while a peer is dialed, so that all its lanes share one connection.
    peers: Mutex<BTreeMap<NodeId, Arc<tokio::sync::Mutex<Weak<Lease>>>>>,
}

/// A connection that we have dialed. Its streams hold it; with the last of them it closes.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Connection,
    address: String,
    renewals: Renewals,
}

impl Connections {
    pub(crate) fn new(settings: Settings, credentials: Arc<Credentials>) -> Self {
        Self {
            settings,
            credentials,
            peers: Mutex::default(),
        }
    }

    /// Opens a stream to `peer`, over the connection that is there, or a new one.
    pub(crate) async fn open(
        &self,
        endpoint: &Endpoint,
        (peer, address): (NodeId, &str),
        lane: Lane,
    ) -> io::Result<Established> {
        let lease = self.lease(endpoint, peer, address).await?;
        let opened = lease.connection.open_bi().await;
        let (send, recv) = opened.map_err(|error| explain(&error))?;
        // A stream that is new is not closed yet.
        let _ = send.set_priority(priority(lane));
        let stream = QuicStream::new(send, recv, Some(Arc::clone(&lease)));
        let renewals = lease.renewals.clone();
        let connection = &lease.connection;
        let mut established = established((connection, stream), &self.credentials, renewals);
        established.local = source(connection.remote_address()).ok();
        Ok(established)
    }

    async fn lease(
        &self,
        endpoint: &Endpoint,
        peer: NodeId,
        address: &str,
    ) -> io::Result<Arc<Lease>> {
        let of_peer = {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(peers.entry(peer).or_default())
        };
        let mut of_peer = of_peer.lock().await;
        if let Some(lease) = of_peer.upgrade().filter(|lease| lease.serves(address)) {
            return Ok(lease);
        }
        let lease = Arc::new(self.dial(endpoint, peer, address).await?);
        *of_peer = Arc::downgrade(&lease);
        Ok(lease)
    }

    async fn dial(&self, endpoint: &Endpoint, peer: NodeId, address: &str) -> io::Result<Lease> {
        let renewals = self.credentials.renewals();
        let client = self.settings.client(&self.credentials.current())?;
        let name = self.credentials.server_name(peer)?;
        let mut failure = io::Error::other("the name has no address");
        for remote in lookup_host(address).await? {
            let connecting = endpoint.connect_with(client.clone(), remote, &name.to_str());
            let connected = match connecting {
                Ok(connecting) => connecting.await.map_err(|error| explain(&error)),
                Err(error) => Err(io::Error::other(error)),
            };
            match connected {
                Ok(connection) => {
                    return Ok(Lease {
                        connection,
                        address: address.to_owned(),
                        renewals,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl Lease {
    /// Whether new streams to this address may go over the connection.
    fn serves(&self, address: &str) -> bool {
        let alive = self.connection.close_reason().is_none();
        alive && self.address == address && !self.renewals.is_old()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        goodbye::close(&self.connection, UNUSED);
    }
}

/// What is urgent is sent first.
fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 1,
        Lane::Snapshot => -1,
        _ => 0,
    }
}

/// Where packets to `remote` leave from, as the system would route them. Nothing is sent.
fn source(remote: SocketAddr) -> io::Result<SocketAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    socket.local_addr()
}

/// A stream of a connection, with what the other end has proved in its handshake.
pub(crate) fn established(
    (connection, stream): (&Connection, QuicStream),
    credentials: &Credentials,
    renewals: Renewals,
) -> Established {
    let certificates = connection.peer_identity();
    let certificates =
        certificates.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let proof = credentials.proof(certificates.as_deref().map(Vec::as_slice));
    Established {
        stream: Box::new(stream),
        local: None,
        proof,
        renewals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_go_before_entries_and_entries_before_snapshots() {
        let lanes = [Lane::Snapshot, Lane::Bulk, Lane::Control];
        assert!(lanes.map(priority).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn the_address_that_packets_leave_from_is_found_without_sending_any() {
        let found = source("127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(found.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    }
}
