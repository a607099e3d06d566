//! Streams of snapshots: gone on with, paced, bounded, ended early, and never in the way.

use std::io::{Cursor, Read};
use std::time::Duration;

use bytes::Bytes;
use raft_core::id::{GroupId, LogIndex, NodeId, Term};
use raft_core::snapshot::{Kept, SnapshotMeta};
use raft_core::store::{FileSnapshotStore, SnapshotStore};
use raft_core::transport::{Inbound, OutboundSnapshot, Transport};
use raft_core::units::Size;
use raft_core::wire::{Lane, SnapshotChunk, SnapshotOffer};
use tokio::time::Instant;

use crate::End;
use crate::snapshots::{Halting, begun, files, meta, on_files, outbound, outcome, state};
use crate::strangers::Raw;

/// A snapshot that can be read from anywhere.
pub(crate) fn whole(meta: SnapshotMeta, bytes: &[u8]) -> OutboundSnapshot {
    OutboundSnapshot {
        term: Term::new(3),
        meta,
        data: Box::new(Cursor::new(Bytes::copy_from_slice(bytes))),
    }
}

fn stored(snapshots: &dyn SnapshotStore, meta: &SnapshotMeta) -> Vec<u8> {
    let (found, mut data) = snapshots.open(meta.id()).unwrap();
    assert_eq!(found, *meta);
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    bytes
}

async fn received(end: &mut End) {
    loop {
        if matches!(end.control().await, Inbound::SnapshotReceived { .. }) {
            return;
        }
    }
}

/// Node 2 takes in the first part of a snapshot from a node 1 that then stops.
async fn cut_off_at(two: &End, bytes: &[u8], at: usize) {
    let one = End::start(1);
    let (data, _go_on) = Halting::new(bytes, at);
    let before = two.transport.stats().bytes_received;
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(bytes), data));
    let enough = before + at as u64;
    two.counts(|stats| stats.bytes_received >= enough).await;
    one.transport.stop();
    one.transport.ended().await;
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_broken_stream_is_gone_on_with_by_whoever_leads_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut two = on_files(dir.path());
    let bytes = state(6 << 20);
    cut_off_at(&two, &bytes, 4 << 20).await;
    let mut one = End::start(1);
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    assert_eq!(outcome(&mut one).await, Ok(()));
    received(&mut two).await;
    assert!(stored(two.snapshots.as_ref(), &meta(&bytes)) == bytes);
    let (sent, taken) = (one.transport.stats(), two.transport.stats());
    assert_eq!((sent.snapshots_resumed, taken.snapshots_resumed), (1, 1));
    // A few parts may not have been written when it broke.
    assert!(sent.bytes_sent < 4 << 20, "{sent:?}");
}

#[tokio::test]
async fn a_restarted_receiver_goes_on_with_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = state(6 << 20);
    let two = on_files(dir.path());
    cut_off_at(&two, &bytes, 4 << 20).await;
    two.transport.stop();
    two.transport.ended().await;
    drop(two);
    // The thread that wrote may hold the directory for a moment longer.
    while FileSnapshotStore::open(dir.path()).is_err() {
        tokio::task::yield_now().await;
    }
    let two = on_files(dir.path());
    let mut one = End::start(1);
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    assert_eq!(outcome(&mut one).await, Ok(()));
    assert!(stored(two.snapshots.as_ref(), &meta(&bytes)) == bytes);
    assert_eq!(one.transport.stats().snapshots_resumed, 1);
    assert!(one.transport.stats().bytes_sent < 3 << 20);
}

#[tokio::test]
async fn a_sender_that_cannot_go_on_in_the_middle_starts_over() {
    let two = End::start(2);
    let bytes = state(3 << 20);
    cut_off_at(&two, &bytes, 2 << 20).await;
    let mut one = End::start(1);
    let sent = outbound(meta(&bytes), Cursor::new(bytes.clone()));
    one.transport.send_snapshot(&two.peer(), sent);
    assert_eq!(outcome(&mut one).await, Ok(()));
    assert!(stored(two.snapshots.as_ref(), &meta(&bytes)) == bytes);
    assert!(one.transport.stats().bytes_sent > 3 << 20);
}

