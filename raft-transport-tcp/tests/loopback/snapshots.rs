//! Snapshots: whole and durable, or not at all.

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::{Arc, mpsc};

use raft_core::id::{ChainLink, LogId, LogIndex, NodeId, Term};
use raft_core::membership::Membership;
use raft_core::memory::MemoryStores;
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::store::{FileSnapshotStore, SnapshotRead};
use raft_core::time::ClusterTime;
use raft_core::transport::{Inbound, OutboundSnapshot, Transport};

use crate::{End, Setup};

pub(crate) fn state(bytes: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|number| (number * number).to_le_bytes())
        .take(bytes)
        .collect()
}

pub(crate) fn meta(bytes: &[u8]) -> SnapshotMeta {
    let last = LogId::new(Term::new(1), LogIndex::new(9));
    SnapshotMeta {
        header: SnapshotHeader {
            last: ChainLink {
                id: last,
                checksum: 7,
            },
            time: ClusterTime::ZERO,
            membership: Arc::new(Membership::of_voters([(1, "a"), (2, "b")]).unwrap()),
            membership_at: LogId::new(Term::new(1), LogIndex::FIRST),
        },
        size: bytes.len() as u64,
        checksum: crc32c::crc32c(bytes),
    }
}

pub(crate) fn outbound(meta: SnapshotMeta, data: impl Read + Send + 'static) -> OutboundSnapshot {
    OutboundSnapshot {
        term: Term::new(3),
        meta,
        data: Box::new(Once(data)),
    }
}

/// Cannot begin anywhere but at its beginning.
struct Once<R>(R);

impl<R: Read> Read for Once<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read + Send> SnapshotRead for Once<R> {}

/// Reads `first`, then waits for the word to go on, then `rest`.
pub(crate) struct Halting {
    first: Cursor<Vec<u8>>,
    go_on: Option<mpsc::Receiver<()>>,
    rest: Cursor<Vec<u8>>,
}

impl Halting {
    pub(crate) fn new(bytes: &[u8], at: usize) -> (Self, mpsc::Sender<()>) {
        let (first, rest) = bytes.split_at(at);
        let (sender, go_on) = mpsc::channel();
        let halting = Self {
            first: Cursor::new(first.to_vec()),
            go_on: Some(go_on),
            rest: Cursor::new(rest.to_vec()),
        };
        (halting, sender)
    }
}

impl Read for Halting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.first.read(into)? {
            0 => {
                if let Some(go_on) = self.go_on.take() {
                    // A dropped sender means the same.
                    let _ = go_on.recv();
                }
                self.rest.read(into)
            }
            read => Ok(read),
        }
    }
}

/// Fails after some bytes.
pub(crate) struct Failing(pub(crate) Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

pub(crate) async fn outcome(end: &mut End) -> Result<(), String> {
    loop {
        if let Inbound::SnapshotSent { to, outcome, .. } = end.control().await {
            assert_eq!(to, NodeId::new(2));
            return outcome;
        }
    }
}

pub(crate) fn on_files(dir: &Path) -> End {
    End::start_as(
        2,
        Setup {
            snapshots: Arc::new(FileSnapshotStore::open(dir).unwrap()),
            ..Setup::default()
        },
    )
}

pub(crate) fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// Waits until the receiver has begun to write: a part, and its marks.
pub(crate) async fn begun(dir: &Path, before: usize) {
    while files(dir) < before + 2 {
        tokio::task::yield_now().await;
    }
}

/// Waits until nothing writes to the one part that is there.
async fn cut_off(two: &End, dir: &Path, before: usize) {
    two.counts(|stats| stats.inbound_open == 0).await;
    assert_eq!(files(dir), before + 2, "a part, and its marks");
    assert!(two.snapshots.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_snapshot_arrives_identical_and_both_nodes_are_told() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    let bytes = state(7_000_001);
    let sent = outbound(meta(&bytes), Cursor::new(bytes.clone()));
    one.transport.send_snapshot(&two.peer(), sent);
    let Inbound::SnapshotReceived { from, term, meta } = two.control().await else {
        panic!("no snapshot");
    };
    assert_eq!((from, term), (NodeId::new(1), Term::new(3)));
    let (_, mut stored) = two.snapshots.open(meta.id()).unwrap();
    let mut arrived = Vec::new();
    stored.read_to_end(&mut arrived).unwrap();
    assert!(arrived == bytes, "the snapshot changed on its way");
    assert_eq!(outcome(&mut one).await, Ok(()));
    assert_eq!(two.transport.stats().snapshots_received, 1);
}

#[tokio::test]
async fn an_empty_snapshot_arrives() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&[]), io::empty()));
    assert!(matches!(
        two.control().await,
        Inbound::SnapshotReceived { .. }
    ));
    assert_eq!(outcome(&mut one).await, Ok(()));
}

