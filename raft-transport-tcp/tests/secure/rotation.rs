//! Certificates and authorities are replaced while nodes run, and nothing that matters is lost.

use std::sync::Arc;

use raft_core::memory::MemoryStores;
use raft_core::message::Body;
use raft_core::store::FileSnapshotStore;
use raft_core::transport::{Inbound, Transport};
use raft_core::units::Period;
use raft_core::wire::{Lane, RefusalReason};
use raft_transport_stream::Distrust;
use raft_transport_stream::tls::Credentials;
use rcgen::SerialNumber;
use rustls::ClientConfig;
use tokio::time::timeout;

use crate::authority::{Authority, Files, name};
use crate::identity::{node, proper};
use crate::joining::group;
use crate::kind::{self, Carrier, TransportConfig};
use crate::snapshots::{Halting, meta, outbound, outcome, state};
use crate::strangers::{Raw, hello};
use crate::streams::whole;
use crate::{End, PATIENCE, identity};

/// What every node's files hold, in the course of changes of the authority: the old one; the new one
/// trusted too; certificates of the new one; the old one not trusted any more.
struct Rotation {
    old: Authority,
    new: Authority,
}

impl Rotation {
    fn begin() -> Self {
        Self {
            old: Authority::new("authority 0"),
            new: Authority::new("authority 1"),
        }
    }

    /// Takes the files of `nodes` one step further.
    fn step(&mut self, number: usize, nodes: &[(u64, &Files)]) {
        for (id, files) in nodes {
            match number % 3 {
                0 => files.trust(&format!("{}{}", self.old.pem, self.new.pem)),
                1 => files.put(&self.new.issue(&[&name(*id)])),
                _ => files.trust(&self.new.pem),
            }
        }
        if number % 3 == 2 {
            let next = Authority::new(&format!("authority {number}"));
            self.old = std::mem::replace(&mut self.new, next);
        }
    }
}

#[tokio::test]
async fn a_hundred_changes_of_certificates_and_authorities_lose_no_message() {
    const CHANGES: usize = 100;
    let mut rotation = Rotation::begin();
    let (first, second) = (proper(&rotation.old, 1), proper(&rotation.old, 2));
    let (one, mut two) = (node(1, &first), node(2, &second));
    let peer = two.peer();
    let mut round = 0;
    for number in 0..CHANGES {
        rotation.step(number, &[(1, &first), (2, &second)]);
        // Messages are on their way and waiting when either end changes.
        for changed in [&one, &two] {
            for _ in 0..20 {
                round += 1;
                one.beat(&peer, round);
                one.append(&peer, 1_000);
            }
            changed.transport.reload().unwrap();
        }
        for expected in round - 39..=round {
            assert_eq!(two.round().await, expected, "change {number}");
            two.bulk().await;
        }
    }
    let renewed = one.counts(|stats| stats.renewed >= 2).await;
    assert_eq!(renewed.reloads, CHANGES as u64);
    assert_eq!((renewed.dropped_unreachable, renewed.dropped_full), (0, 0));
    assert_eq!(renewed.dials_failed, 0);
    assert_eq!(two.transport.stats().messages_received, 2 * round);
}