#[tokio::test]
async fn a_part_of_another_snapshot_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let two = on_files(dir.path());
    let before = files(dir.path());
    cut_off_at(&two, &state(3 << 20), 2 << 20).await;
    let mut other = state((3 << 20) - 1);
    other[7] ^= 1;
    let mut one = End::start(1);
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&other), &other));
    assert_eq!(outcome(&mut one).await, Ok(()));
    assert!(stored(two.snapshots.as_ref(), &meta(&other)) == other);
    assert_eq!(one.transport.stats().snapshots_resumed, 0);
    assert_eq!(files(dir.path()), before + 1);
}

#[tokio::test]
async fn the_sender_is_told_that_the_receiver_moves_on() {
    let mut one = End::start(1);
    let two = End::start(2);
    let bytes = state(8 << 20);
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    let mut told = 0;
    loop {
        match one.control().await {
            Inbound::SnapshotProgressed { to, term } => {
                assert_eq!(term, Term::new(3));
                assert_eq!(to, NodeId::new(2));
                told += 1;
            }
            Inbound::SnapshotSent { outcome, .. } => {
                assert_eq!(outcome, Ok(()));
                break;
            }
            _ => {}
        }
    }
    assert!(told > 0, "not a word of {} bytes", bytes.len());
}

#[tokio::test]
async fn a_snapshot_that_is_not_needed_is_acknowledged_and_never_sent() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
    let bytes = state(3 << 20);
    two.inbox.node_is_at(Term::new(3), meta(&bytes).id().index);
    for _ in 0..3 {
        one.transport
            .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
        assert_eq!(outcome(&mut one).await, Ok(()));
    }
    assert!(one.transport.stats().bytes_sent < 10_000);
    assert_eq!(two.snapshots.list().unwrap(), []);
    // What is needed still arrives, and the other lanes never noticed.
    two.inbox.node_is_at(Term::new(3), LogIndex::ZERO);
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    assert_eq!(outcome(&mut one).await, Ok(()));
    assert!(stored(two.snapshots.as_ref(), &meta(&bytes)) == bytes);
    one.beat(&two.peer(), 2);
    assert_eq!(two.round().await, 2);
    assert_eq!(two.transport.stats().accepted, 1 + 4);
}

#[tokio::test]
async fn a_snapshot_of_an_earlier_term_is_refused_by_name() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    two.inbox.node_is_at(Term::new(4), LogIndex::ZERO);
    let bytes = state(3 << 20);
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    let reason = outcome(&mut one).await.unwrap_err();
    assert!(reason.contains("its term 3 is over"), "{reason}");
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
}

#[tokio::test]
async fn a_stream_ends_when_its_snapshot_has_become_stale() {
    for (term, committed, expected) in [(3, 9, None), (4, 0, Some("is over"))] {
        let dir = tempfile::tempdir().unwrap();
        let mut one = End::start(1);
        let two = on_files(dir.path());
        let before = files(dir.path());
        let bytes = state(30 << 20);
        let (data, go_on) = Halting::new(&bytes, 2 << 20);
        one.transport
            .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
        begun(dir.path(), before).await;
        two.inbox
            .node_is_at(Term::new(term), LogIndex::new(committed));
        go_on.send(()).unwrap();
        match (outcome(&mut one).await, expected) {
            (Ok(()), None) => assert_eq!(files(dir.path()), before, "nothing is kept of it"),
            (Err(reason), Some(text)) => assert!(reason.contains(text), "{reason}"),
            (ended, _) => panic!("{ended:?}"),
        }
        assert_eq!(two.snapshots.list().unwrap(), []);
    }
}

#[tokio::test]
async fn a_receiver_takes_in_so_many_at_once_and_says_so() {
    let mut three = End::start(3);
    let one = End::start(1);
    let two = End::start_with(2, |config| config.snapshot_streams_max = 1);
    let bytes = state(1 << 20);
    let (data, go_on) = Halting::new(&bytes, 600_000);
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
    two.counts(|stats| stats.bytes_received > 500_000).await;
    three
        .transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    let reason = outcome(&mut three).await.unwrap_err();
    assert!(reason.contains("snapshot_streams_max"), "{reason}");
    go_on.send(()).unwrap();
    two.counts(|stats| stats.snapshots_received == 1).await;
    three
        .transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    two.counts(|stats| stats.inbound_open == 0).await;
}

