//! A transport over Unix sockets, for nodes on one machine: a network of one's own is one trait.
//!
//! Addresses are paths. Lanes, queues, introductions, snapshots and everything else that nodes say
//! to each other come from [`raft_transport_stream`]; here streams come to be, and nothing more.
//! Nobody proves who he is: whoever may open the socket's file is believed, so its directory should
//! belong to the nodes' user alone.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener as BoundListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use raft_core::Identity;
use raft_core::id::NodeId;
use raft_core::wire::Lane;
use raft_transport_stream::{
    Caller, Established, Pending, Proof, Renewals, StreamTransport, Streams, Tasks, TransportConfig,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// A transport that listens at the socket `path`, which is created. A socket that a killed process
/// has left there is replaced; one that somebody listens at is not.
///
/// # Errors
/// `AddrInUse` if somebody listens there, `InvalidInput` for settings that contradict each other, and
/// those of the system.
pub fn bind(path: impl AsRef<Path>, config: TransportConfig) -> io::Result<StreamTransport> {
    StreamTransport::new(Arc::new(UnixStreams::bind(path.as_ref())?), config)
}

/// Dials and listens.
#[derive(Debug)]
struct UnixStreams {
    path: PathBuf,
    /// Taken at once, so that errors show early.
    bound: Mutex<Option<BoundListener>>,
    /// There from the start to the stop.
    listener: watch::Sender<Option<Arc<UnixListener>>>,
}

impl UnixStreams {
    fn bind(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            let text = format!("cannot listen at {}: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        let listener = match BoundListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !is_left_behind(path) {
                    return Err(named(error));
                }
                fs::remove_file(path).map_err(named)?;
                BoundListener::bind(path)
            }
            bound => bound,
        };
        let listener = listener.map_err(named)?;
        listener.set_nonblocking(true).map_err(named)?;
        Ok(Self {
            path: path.to_path_buf(),
            bound: Mutex::new(Some(listener)),
            listener: watch::Sender::new(None),
        })
    }

    fn take_bound(&self) -> Option<BoundListener> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bound.take()
    }
}

impl Streams for UnixStreams {
    fn start(&self, _: Identity, _: &Tasks) -> io::Result<()> {
        let bound = self.take_bound();
        let bound = bound.ok_or_else(|| io::Error::other("the transport was stopped"))?;
        let listener = UnixListener::from_std(bound)?;
        self.listener.send_replace(Some(Arc::new(listener)));
        Ok(())
    }

    fn dial<'a>(&'a self, _: NodeId, address: &'a str, _: Lane) -> Pending<'a, Established> {
        Box::pin(async move { Ok(established(UnixStream::connect(address).await?)) })
    }

    fn accept(&self) -> Pending<'_, Caller> {
        let mut changes = self.listener.subscribe();
        Box::pin(async move {
            let Some(listener) = changes.borrow_and_update().clone() else {
                return Err(io::Error::other("nobody listens here"));
            };
            tokio::select! {
                called = listener.accept() => {
                    let (stream, _) = called?;
                    Ok(Caller {
                        from: "a process on this machine".to_owned(),
                        address: None,
                        established: Box::pin(async { Ok(established(stream)) }),
                    })
                }
                _ = changes.changed() => Err(io::Error::other("the transport was stopped")),
            }
        })
    }

    fn stop(&self) {
        drop(self.take_bound());
        self.listener.send_replace(None);
        // Otherwise the name would stay, and look like a node that does not answer.
        if is_socket(&self.path)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "the socket's name stays");
        }
    }

    fn local_address(&self) -> String {
        self.path.display().to_string()
    }

    fn advertised(&self, _: Option<SocketAddr>) -> String {
        self.local_address()
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Whether a socket is there at which nobody listens any more. Anything else at that path is somebody's.
fn is_left_behind(path: &Path) -> bool {
    let called = std::os::unix::net::UnixStream::connect(path);
    let refused = called.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    refused && is_socket(path)
}

fn established(stream: UnixStream) -> Established {
    Established {
        stream: Box::new(stream),
        local: None,
        proof: Proof::None,
        renewals: Renewals::never(),
    }
}
