//! The codec under hostile and damaged bytes: an error or the identical value, never a panic.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;
use raft_core::Identity;
use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::Membership;
use raft_core::message::{Body, ForwardId, Message, ReadId, Rejection, Round};
use raft_core::restoration::Restoration;
use raft_core::time::ClusterTime;
use raft_core::wire::{
    FRAME_HEADER_BYTES, Frame, FrameError, FrameLimits, HANDSHAKE_LIMITS, Hello, Lane, OutBuffer,
    Refusal, RefusalReason, SnapshotChunk,
};

const LIMITS: FrameLimits = FrameLimits::of_tail(64 << 20);

fn encode(message: &Message) -> Vec<u8> {
    let mut out = OutBuffer::new();
    out.put_message(message).unwrap();
    drain(&mut out)
}

fn drain(out: &mut OutBuffer) -> Vec<u8> {
    out.copy_to_bytes(out.remaining()).to_vec()
}

fn decode(bytes: &[u8]) -> Result<Message, FrameError> {
    Frame::decode(bytes, LIMITS)?.message()
}

fn index() -> impl Strategy<Value = LogIndex> {
    any::<u64>().prop_map(LogIndex::new)
}

fn log_id() -> impl Strategy<Value = LogId> {
    (any::<u64>(), index()).prop_map(|(term, index)| LogId::new(Term::new(term), index))
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Blank),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|b| Payload::Command(b.into())),
        (4_090_usize..9_000).prop_map(|n| Payload::Command(vec![7; n].into())),
        prop::collection::btree_map(any::<u64>(), "[a-z]{1,9}:[0-9]{1,4}", 1..4)
            .prop_map(|v| Payload::membership(Membership::of_voters(v).unwrap()).unwrap()),
        restoration().prop_map(|part| Payload::restoration(&part)),
    ]
}