#[tokio::test]
async fn a_sender_sends_so_many_at_once_and_the_others_wait() {
    let mut one = End::start_with(1, |config| config.snapshot_streams_max = 1);
    let two = End::start(2);
    let mut three = End::start(3);
    let bytes = state(1 << 20);
    let (data, go_on) = Halting::new(&bytes, 600_000);
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
    two.counts(|stats| stats.bytes_received > 500_000).await;
    one.transport
        .send_snapshot(&three.peer(), whole(meta(&bytes), &bytes));
    for round in 1..=50 {
        one.beat(&three.peer(), round);
        assert_eq!(three.round().await, round);
    }
    assert_eq!(three.transport.stats().accepted, 1, "only the heartbeats");
    go_on.send(()).unwrap();
    for _ in 0..2 {
        let sent = async {
            loop {
                if let Inbound::SnapshotSent { outcome, .. } = one.control().await {
                    return outcome;
                }
            }
        };
        assert_eq!(sent.await, Ok(()));
    }
    received(&mut three).await;
}

#[tokio::test]
async fn heartbeats_pass_while_a_large_snapshot_is_slowed_down() {
    const BYTES: usize = 4 << 20;
    const RATE: u64 = 4 << 20;
    let mut one = End::start_with(1, |config| {
        config.snapshot_rate = Some(Size(RATE));
    });
    let mut two = End::start(2);
    let bytes = state(BYTES);
    let began = Instant::now();
    one.transport
        .send_snapshot(&two.peer(), whole(meta(&bytes), &bytes));
    let mut rounds = 0;
    let outcome = loop {
        rounds += 1;
        let before = two.transport.stats().bytes_received;
        one.beat(&two.peer(), rounds);
        assert_eq!(two.round().await, rounds);
        // It waits for no more than what is on its way.
        let meanwhile = two.transport.stats().bytes_received - before;
        assert!(meanwhile < (BYTES / 2) as u64, "{meanwhile} bytes");
        if let Ok(Inbound::SnapshotSent { outcome, .. }) = one.receiver.control.try_recv() {
            break outcome;
        }
    };
    assert_eq!(outcome, Ok(()));
    // All but the first part have waited for their turn.
    let least = Duration::from_millis(800);
    assert!(began.elapsed() > least, "sent in {:?}", began.elapsed());
    assert!(rounds > 20, "{rounds} heartbeats");
}

#[tokio::test]
async fn a_chunk_of_another_offer_is_refused() {
    let two = End::start(2);
    let bytes = state(1_000);
    let offer = SnapshotOffer {
        term: Term::new(3),
        meta: meta(&bytes),
    };
    let later = SnapshotOffer {
        term: Term::new(4),
        ..offer.clone()
    };
    assert_ne!(offer.mark(), later.mark());
    let group = GroupId::new(0);
    let mut raw = Raw::introduced(&two, Lane::Snapshot).await;
    raw.say(|out| out.put_snapshot_offer(group, &offer).unwrap())
        .await;
    assert_eq!(next_answer(&mut raw).await, Some(Kept::NOTHING));
    let chunk = SnapshotChunk {
        offer: later.mark(),
        offset: 0,
        data: bytes.into(),
    };
    raw.say(|out| out.put_snapshot_chunk(group, chunk).unwrap())
        .await;
    raw.say(|out| out.put_snapshot_end(group)).await;
    assert_eq!(next_answer(&mut raw).await, None);
    assert_eq!(two.snapshots.list().unwrap(), []);
}

/// What the receiver has, or nothing if it has refused.
async fn next_answer(raw: &mut Raw) -> Option<Kept> {
    loop {
        let frame = raw.frame().await;
        if let Ok(kept) = frame.snapshot_kept() {
            return Some(kept);
        }
        if let Ok(outcome) = frame.snapshot_outcome() {
            let reason = outcome.unwrap_err();
            assert!(reason.contains("another snapshot"), "{reason}");
            return None;
        }
    }
}
