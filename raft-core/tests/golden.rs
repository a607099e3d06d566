//! The formats, byte by byte. A difference here is a change of format: it needs a new version.
//!
//! `REGENERATE=1 cargo test -p raft-core --test golden` writes the files anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use raft_core::Identity;
use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::Membership;
use raft_core::message::{Body, ForwardId, Message, ReadId, Rejection, Round};
use raft_core::restoration::Restoration;
use raft_core::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use raft_core::time::ClusterTime;
use raft_core::wire::{
    Frame, FrameLimits, Hello, Lane, OutBuffer, Refusal, RefusalReason, SnapshotChunk,
    SnapshotOffer,
};

/// Names and bytes, in the order of the file.
type Cases = Vec<(String, Vec<u8>)>;

fn compare(file: &str, cases: &Cases) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let mut text = String::new();
    for (name, bytes) in cases {
        writeln!(text, "# {name}").unwrap();
        for line in bytes.chunks(32) {
            let words: Vec<String> = line.chunks(4).map(hex).collect();
            writeln!(text, "{}", words.join(" ")).unwrap();
        }
    }
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(golden, text, "the format in {} changed", path.display());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entries() -> Vec<Entry> {
    let membership = Membership::new([(1, "a:7000"), (2, "b:7000")], [(3, "c:7000")]).unwrap();
    let payloads = [
        Payload::membership(membership).unwrap(),
        Payload::Blank,
        Payload::Command(Bytes::from_static(b"set x = 1")),
        Payload::Command(Bytes::new()),
    ];
    let mut previous = ChainLink::ORIGIN;
    let place = |(at, payload): (usize, Payload)| {
        let time = ClusterTime::from_micros(1_000 * at as u64);
        let term = Term::new(1 + at as u64 / 2);
        let entry = Entry::new(previous, term, time, Sealed::new(payload));
        previous = entry.link();
        entry
    };
    payloads.into_iter().enumerate().map(place).collect()
}

fn restorations() -> Vec<Entry> {
    let begin = LogIndex::new(1);
    let parts = [
        Restoration::Begin {
            size: 6,
            checksum: crc32c::crc32c(b"backup"),
        },
        Restoration::Chunk {
            begin,
            offset: 0,
            data: Bytes::from_static(b"backup"),
        },
        Restoration::End {
            begin,
            time: ClusterTime::from_micros(9_000),
        },
        Restoration::Abort { begin },
    ];
    let mut previous = ChainLink::ORIGIN;
    let place = |part: &Restoration| {
        let sealed = Sealed::new(Payload::restoration(part));
        let entry = Entry::new(previous, Term::new(2), ClusterTime::from_micros(1), sealed);
        previous = entry.link();
        entry
    };
    parts.iter().map(place).collect()
}

fn bodies() -> Vec<Body> {
    let last = LogId::new(Term::new(3), LogIndex::new(17));
    let index = LogIndex::new(16);
    let (round, read, forward) = (Round(9), ReadId(5), ForwardId(6));
    vec![
        Body::PreVote { last },
        Body::PreVoteReply { granted: true },
        Body::Vote {
            last,
            transfer: false,
        },
        Body::VoteReply { granted: false },
        Body::Append {
            previous: LogId::ORIGIN,
            entries: entries(),
            commit: LogIndex::FIRST,
        },
        Body::AppendAccepted { matched: index },
        Body::AppendRejected {
            previous: index,
            hint: last,
        },
        Body::Heartbeat {
            round,
            commit: index,
        },
        Body::HeartbeatReply {
            round,
            verified: index,
            supersedes: None,
        },
        Body::HeartbeatReply {
            round,
            verified: index,
            supersedes: Some(Incarnation::new(7)),
        },
        Body::SnapshotInstalled { through: index },
        Body::TimeoutNow,
        Body::ReadIndex { read, lease: true },
        Body::ReadIndexReply {
            read,
            index: Some(index),
        },
        Body::ReadIndexReply { read, index: None },
        Body::Propose {
            forward,
            commands: vec![Sealed::command("set x = 1"), Sealed::command("")],
        },
        Body::ProposeReply {
            forward,
            first: index,
            count: 2,
            refused: None,
        },
        refused(Rejection::NotLeader(Some(NodeId::new(3)))),
        refused(Rejection::NotLeader(None)),
        refused(Rejection::Overloaded),
        refused(Rejection::TooLarge {
            bytes: 9,
            bytes_max: 8,
        }),
        refused(Rejection::Transferring(NodeId::new(3))),
    ]
}

fn refused(reason: Rejection) -> Body {
    Body::ProposeReply {
        forward: ForwardId(6),
        first: LogIndex::ZERO,
        count: 0,
        refused: Some(reason),
    }
}

