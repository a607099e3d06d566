//! Who is let in: each stranger is refused for a reason of its own, on both ends, and before anything
//! that it says is read.

use std::sync::Arc;

use raft_core::memory::MemoryStores;
use raft_core::transport::{Inbox, Transport};
use raft_core::units::Period;
use raft_core::wire::{Lane, RefusalReason};
use raft_transport_stream::Distrust;
use raft_transport_stream::tls::Credentials;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SerialNumber, date_time_ymd};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::authority::{Authority, Files, Issued, name, name_in};
use crate::kind::{self, TransportConfig};
use crate::strangers::{Raw, hello, refused};
use crate::{End, identity};

/// A node of the cluster `test`.
pub(crate) fn node(id: u64, files: &Files) -> End {
    node_of("test", id, files)
}

fn node_of(cluster: &str, id: u64, files: &Files) -> End {
    let mut config = TransportConfig::default();
    // Only a failing test waits for it.
    config.connect_timeout = Period::from_millis(60_000);
    let transport = kind::bind_with("127.0.0.1:0", config, files.config()).unwrap();
    let snapshots = MemoryStores::new().open().snapshots;
    End::over(transport, identity(id, cluster, 0), 64 << 20, snapshots)
}

/// A node as it should be.
pub(crate) fn proper(authority: &Authority, id: u64) -> Files {
    Files::new(&authority.issue(&[&name(id)]), &authority.pem)
}

/// Node 1 calls node 2, which does not trust it.
async fn is_distrusted(one: &End, two: &End, reason: Distrust) {
    one.beat(&two.peer(), 1);
    two.counts(|stats| stats.distrusted.contains_key(&reason))
        .await;
    one.counts(|stats| stats.distrusted_by_peers.contains_key(&reason))
        .await;
    let stats = two.transport.stats();
    assert_eq!((stats.accepted, stats.bytes_received), (0, 0));
}

/// Node 1 calls node 2, and does not trust whom it finds there.
async fn finds_a_stranger(one: &End, two: &End, reason: Distrust) {
    one.beat(&two.peer(), 1);
    one.counts(|stats| stats.distrusted.contains_key(&reason))
        .await;
    two.counts(|stats| stats.distrusted_by_peers.contains_key(&reason))
        .await;
    let stats = two.transport.stats();
    assert_eq!((stats.accepted, stats.bytes_received), (0, 0));
}

/// Node 1's certificate has something wrong with it: as a caller it is not let in, and called, it is
/// not believed. Somebody else is still heard.
async fn no_certificate_like_this_passes(
    reason: Distrust,
    change: impl FnOnce(&mut CertificateParams),
) {
    let authority = Authority::new("ours");
    let issued = authority.issue_with(&[&name(1)], change);
    let one = node(1, &Files::new(&issued, &authority.pem));
    let mut two = node(2, &proper(&authority, 2));
    is_distrusted(&one, &two, reason).await;
    let other = node(3, &proper(&authority, 3));
    finds_a_stranger(&other, &one, reason).await;
    other.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
}

#[tokio::test]
async fn certificates_of_the_same_authority_let_nodes_speak() {
    let authority = Authority::new("ours");
    let mut one = node(1, &proper(&authority, 1));
    let mut two = node(2, &proper(&authority, 2));
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    two.beat(&one.peer(), 2);
    assert_eq!(one.round().await, 2);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_both_ends() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let both = format!("{}{}", ours.pem, theirs.pem);
    let one = node(1, &Files::new(&theirs.issue(&[&name(1)]), &both));
    let mut two = node(2, &proper(&ours, 2));
    is_distrusted(&one, &two, Distrust::UnknownAuthority).await;
    let three = node(3, &proper(&ours, 3));
    finds_a_stranger(&three, &one, Distrust::UnknownAuthority).await;
    three.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
}

#[tokio::test]
async fn an_authority_of_the_same_name_is_not_the_same_authority() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("ours"));
    let both = format!("{}{}", ours.pem, theirs.pem);
    let one = node(1, &Files::new(&theirs.issue(&[&name(1)]), &both));
    let two = node(2, &proper(&ours, 2));
    one.beat(&two.peer(), 1);
    two.counts(|stats| !stats.distrusted.is_empty()).await;
    assert_eq!(two.transport.stats().bytes_received, 0);
}