#[tokio::test]
async fn an_open_connection_is_made_anew_soon_after_either_end_has_read_its_files() {
    let authority = Authority::new("ours");
    let (first, second) = (proper(&authority, 1), proper(&authority, 2));
    let (one, mut two) = (node(1, &first), node(2, &second));
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    one.transport.reload().unwrap();
    one.counts(|stats| stats.renewed == 1).await;
    one.beat(&two.peer(), 2);
    assert_eq!(two.round().await, 2);
    two.transport.reload().unwrap();
    one.counts(|stats| stats.renewed == 2).await;
    one.beat(&two.peer(), 3);
    assert_eq!(two.round().await, 3);
    assert_eq!(one.transport.stats().dialed, 3);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_any_more_loses_what_is_open() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let both = format!("{}{}", old.pem, new.pem);
    let files = Files::new(&new.issue(&[&name(2)]), &both);
    let one = node(1, &Files::new(&old.issue(&[&name(1)]), &both));
    let mut two = node(2, &files);
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    files.trust(&new.pem);
    two.transport.reload().unwrap();
    one.counts(|stats| stats.renewed == 1).await;
    two.counts(|stats| stats.inbound_open == 0).await;
    one.beat(&two.peer(), 2);
    one.counts(|stats| {
        stats
            .distrusted_by_peers
            .contains_key(&Distrust::UnknownAuthority)
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_certificate_is_revoked_loses_what_is_open() {
    let authority = Authority::new("ours");
    let lost = authority.issue_with(&[&name(1)], |params| {
        params.serial_number = Some(SerialNumber::from(7));
    });
    let one = node(1, &Files::new(&lost, &authority.pem));
    let files = proper(&authority, 2);
    files.write("revoked.pem", &authority.revoke(&[]));
    let mut config = files.config();
    config.revocations = Some(files.path("revoked.pem"));
    let transport = kind::bind_with("127.0.0.1:0", TransportConfig::default(), config).unwrap();
    let snapshots = MemoryStores::new().open().snapshots;
    let mut two = End::over(transport, identity(2, "test", 0), 1 << 20, snapshots);
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    files.write("revoked.pem", &authority.revoke(&[7]));
    two.transport.reload().unwrap();
    two.counts(|stats| stats.inbound_open == 0).await;
    one.beat(&two.peer(), 2);
    one.counts(|stats| stats.distrusted_by_peers.contains_key(&Distrust::Revoked))
        .await;
}

#[tokio::test]
async fn a_caller_that_does_not_call_again_is_cut_off() {
    let authority = Authority::new("ours");
    let (files, second) = (proper(&authority, 1), proper(&authority, 2));
    let two = node(2, &second);
    let credentials = Credentials::load(files.config()).unwrap();
    let client = ClientConfig::clone(&credentials.current().client);
    let address = two.transport.listen_address();
    let mut deaf = Raw::over(kind::call_with(address, client, name(2)).await.unwrap());
    deaf.say(|out| out.put_hello(&hello(Lane::Control))).await;
    deaf.frame().await.hello().unwrap();
    two.transport.reload().unwrap();
    let asked = deaf.frame().await.refusal().unwrap();
    assert_eq!(asked.reason, RefusalReason::Renewed);
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_snapshot_under_way_is_broken_off_and_gone_on_with() {
    let authority = Authority::new("ours");
    for sender_reloads in [true, false] {
        let (first, second) = (proper(&authority, 1), proper(&authority, 2));
        let dir = tempfile::tempdir().unwrap();
        let mut one = node(1, &first);
        let config = TransportConfig::default();
        let transport = kind::bind_with("127.0.0.1:0", config, second.config()).unwrap();
        let snapshots = Arc::new(FileSnapshotStore::open(dir.path()).unwrap());
        let two = End::over(transport, identity(2, "test", 0), 1 << 20, snapshots);
        let bytes = state(3 << 20);
        let (data, go_on) = Halting::new(&bytes, 2 << 20);
        one.transport
            .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
        two.counts(|stats| stats.bytes_received >= 2 << 20).await;
        let reloading = if sender_reloads { &one } else { &two };
        reloading.transport.reload().unwrap();
        two.counts(|stats| stats.inbound_open == 0).await;
        // Whoever reads may have found out already.
        let _ = go_on.send(());
        let reason = outcome(&mut one).await.unwrap_err();
        assert!(reason.contains("read anew"), "{reason}");
        one.transport
            .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
        assert_eq!(outcome(&mut one).await, Ok(()));
        assert_eq!(one.transport.stats().snapshots_resumed, 1);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_change_nothing_and_are_named() {
    let authority = Authority::new("ours");
    let files = proper(&authority, 1);
    let one = node(1, &files);
    let mut two = node(2, &proper(&authority, 2));
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    let spoil: [(&str, &str); 4] = [
        ("node.pem", &authority.issue(&[&name(1)]).certificate),
        ("node.key", "not a key"),
        ("authorities.pem", ""),
        ("node.pem", "-----BEGIN CERTIFICATE-----\nhalf of a"),
    ];
    for (file, content) in spoil {
        let before = std::fs::read_to_string(files.path(file)).unwrap();
        files.write(file, content);
        let error = one.transport.reload().unwrap_err().to_string();
        assert!(
            error.contains("node.pem") || error.contains(file),
            "{error}"
        );
        files.write(file, &before);
    }
    files.put(&authority.issue(&[&name(3)]));
    let error = one.transport.reload().unwrap_err().to_string();
    assert!(
        error.contains("is not the certificate of this node"),
        "{error}"
    );
    let stats = one.transport.stats();
    assert_eq!(
        (stats.reloads, stats.reloads_failed, stats.renewed),
        (0, 5, 0)
    );
    // New connections rest on what was there before.
    one.append(&two.peer(), 10);
    two.bulk().await;
    files.put(&authority.issue(&[&name(1)]));
    one.transport.reload().unwrap();
    one.counts(|stats| (stats.reloads, stats.renewed) == (1, 2))
        .await;
    one.beat(&two.peer(), 2);
    assert_eq!(two.round().await, 2);
}

#[tokio::test]
async fn changed_files_are_noticed() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = proper(&old, 1);
    let mut config = files.config();
    config.poll = Period::from_millis(1);
    let transport = kind::bind_with("127.0.0.1:0", TransportConfig::default(), config).unwrap();
    let snapshots = MemoryStores::new().open().snapshots;
    let one = End::over(transport, identity(1, "test", 0), 1 << 20, snapshots);
    let mut two = node(2, &proper(&new, 2));
    files.trust(&new.pem);
    files.put(&new.issue(&[&name(1)]));
    one.counts(|stats| stats.reloads > 0).await;
    // It may have been read between the files, and then is read once more.
    let spoken = async {
        loop {
            one.beat(&two.peer(), 1);
            if let Ok(Inbound::Message(message, _)) = two.receiver.control.try_recv()
                && matches!(message.body, Body::Heartbeat { .. })
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, spoken).await.expect("never trusted");
}

#[tokio::test]
async fn a_cluster_loses_no_proposal_and_no_leader_while_its_certificates_change() {
    // A hundred times some node reads others.
    const CHANGES: usize = 34;
    let mut rotation = Rotation::begin();
    let files: Vec<Files> = (1..=3).map(|id| proper(&rotation.old, id)).collect();
    let bind = |files: &Files| {
        kind::bind_with("127.0.0.1:0", TransportConfig::default(), files.config()).unwrap()
    };
    let transports: Vec<Carrier> = files.iter().map(bind).collect();
    let nodes = group(&transports).await;
    let term = nodes[0].watch().borrow().term;
    for number in 0..CHANGES {
        let of_nodes: Vec<(u64, &Files)> = (1_u64..).zip(&files).collect();
        rotation.step(number, &of_nodes);
        for transport in &transports {
            transport.reload().unwrap();
            let proposed = nodes[0].propose("more");
            let applied = timeout(PATIENCE, proposed).await.expect("it stands still");
            applied.unwrap();
        }
    }
    let last = nodes[0].propose("last").await.unwrap();
    assert_eq!(last.response, (3 * CHANGES + 1).to_string());
    assert_eq!(nodes[0].watch().borrow().term, term, "no election");
    for transport in &transports {
        assert_eq!(transport.stats().reloads, CHANGES as u64);
    }
    let renewed = transports.iter().map(|one| one.stats().renewed);
    assert!(renewed.sum::<u64>() > 0);
    for node in &nodes {
        node.shutdown().await.unwrap();
    }
}