fn message(body: Body) -> Message {
    Message {
        group: GroupId::new(7),
        from: NodeId::new(1),
        incarnation: Incarnation::new(9),
        to: NodeId::new(2),
        term: Term::new(4),
        body,
    }
}

fn hello() -> Hello {
    let local = Identity {
        cluster: ClusterId::from_name("golden"),
        group: GroupId::new(7),
        node: NodeId::new(1),
        incarnation: Incarnation::new(0x1122_3344_5566_7788),
        epoch: RecoveryEpoch::new(0x99),
    };
    Hello::new(local, NodeId::new(2), Lane::Bulk).reached_at("a:7000")
}

fn offer() -> SnapshotOffer {
    let header = SnapshotHeader {
        last: entries().last().unwrap().link(),
        time: ClusterTime::from_micros(3_000),
        membership: Arc::new(Membership::of_voters([(1, "a:7000")]).unwrap()),
        membership_at: LogId::new(Term::new(1), LogIndex::FIRST),
    };
    SnapshotOffer {
        term: Term::new(4),
        meta: SnapshotMeta {
            header,
            size: 5,
            checksum: crc32c::crc32c(b"state"),
        },
    }
}

fn bytes_of(fill: impl FnOnce(&mut OutBuffer)) -> Vec<u8> {
    let mut out = OutBuffer::new();
    fill(&mut out);
    out.copy_to_bytes(out.remaining()).to_vec()
}

#[test]
fn entry_records_keep_their_format() {
    let files = [
        ("entries.hex", entries()),
        ("restorations.hex", restorations()),
    ];
    for (file, entries) in files {
        let cases = entries.into_iter().map(|entry| {
            let mut bytes = Vec::new();
            entry.encode_into(&mut bytes);
            assert_eq!(Entry::decode(&bytes.clone().into()).unwrap(), entry);
            (format!("{entry:?}"), bytes)
        });
        compare(file, &cases.collect());
    }
}

#[test]
fn message_frames_keep_their_format() {
    let cases = bodies().into_iter().map(|body| {
        let message = message(body);
        let bytes = bytes_of(|out| out.put_message(&message).unwrap());
        let frame = Frame::decode(&bytes, FrameLimits::of_tail(1 << 20)).unwrap();
        assert_eq!(frame.message().unwrap(), message);
        (message.body.name().to_string(), bytes)
    });
    compare("messages.hex", &cases.collect());
}

#[test]
fn handshake_and_snapshot_frames_keep_their_format() {
    let group = GroupId::new(7);
    let refusal = Refusal::new(RefusalReason::WrongCluster, "not you");
    let kept = Kept {
        size: 2,
        checksum: crc32c::crc32c(b"st"),
    };
    let chunk = SnapshotChunk {
        offer: offer().mark(),
        offset: 2,
        data: Bytes::from_static(b"ate"),
    };
    let failed = Err("disk full".to_string());
    let cases = [
        ("hello", bytes_of(|out| out.put_hello(&hello()))),
        ("refusal", bytes_of(|out| out.put_refusal(group, &refusal))),
        ("ping", bytes_of(|out| out.put_ping(group))),
        (
            "snapshot offer",
            bytes_of(|out| out.put_snapshot_offer(group, &offer()).unwrap()),
        ),
        (
            "snapshot chunk",
            bytes_of(|out| out.put_snapshot_chunk(group, chunk.clone()).unwrap()),
        ),
        ("snapshot end", bytes_of(|out| out.put_snapshot_end(group))),
        (
            "snapshot done",
            bytes_of(|out| out.put_snapshot_outcome(group, &Ok(())).unwrap()),
        ),
        (
            "snapshot failed",
            bytes_of(|out| out.put_snapshot_outcome(group, &failed).unwrap()),
        ),
        (
            "snapshot kept",
            bytes_of(|out| out.put_snapshot_kept(group, kept).unwrap()),
        ),
    ];
    let limits = FrameLimits::of_tail(1 << 20);
    let frames: Vec<Frame> = cases
        .iter()
        .map(|(_, b)| Frame::decode(b, limits).unwrap())
        .collect();
    assert_eq!(frames[0].hello().unwrap(), hello());
    assert_eq!(frames[1].refusal().unwrap(), refusal);
    assert_eq!(frames[3].snapshot_offer().unwrap(), offer());
    assert_eq!(frames[4].snapshot_chunk().unwrap(), chunk);
    assert_eq!(frames[6].snapshot_outcome().unwrap(), Ok(()));
    assert_eq!(frames[7].snapshot_outcome().unwrap(), failed);
    assert_eq!(frames[8].snapshot_kept().unwrap(), kept);
    compare(
        "connection.hex",
        &cases
            .map(|(name, bytes)| (name.to_string(), bytes))
            .to_vec(),
    );
}