#[tokio::test]
async fn a_certificate_that_is_over_is_refused_on_both_ends() {
    no_certificate_like_this_passes(Distrust::OutOfDate, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused_on_both_ends() {
    no_certificate_like_this_passes(Distrust::OutOfDate, |params| {
        params.not_before = date_time_ymd(2201, 1, 1);
        params.not_after = date_time_ymd(2202, 1, 1);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_for_other_purposes_is_refused_on_both_ends() {
    no_certificate_like_this_passes(Distrust::Misnamed, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    })
    .await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_both_ends() {
    let authority = Authority::new("ours");
    let revoked = authority.issue_with(&[&name(1)], |params| {
        params.serial_number = Some(SerialNumber::from(77));
    });
    let one = node(1, &Files::new(&revoked, &authority.pem));
    let files = proper(&authority, 2);
    files.write("revoked.pem", &authority.revoke(&[76, 77]));
    let mut config = files.config();
    config.revocations = Some(files.path("revoked.pem"));
    let transport = kind::bind_with("127.0.0.1:0", TransportConfig::default(), config).unwrap();
    let snapshots = MemoryStores::new().open().snapshots;
    let mut two = End::over(transport, identity(2, "test", 0), 1 << 20, snapshots);
    is_distrusted(&one, &two, Distrust::Revoked).await;
    two.beat(&one.peer(), 1);
    two.counts(|stats| stats.distrusted[&Distrust::Revoked] >= 2)
        .await;
    let three = node(3, &proper(&authority, 3));
    three.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
}

#[tokio::test]
async fn a_node_of_another_cluster_of_the_same_authority_is_refused_on_both_ends() {
    let authority = Authority::new("shared");
    let theirs = authority.issue(&[&name_in("other", 1)]);
    let one = node_of("other", 1, &Files::new(&theirs, &authority.pem));
    let two = node(2, &proper(&authority, 2));
    finds_a_stranger(&one, &two, Distrust::Misnamed).await;
    two.beat(&one.peer(), 1);
    two.counts(|stats| stats.distrusted.contains_key(&Distrust::Misnamed))
        .await;
}

/// What a program can do that has this certificate, and no scruples.
async fn unscrupulous(issued: &Issued, authority: &Authority, called: &End) -> Raw {
    let files = Files::new(issued, &authority.pem);
    let credentials = Credentials::load(files.config()).unwrap();
    let client = ClientConfig::clone(&credentials.current().client);
    let address = called.transport.listen_address();
    Raw::over(kind::call_with(address, client, name(2)).await.unwrap())
}

/// The certificate does not make its holder node 1 of this cluster.
async fn does_not_pass_for_node_1(names: &[&str]) {
    let authority = Authority::new("ours");
    let two = node(2, &proper(&authority, 2));
    let mut raw = unscrupulous(&authority.issue(names), &authority, &two).await;
    raw.say(|out| out.put_hello(&hello(Lane::Bulk))).await;
    let refusal = raw.refusal().await;
    assert_eq!(refusal.reason, RefusalReason::WrongNode);
    let expected = format!("the certificate does not name {}", name(1));
    assert!(refusal.text.starts_with(&expected), "{refusal}");
    two.counts(|stats| refused(stats, RefusalReason::WrongNode))
        .await;
    assert_eq!(two.transport.stats().accepted, 0);
}

#[tokio::test]
async fn a_node_that_claims_to_be_another_is_refused_by_name() {
    does_not_pass_for_node_1(&[&name(9)]).await;
}

#[tokio::test]
async fn a_node_of_another_cluster_that_claims_to_be_of_this_one_is_refused_by_name() {
    does_not_pass_for_node_1(&[&name_in("other", 1)]).await;
}

#[tokio::test]
async fn a_certificate_of_another_service_is_refused_by_name() {
    does_not_pass_for_node_1(&["www.example.com"]).await;
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused_on_both_ends() {
    let authority = Authority::new("ours");
    let files = proper(&authority, 2);
    let mut two = node(2, &files);
    let with = ClientConfig::clone(&Credentials::load(files.config()).unwrap().current().client);
    let anonymous = anonymous(&authority, with);
    let address = two.transport.listen_address();
    let called = kind::call_with(address, anonymous, name(2)).await;
    // The caller's handshake may be over before its certificate is missed.
    if let Ok(mut stream) = called {
        let mut out = raft_core::wire::OutBuffer::new();
        out.put_hello(&hello(Lane::Control));
        let said = stream.write_all_buf(&mut out).await;
        assert!(said.is_err() || stream.read(&mut [0]).await.is_err());
    }
    two.counts(|stats| stats.distrusted.contains_key(&Distrust::NoCertificate))
        .await;
    assert_eq!(two.transport.stats().bytes_received, 0);
    let three = node(3, &proper(&authority, 3));
    three.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
}

/// Trusts what it should, and shows nothing of its own.
fn anonymous(authority: &Authority, like: ClientConfig) -> ClientConfig {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::clone(like.crypto_provider());
    let mut anonymous = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    anonymous.alpn_protocols = like.alpn_protocols;
    anonymous
}

#[tokio::test]
async fn a_caller_that_speaks_another_protocol_over_tls_is_refused_on_both_ends() {
    let authority = Authority::new("ours");
    let two = node(2, &proper(&authority, 2));
    let files = proper(&authority, 1);
    let credentials = Credentials::load(files.config()).unwrap();
    let mut client = ClientConfig::clone(&credentials.current().client);
    client.alpn_protocols = vec![b"raft/2".to_vec()];
    let called = kind::call_with(two.transport.listen_address(), client, name(2)).await;
    assert!(called.is_err());
    two.counts(|stats| stats.distrusted.contains_key(&Distrust::NoCommonProtocol))
        .await;
}

#[tokio::test]
async fn a_node_does_not_start_with_the_certificate_of_another() {
    let authority = Authority::new("ours");
    let files = proper(&authority, 1);
    let config = TransportConfig::default();
    let transport = kind::bind_with("127.0.0.1:0", config, files.config()).unwrap();
    let (inbox, _receiver) = Inbox::new(1, MemoryStores::new().open().snapshots);
    let error = transport.start(identity(2, "test", 0), inbox).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("node.pem") && text.contains(&name(2)),
        "{text}"
    );
    assert!(text.contains(&name(1)), "{text}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_when_it_is_bound() {
    let authority = Authority::new("ours");
    let spoil: [(&str, &str, &str); 5] = [
        ("node.pem", "", "holds no certificate"),
        ("node.key", "nothing", "cannot read a private key"),
        (
            "authorities.pem",
            "",
            "holds no certificate of an authority",
        ),
        (
            "node.pem",
            &authority.issue(&[&name(1)]).certificate,
            "cannot be used",
        ),
        (
            "node.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be used",
        ),
    ];
    for (file, content, expected) in spoil {
        let files = proper(&authority, 1);
        files.write(file, content);
        let config = TransportConfig::default();
        let error = kind::bind_with("127.0.0.1:0", config, files.config()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(file) && text.contains(expected), "{text}");
    }
}
