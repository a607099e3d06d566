//! TCP connections under TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use raft_core::Identity;
use raft_core::id::{GroupId, NodeId};
use raft_core::wire::{Lane, OutBuffer, Refusal, RefusalReason};
use raft_transport_stream::tls::{ALPN, Credentials, explain};
use raft_transport_stream::{
    Caller, Distrust, Established, Pending, Renewals, Streams, Tasks, TransportStats,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::plain::PlainStreams;
use crate::secure_stream::SecureStream;

/// Dials and listens as [`PlainStreams`] do, and puts TLS on top.
#[derive(Debug)]
pub(crate) struct SecureStreams {
    tcp: PlainStreams,
    credentials: Arc<Credentials>,
    group: OnceLock<GroupId>,
}

/// The first byte of a record of TLS that begins a handshake.
const HANDSHAKE: u8 = 22;
/// How long a caller that is turned away may take to read why.
const LINGER: Duration = Duration::from_millis(500);

impl SecureStreams {
    pub(crate) fn new(tcp: PlainStreams, credentials: Arc<Credentials>) -> Self {
        Self {
            tcp,
            credentials,
            group: OnceLock::new(),
        }
    }

    async fn connect(&self, peer: NodeId, address: &str) -> io::Result<Established> {
        let renewals = self.credentials.renewals();
        let client = Arc::clone(&self.credentials.current().client);
        let name = self.credentials.server_name(peer)?;
        let tcp = self.tcp.connect(address).await?;
        let stream = TlsConnector::from(client).connect(name, tcp).await;
        established(&self.credentials, stream.map_err(explain)?.into(), renewals)
    }
}

impl Streams for SecureStreams {
    fn start(&self, local: Identity, tasks: &Tasks) -> io::Result<()> {
        self.credentials.begin(local, tasks)?;
        // `start` is called once: nothing is there yet.
        let _ = self.group.set(local.group);
        self.tcp.start(local, tasks)
    }

    fn dial<'a>(&'a self, peer: NodeId, address: &'a str, _: Lane) -> Pending<'a, Established> {
        Box::pin(self.connect(peer, address))
    }

    fn accept(&self) -> Pending<'_, Caller> {
        Box::pin(async {
            let (stream, from) = self.tcp.incoming().await?;
            let credentials = Arc::clone(&self.credentials);
            let group = self.group.get().copied().unwrap_or_default();
            let options = self.tcp.options();
            Ok(Caller {
                from: from.to_string(),
                address: Some(from.ip()),
                established: Box::pin(async move {
                    options.apply(&stream)?;
                    answer(stream, credentials, group).await
                }),
            })
        })
    }

    fn stop(&self) {
        self.tcp.stop();
    }

    fn count(&self, stats: &mut TransportStats) {
        self.credentials.count(stats);
    }

    fn local_address(&self) -> String {
        self.tcp.local_address()
    }

    fn advertised(&self, local: Option<SocketAddr>) -> String {
        self.tcp.advertised(local)
    }
}

/// The listener's side of a handshake.
async fn answer(
    mut stream: TcpStream,
    credentials: Arc<Credentials>,
    group: GroupId,
) -> io::Result<Established> {
    let mut first = [0];
    let begins_handshake = stream.peek(&mut first).await? == 0 || first == [HANDSHAKE];
    if !begins_handshake {
        say_that_tls_is_spoken(&mut stream, group).await;
        return Err(Distrust::NotSecured.of_ours("the caller does not begin a handshake of TLS"));
    }
    let renewals = credentials.renewals();
    let server = Arc::clone(&credentials.current().server);
    match TlsAcceptor::from(server)
        .accept(stream)
        .into_fallible()
        .await
    {
        Ok(stream) => established(&credentials, stream.into(), renewals),
        Err((error, mut stream)) => {
            // The alert is on its way: closing with unread bytes here would destroy it.
            linger(&mut stream).await;
            Err(explain(error))
        }
    }
}

/// In the caller's own words: in plain text.
async fn say_that_tls_is_spoken(stream: &mut TcpStream, group: GroupId) {
    let text = "this node speaks TLS, the caller speaks plain text";
    let mut out = OutBuffer::new();
    out.put_refusal(group, &Refusal::new(RefusalReason::WrongMagic, text));
    // The caller is turned away in any case.
    if stream.write_all_buf(&mut out).await.is_ok() {
        linger(stream).await;
    }
}

/// Closes our half, and reads until the other end closes its own, for a moment.
async fn linger(stream: &mut TcpStream) {
    let goodbye = async {
        stream.shutdown().await?;
        let mut unread = [0; 1 << 10];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // However it ends: the connection is over.
    let _ = timeout(LINGER, goodbye).await;
}

/// A stream after its handshake, with what the other end has proved in it.
fn established(
    credentials: &Credentials,
    stream: TlsStream<TcpStream>,
    renewals: Renewals,
) -> io::Result<Established> {
    let (tcp, session) = stream.get_ref();
    // Who offers no protocol at all passes the handshake.
    if session.alpn_protocol() != Some(ALPN) {
        return Err(Distrust::NoCommonProtocol.of_ours("the other end does not offer raft/1"));
    }
    let proof = credentials.proof(session.peer_certificates());
    Ok(Established {
        local: tcp.local_addr().ok(),
        stream: Box::new(SecureStream(stream)),
        proof,
        renewals,
    })
}
