//! What TLS over TCP meets that QUIC never does: plain text, and TLS of before 1.3.

use std::sync::Arc;

use raft_core::wire::{Lane, OutBuffer, RefusalReason};
use raft_transport_stream::Distrust;
use raft_transport_stream::tls::Credentials;
use raft_transport_tcp::{TcpTransport, TransportConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::authority::{Authority, name};
use crate::identity::{node, proper};
use crate::strangers::{hello, refused, refused_by_peer};
use crate::{End, Setup, identity};

fn plain(id: u64) -> End {
    let config = TransportConfig::default();
    let transport = TcpTransport::bind_plaintext("127.0.0.1:0", config).unwrap();
    let snapshots = Setup::default().snapshots;
    End::over(transport, identity(id, "test", 0), 1 << 20, snapshots)
}

#[tokio::test]
async fn a_plain_caller_is_told_that_tls_is_spoken_here() {
    let mut one = plain(1);
    let two = node(2, &proper(&Authority::new("ours"), 2));
    one.beat(&two.peer(), 1);
    one.told_unreachable(2).await;
    one.counts(|stats| refused_by_peer(stats, RefusalReason::WrongMagic))
        .await;
    let stats = two
        .counts(|stats| stats.distrusted.contains_key(&Distrust::NotSecured))
        .await;
    assert_eq!(stats.bytes_received, 0);
}

#[tokio::test]
async fn a_secure_caller_notices_that_plain_text_is_spoken_there() {
    let mut one = node(1, &proper(&Authority::new("ours"), 1));
    let two = plain(2);
    one.beat(&two.peer(), 1);
    one.told_unreachable(2).await;
    one.counts(|stats| stats.distrusted.contains_key(&Distrust::NotSecured))
        .await;
    two.counts(|stats| refused(stats, RefusalReason::WrongMagic))
        .await;
    assert_eq!(two.transport.stats().messages_received, 0);
}

#[tokio::test]
async fn the_plain_node_that_is_called_with_tls_says_so() {
    let two = plain(2);
    let mut tcp = TcpStream::connect(two.transport.listen_address())
        .await
        .unwrap();
    tcp.write_all(&[22, 3, 1, 0, 50]).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("the other end speaks TLS"), "{text}");
}

#[tokio::test]
async fn an_offer_of_tls_1_2_alone_is_refused_on_both_ends() {
    let two = node(2, &proper(&Authority::new("ours"), 2));
    let mut tcp = TcpStream::connect(two.transport.listen_address())
        .await
        .unwrap();
    // A hello of TLS 1.2: version, random, no session, one suite, no compression, and the extension
    // that names algorithms of signatures.
    let extensions = [&[0, 13, 0, 4, 0, 2, 4, 3][..]].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    tcp.write_all(&record).await.unwrap();
    let mut alert = Vec::new();
    tcp.read_to_end(&mut alert).await.unwrap();
    // A fatal alert: the version of the protocol.
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 70]);
    two.counts(|stats| stats.distrusted.contains_key(&Distrust::NoCommonProtocol))
        .await;
}

#[tokio::test]
async fn a_caller_that_offers_no_protocol_over_tls_is_refused() {
    let authority = Authority::new("ours");
    let two = node(2, &proper(&authority, 2));
    let files = proper(&authority, 1);
    let credentials = Credentials::load(files.config()).unwrap();
    let mut client = ClientConfig::clone(&credentials.current().client);
    client.alpn_protocols.clear();
    let address = two.transport.listen_address();
    let mut stream = crate::kind::call_with(address, client, name(2))
        .await
        .unwrap();
    let mut out = OutBuffer::new();
    out.put_hello(&hello(Lane::Control));
    stream.write_all_buf(&mut out).await.unwrap();
    assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)));
    let stats = two
        .counts(|stats| stats.distrusted.contains_key(&Distrust::NoCommonProtocol))
        .await;
    assert_eq!(stats.bytes_received, 0);
}

#[tokio::test]
async fn a_session_is_never_resumed() {
    let authority = Authority::new("ours");
    let (files, second) = (proper(&authority, 1), proper(&authority, 2));
    let two = node(2, &second);
    let credentials = Credentials::load(files.config()).unwrap();
    let mut client = ClientConfig::clone(&credentials.current().client);
    client.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let connector = TlsConnector::from(Arc::new(client));
    for _ in 0..3 {
        let address = two.transport.listen_address();
        let tcp = TcpStream::connect(address).await.unwrap();
        let named = ServerName::try_from(name(2)).unwrap();
        let mut stream = connector.connect(named, tcp).await.unwrap();
        let mut out = OutBuffer::new();
        out.put_hello(&hello(Lane::Control));
        stream.write_all_buf(&mut out).await.unwrap();
        // Whatever could be resumed comes with the first answer.
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        let (_, session) = stream.get_ref();
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn plain_text_has_nothing_to_reload() {
    let one = plain(1);
    let error = one.transport.reload().unwrap_err().to_string();
    assert!(error.contains("plain text"), "{error}");
}

#[tokio::test]
async fn a_transport_that_is_printed_tells_nothing_of_its_key() {
    let files = proper(&Authority::new("ours"), 1);
    let config = TransportConfig::default();
    let transport = TcpTransport::bind("127.0.0.1:0", config, files.config()).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path("node.key")).unwrap();
    let printed = format!("{transport:?}");
    assert!(printed.contains("Material"), "{printed}");
    let bytes = format!("{:?}", key.secret_der());
    for part in bytes
        .trim_matches(['[', ']'])
        .split(", ")
        .collect::<Vec<_>>()
        .chunks(8)
    {
        assert!(
            part.len() < 8 || !printed.contains(&part.join(", ")),
            "{printed}"
        );
    }
}