fn restoration() -> impl Strategy<Value = Restoration> {
    let data = prop::collection::vec(any::<u8>(), 0..200);
    let time = any::<u64>().prop_map(ClusterTime::from_micros);
    prop_oneof![
        (any::<u64>(), any::<u32>())
            .prop_map(|(size, checksum)| Restoration::Begin { size, checksum }),
        (index(), any::<u64>(), data).prop_map(|(begin, offset, data)| Restoration::Chunk {
            begin,
            offset,
            data: data.into(),
        }),
        (index(), time).prop_map(|(begin, time)| Restoration::End { begin, time }),
        index().prop_map(|begin| Restoration::Abort { begin }),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let parts = (any::<u64>(), any::<u64>(), payload());
    prop::collection::vec(parts, 0..6).prop_map(|parts| {
        let mut previous = ChainLink::ORIGIN;
        let place = |(term, time, payload)| {
            let time = ClusterTime::from_micros(time);
            let entry = Entry::new(previous, Term::new(term), time, Sealed::new(payload));
            previous = entry.link();
            entry
        };
        parts.into_iter().map(place).collect()
    })
}

fn body() -> impl Strategy<Value = Body> {
    let round = || any::<u64>().prop_map(Round);
    let read = || any::<u64>().prop_map(ReadId);
    prop_oneof![
        log_id().prop_map(|last| Body::PreVote { last }),
        any::<bool>().prop_map(|granted| Body::PreVoteReply { granted }),
        (log_id(), any::<bool>()).prop_map(|(last, transfer)| Body::Vote { last, transfer }),
        any::<bool>().prop_map(|granted| Body::VoteReply { granted }),
        (log_id(), entries(), index()).prop_map(|(previous, entries, commit)| Body::Append {
            previous,
            entries,
            commit
        }),
        index().prop_map(|matched| Body::AppendAccepted { matched }),
        (index(), log_id()).prop_map(|(previous, hint)| Body::AppendRejected { previous, hint }),
        (round(), index()).prop_map(|(round, commit)| Body::Heartbeat { round, commit }),
        (round(), index(), prop::option::of(any::<u64>())).prop_map(
            |(round, verified, supersedes)| Body::HeartbeatReply {
                round,
                verified,
                supersedes: supersedes.map(Incarnation::new),
            }
        ),
        index().prop_map(|through| Body::SnapshotInstalled { through }),
        Just(Body::TimeoutNow),
        (read(), any::<bool>()).prop_map(|(read, lease)| Body::ReadIndex { read, lease }),
        (read(), prop::option::of(index()))
            .prop_map(|(read, index)| Body::ReadIndexReply { read, index }),
        (any::<u64>(), prop::collection::vec(command(), 0..6)).prop_map(|(forward, commands)| {
            let forward = ForwardId(forward);
            Body::Propose { forward, commands }
        }),
        (
            any::<u64>(),
            index(),
            any::<u32>(),
            prop::option::of(rejection())
        )
            .prop_map(|(forward, first, count, refused)| Body::ProposeReply {
                forward: ForwardId(forward),
                first,
                count,
                refused
            }),
    ]
}

fn command() -> impl Strategy<Value = Sealed> {
    let small = prop::collection::vec(any::<u8>(), 0..200).prop_map(Sealed::command);
    prop_oneof![
        small,
        (4_090_usize..9_000).prop_map(|n| Sealed::command(vec![7; n]))
    ]
}

fn rejection() -> impl Strategy<Value = Rejection> {
    let node = || any::<u64>().prop_map(NodeId::new);
    prop_oneof![
        prop::option::of(node()).prop_map(Rejection::NotLeader),
        Just(Rejection::Overloaded),
        (any::<u64>(), any::<u64>())
            .prop_map(|(bytes, bytes_max)| Rejection::TooLarge { bytes, bytes_max }),
        node().prop_map(Rejection::Transferring),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let ids = (
        any::<u64>(),
        any::<(u64, u64)>(),
        any::<u64>(),
        any::<u64>(),
    );
    (ids, body()).prop_map(|((group, (from, life), to, term), body)| Message {
        group: GroupId::new(group),
        from: NodeId::new(from),
        incarnation: Incarnation::new(life),
        to: NodeId::new(to),
        term: Term::new(term),
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_message_survives_its_frame(message in message()) {
        prop_assert_eq!(decode(&encode(&message)).unwrap(), message);
    }

    #[test]
    fn frames_are_told_apart_however_they_arrive(
        messages in prop::collection::vec(message(), 1..5),
        piece in 1_usize..700,
    ) {
        let mut out = OutBuffer::new();
        for message in &messages {
            out.put_message(message).unwrap();
        }
        let (mut buffer, mut arrived) = (BytesMut::new(), Vec::new());
        for bytes in drain(&mut out).chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(frame) = Frame::take(&mut buffer, LIMITS).unwrap() {
                arrived.push(frame.message().unwrap());
            }
        }
        prop_assert_eq!(arrived, messages);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed(message in message(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(decode(&bytes).is_err(), "byte {} of {}", at, bytes.len());
    }

    #[test]
    fn noise_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_control_part_of_noise_is_an_error_or_a_value(noise in prop::collection::vec(any::<u8>(), 0..120)) {
        // A peer of ours with a bug: the checksums are right, the content is not.
        for kind in 1..=8 {
            let frame = Frame::decode(&sealed(kind, &noise), LIMITS).unwrap();
            let _ = (frame.message().is_ok(), frame.hello().is_ok(), frame.refusal().is_ok());
            let _ = (frame.snapshot_offer().is_ok(), frame.snapshot_chunk().is_ok());
            let _ = (frame.snapshot_outcome().is_ok(), frame.snapshot_kept().is_ok());
        }
    }
}

/// A frame with valid checksums and any control part.
fn sealed(kind: u8, control: &[u8]) -> Vec<u8> {
    let mut head = b"rft\x9e".to_vec();
    head.extend([1, kind, 0, 0]);
    head.extend(7_u64.to_le_bytes());
    head.extend(u32::try_from(control.len()).unwrap().to_le_bytes());
    head.extend(0_u32.to_le_bytes());
    let check = crc32c::crc32c_append(crc32c::crc32c(&head), control);
    head.extend(check.to_le_bytes());
    head.extend(control);
    head
}

fn append_of(payload_bytes: usize) -> Message {
    let payload = Payload::Command(vec![0x5a; payload_bytes].into());
    let entry = Entry::new(
        ChainLink::ORIGIN,
        Term::new(1),
        ClusterTime::ZERO,
        Sealed::new(payload),
    );
    Message {
        group: GroupId::new(0),
        from: NodeId::new(1),
        incarnation: Incarnation::new(9),
        to: NodeId::new(2),
        term: Term::new(1),
        body: Body::Append {
            previous: LogId::ORIGIN,
            entries: vec![entry.clone(), entry],
            commit: LogIndex::ZERO,
        },
    }
}

fn hello() -> Hello {
    let local = Identity {
        cluster: ClusterId::from_name("a"),
        group: GroupId::new(0),
        node: NodeId::new(1),
        incarnation: Incarnation::new(1),
        epoch: RecoveryEpoch::new(0),
    };
    Hello::new(local, NodeId::new(2), Lane::Control)
}

#[test]
fn every_truncation_and_every_flipped_byte_is_an_error() {
    let group = GroupId::new(0);
    let mut out = OutBuffer::new();
    let commands = vec![
        Sealed::command("one"),
        Sealed::command(""),
        Sealed::command("3"),
    ];
    let forward = ForwardId(1);
    let propose = Message {
        body: Body::Propose { forward, commands },
        ..append_of(0)
    };
    let mut frames = vec![encode(&append_of(40)), encode(&propose)];
    out.put_hello(&hello());
    frames.push(drain(&mut out));
    out.put_refusal(group, &Refusal::new(RefusalReason::WrongNode, "who?"));
    frames.push(drain(&mut out));
    let data = Bytes::from_static(b"state");
    out.put_snapshot_chunk(
        group,
        SnapshotChunk {
            offer: 1,
            offset: 0,
            data,
        },
    )
    .unwrap();
    frames.push(drain(&mut out));
    let is_refused = |bytes: &[u8]| match Frame::decode(bytes, LIMITS) {
        Err(_) => true,
        // What the header does not cover has checksums of its own.
        Ok(frame) => frame.message().is_err() && frame.snapshot_chunk().is_err(),
    };
    for frame in frames {
        for length in 0..frame.len() {
            assert!(is_refused(&frame[..length]), "cut at {length}");
        }
        for at in 0..frame.len() {
            for flip in 1..=255 {
                let mut damaged = frame.clone();
                damaged[at] ^= flip;
                assert!(is_refused(&damaged), "byte {at} ^ {flip:02x}");
            }
        }
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_arrives() {
    let frame = encode(&append_of(1_000));
    let mut head = BytesMut::from(&frame[..FRAME_HEADER_BYTES]);
    let error = Frame::take(&mut head, FrameLimits::of_tail(999)).unwrap_err();
    assert!(
        matches!(error, FrameError::TooLarge { part: "tail", .. }),
        "{error}"
    );
}

#[test]
fn an_announced_gibibyte_makes_no_room_before_it_arrives() {
    let mut frame = encode(&append_of(100));
    frame[20..24].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    let control_end =
        FRAME_HEADER_BYTES + u32::from_le_bytes(frame[16..20].try_into().unwrap()) as usize;
    let check = crc32c::crc32c_append(crc32c::crc32c(&frame[..24]), &frame[28..control_end]);
    frame[24..28].copy_from_slice(&check.to_le_bytes());
    let mut buffer = BytesMut::from(&frame[..]);
    assert!(
        Frame::take(&mut buffer, FrameLimits::of_tail(u32::MAX))
            .unwrap()
            .is_none()
    );
    assert!(buffer.capacity() < 5 << 20, "{} bytes", buffer.capacity());
}

#[test]
fn large_payloads_are_neither_copied_out_nor_copied_in() {
    let message = append_of(100_000);
    let Body::Append { entries, .. } = &message.body else {
        unreachable!()
    };
    let mut out = OutBuffer::new();
    out.put_message(&message).unwrap();
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let filled = out.chunks_vectored(&mut slices);
    let sent = entries[0].payload().bytes().as_ptr();
    assert!(slices[..filled].iter().any(|slice| slice.as_ptr() == sent));
    let mut buffer = BytesMut::from(&drain(&mut out)[..]);
    let memory = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    let frame = Frame::take(&mut buffer, LIMITS).unwrap().unwrap();
    let Body::Append { entries, .. } = frame.message().unwrap().body else {
        unreachable!()
    };
    assert!(
        entries
            .iter()
            .all(|entry| memory.contains(&(entry.payload().bytes().as_ptr() as usize)))
    );
}

#[test]
fn a_stranger_is_known_by_its_first_bytes() {
    let mut buffer = BytesMut::from(&b"GE"[..]);
    let error = Frame::take(&mut buffer, HANDSHAKE_LIMITS).unwrap_err();
    assert!(matches!(error, FrameError::Magic { .. }), "{error}");
}

#[test]
fn each_kind_of_stranger_is_refused_for_its_own_reason() {
    let mine = hello().from;
    let other = |change: &dyn Fn(&mut Hello)| {
        let local = Identity {
            node: NodeId::new(2),
            ..mine
        };
        let mut hello = hello();
        change(&mut hello);
        hello
            .answer(local)
            .map(|_| ())
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!(other(&|_| ()), Ok(()));
    assert_eq!(
        other(&|hello| hello.from.cluster = ClusterId::from_name("b")),
        Err(RefusalReason::WrongCluster)
    );
    assert_eq!(
        other(&|hello| hello.from.group = GroupId::new(9)),
        Err(RefusalReason::WrongGroup)
    );
    assert_eq!(
        other(&|hello| hello.from.epoch = RecoveryEpoch::new(1)),
        Err(RefusalReason::WrongEpoch)
    );
    assert_eq!(
        other(&|hello| hello.to = NodeId::new(3)),
        Err(RefusalReason::WrongNode)
    );
    assert_eq!(
        other(&|hello| hello.from.node = NodeId::new(2)),
        Err(RefusalReason::SameNode)
    );
    assert_eq!(
        other(&|hello| (hello.protocol_min, hello.protocol_max) = (7, 9)),
        Err(RefusalReason::UnsupportedProtocol)
    );
}

#[test]
fn a_dialer_notices_that_another_node_answers() {
    let answerer = Identity {
        node: NodeId::new(3),
        ..hello().from
    };
    let answer = Hello::new(answerer, NodeId::new(1), Lane::Control);
    assert_eq!(
        hello().confirm(&answer).unwrap_err().reason,
        RefusalReason::WrongNode
    );
    let right = Identity {
        node: NodeId::new(2),
        ..hello().from
    };
    let answer = Hello::new(right, NodeId::new(1), Lane::Control);
    assert_eq!(hello().confirm(&answer).unwrap(), 1);
}

#[test]
fn a_refusal_cannot_write_into_the_log_of_its_reader() {
    let text = format!("bad\n\u{1b}[31mred\u{202e}{}", "x".repeat(5_000));
    let refusal = Refusal::new(RefusalReason::Malformed, &text);
    assert!(
        refusal.text.starts_with(r"bad\n\u{1b}[31mred\u{202e}x"),
        "{refusal}"
    );
    assert_eq!(refusal.text.len(), 256);
}

#[test]
fn a_longer_hello_of_a_newer_build_is_understood() {
    let mut out = OutBuffer::new();
    out.put_hello(&hello());
    let bytes = drain(&mut out);
    let mut control = bytes[FRAME_HEADER_BYTES..].to_vec();
    control.extend_from_slice(b"something new");
    let mut frame = sealed(1, &control);
    let group = frame[8..16].to_vec();
    assert_eq!(group, 7_u64.to_le_bytes());
    let read = Frame::decode(&std::mem::take(&mut frame), LIMITS)
        .unwrap()
        .hello()
        .unwrap();
    assert_eq!((read.from.node, read.to), (NodeId::new(1), NodeId::new(2)));
}

#[test]
fn a_hello_says_where_its_speaker_is_reached() {
    let longest = "x".repeat(Hello::ADDRESS_BYTES_MAX);
    for (said, read) in [
        ("", ""),
        ("a:7000", "a:7000"),
        ("a\n:1", "a\\n:1"),
        (&longest, &longest),
    ] {
        let mut out = OutBuffer::new();
        out.put_hello(&hello().reached_at(said));
        let frame = Frame::decode(&drain(&mut out), HANDSHAKE_LIMITS).unwrap();
        assert_eq!(frame.hello().unwrap().address, read);
    }
    assert_eq!(hello().reached_at(&format!("{longest}x")).address, "");
}

#[test]
fn a_hello_with_half_an_address_is_refused() {
    let mut out = OutBuffer::new();
    out.put_hello(&hello().reached_at("a:7000"));
    let bytes = drain(&mut out);
    let control = &bytes[FRAME_HEADER_BYTES..bytes.len() - 1];
    let frame = Frame::decode(&sealed(1, control), LIMITS).unwrap();
    assert!(matches!(frame.hello(), Err(FrameError::Address)));
}
