//! TCP connections as they are.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::wire::Lane;
use raft_transport_stream::{
    Caller, Established, Pending, Proof, Renewals, Streams, Tasks, TransportConfig,
};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::socket::SocketOptions;

/// Dials and listens.
#[derive(Debug)]
pub(crate) struct PlainStreams {
    local_address: SocketAddr,
    options: SocketOptions,
    /// Taken at once, so that nobody else gets the address and errors show early.
    bound: Mutex<Option<std::net::TcpListener>>,
    listener: OnceLock<Arc<TcpListener>>,
}

impl PlainStreams {
    /// Takes the address to listen at.
    pub(crate) fn bind(listen: &str, config: &TransportConfig) -> io::Result<Self> {
        let cannot = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen at {listen}: {error}"))
        };
        let listener = std::net::TcpListener::bind(listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(Self {
            local_address: listener.local_addr().map_err(cannot)?,
            options: SocketOptions::new(config),
            bound: Mutex::new(Some(listener)),
            listener: OnceLock::new(),
        })
    }

    /// The address that was taken.
    pub(crate) fn listen_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Connects to `address`.
    pub(crate) async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        self.options.apply(&stream)?;
        Ok(stream)
    }

    /// How connections that come in are set up.
    #[cfg(feature = "tls")]
    pub(crate) fn options(&self) -> SocketOptions {
        self.options
    }

    /// Waits for the next connection.
    pub(crate) async fn incoming(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(listener) = self.listener.get() else {
            return Err(io::Error::other("the transport was not started"));
        };
        listener.accept().await
    }
}

impl Streams for PlainStreams {
    fn start(&self, _: Identity, _: &Tasks) -> io::Result<()> {
        let bound = self
            .bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let listener = bound.ok_or_else(|| io::Error::other("the transport was stopped"))?;
        let listener = Arc::new(TcpListener::from_std(listener)?);
        // `start` is called once: nothing is there yet.
        let _ = self.listener.set(listener);
        Ok(())
    }

    fn dial<'a>(&'a self, _: NodeId, address: &'a str, _: Lane) -> Pending<'a, Established> {
        Box::pin(async move { Ok(plain(self.connect(address).await?)) })
    }

    fn accept(&self) -> Pending<'_, Caller> {
        Box::pin(async {
            let (stream, from) = self.incoming().await?;
            let options = self.options;
            Ok(Caller {
                from: from.to_string(),
                address: Some(from.ip()),
                established: Box::pin(async move {
                    options.apply(&stream)?;
                    Ok(plain(stream))
                }),
            })
        })
    }

    fn stop(&self) {
        drop(
            self.bound
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let Some(listener) = self.listener.get() else {
            return;
        };
        // The accepting task ends at its next wake-up; the port is free from now on.
        if let Err(error) = SockRef::from(&**listener).shutdown(std::net::Shutdown::Both) {
            tracing::debug!(%error, "the listener closes with its task");
        }
    }

    fn local_address(&self) -> String {
        self.local_address.to_string()
    }

    fn advertised(&self, local: Option<SocketAddr>) -> String {
        let mut address = self.local_address;
        if address.ip().is_unspecified()
            && let Some(seen) = local
        {
            address.set_ip(seen.ip());
        }
        address.to_string()
    }
}

fn plain(stream: TcpStream) -> Established {
    Established {
        local: stream.local_addr().ok(),
        stream: Box::new(stream),
        proof: Proof::None,
        renewals: Renewals::never(),
    }
}