#[tokio::test]
async fn heartbeats_and_entries_pass_while_a_snapshot_is_under_way() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    let bytes = state(3 << 20);
    let (data, go_on) = Halting::new(&bytes, 2 << 20);
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
    for round in 1..=100 {
        one.beat(&two.peer(), round);
        assert_eq!(two.round().await, round);
    }
    one.append(&two.peer(), 100);
    two.bulk().await;
    go_on.send(()).unwrap();
    assert_eq!(outcome(&mut one).await, Ok(()));
}

#[tokio::test]
async fn a_sender_that_cannot_read_its_snapshot_leaves_a_part_and_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = End::start(1);
    let two = on_files(dir.path());
    let before = files(dir.path());
    let bytes = state(1 << 20);
    let data = Failing(Cursor::new(bytes[..700_000].to_vec()));
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
    assert_eq!(outcome(&mut one).await, Err("the disk is gone".into()));
    cut_off(&two, dir.path(), before).await;
}

#[tokio::test]
async fn a_sender_that_stops_half_way_leaves_a_part_and_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let one = End::start(1);
    let two = on_files(dir.path());
    let before = files(dir.path());
    let bytes = state(1 << 20);
    let (data, _go_on) = Halting::new(&bytes, 600_000);
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
    begun(dir.path(), before).await;
    one.transport.stop();
    cut_off(&two, dir.path(), before).await;
}

#[tokio::test]
async fn a_receiver_that_stops_half_way_is_told_to_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = End::start(1);
    let two = on_files(dir.path());
    let before = files(dir.path());
    let bytes = state(1 << 20);
    let (data, go_on) = Halting::new(&bytes, 600_000);
    one.transport
        .send_snapshot(&two.peer(), outbound(meta(&bytes), data));
    begun(dir.path(), before).await;
    two.transport.stop();
    two.transport.ended().await;
    // Whoever reads may have found out already.
    let _ = go_on.send(());
    assert!(outcome(&mut one).await.is_err());
    cut_off(&two, dir.path(), before).await;
}

#[tokio::test]
async fn bytes_that_are_not_the_announced_ones_are_not_kept() {
    let mut one = End::start(1);
    let two = End::start(2);
    let bytes = state(300_000);
    let mut other = meta(&bytes);
    other.checksum ^= 1;
    let sent = outbound(other, Cursor::new(bytes));
    one.transport.send_snapshot(&two.peer(), sent);
    let reason = outcome(&mut one).await.unwrap_err();
    assert!(
        reason.contains("arrived as 300000 bytes with checksum"),
        "{reason}"
    );
    assert!(two.snapshots.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_receiver_that_cannot_write_says_why_and_its_other_lanes_work() {
    let stores = MemoryStores::new();
    let mut one = End::start(1);
    let mut two = End::start_as(
        2,
        Setup {
            snapshots: stores.open().snapshots,
            ..Setup::default()
        },
    );
    stores.break_down();
    let bytes = state(20 << 20);
    let sent = outbound(meta(&bytes), Cursor::new(bytes));
    one.transport.send_snapshot(&two.peer(), sent);
    let reason = outcome(&mut one).await.unwrap_err();
    assert!(reason.contains("the device broke down"), "{reason}");
    one.beat(&two.peer(), 1);
    assert_eq!(two.round().await, 1);
}
