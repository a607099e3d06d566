//! Messages of every kind and size.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, HEADER_BYTES, Payload, Sealed};
use crate::hard_state::Identity;
use crate::id::{ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId};
use crate::id::{RecoveryEpoch, Term};
use crate::membership::Membership;
use crate::message::{Body, ForwardId, MESSAGE_BYTES, ReadId, Rejection, Round};
use crate::time::ClusterTime;

/// A node of the cluster in which most properties take place.
pub(super) fn identity(node: u64) -> Identity {
    Identity {
        cluster: ClusterId::from_name("conformance"),
        group: GroupId::new(7),
        node: NodeId::new(node),
        incarnation: Incarnation::new(100 + node),
        epoch: RecoveryEpoch::new(2),
    }
}

/// The smallest message of the lane for heartbeats.
pub(super) fn heartbeat() -> Body {
    Body::Heartbeat {
        round: Round(3),
        commit: LogIndex::new(4),
    }
}

/// One entry whose payload has so many bytes.
pub(super) fn append(payload_bytes: usize) -> Body {
    append_of(payload(payload_bytes))
}

/// One entry with this payload, which is shared and not copied.
pub(super) fn append_of(payload: Bytes) -> Body {
    Body::Append {
        previous: LogId::ORIGIN,
        entries: vec![entry(ChainLink::ORIGIN, Sealed::command(payload))],
        commit: LogIndex::ZERO,
    }
}

/// One command of so many bytes.
pub(super) fn propose(payload_bytes: usize) -> Body {
    Body::Propose {
        forward: ForwardId(9),
        commands: vec![Sealed::command(payload(payload_bytes))],
    }
}

/// What an [`append`] takes besides its payload.
pub(super) const APPEND_BYTES: usize = MESSAGE_BYTES + HEADER_BYTES;

/// Bytes of which no two neighbours are alike, and no two blocks.
pub(super) fn payload(bytes: usize) -> Bytes {
    let words = (1_u64..).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut payload = Vec::with_capacity(bytes + 8);
    for word in words.take(bytes.div_ceil(8)) {
        payload.extend_from_slice(&word.to_be_bytes());
    }
    payload.truncate(bytes);
    payload.into()
}

/// The members that entries and snapshots of this suite name.
pub(super) fn membership() -> Membership {
    let voters = [(1, "one:7000"), (2, "two:7000"), (3, "three:7000")];
    Membership::of_voters(voters).expect("three voters with addresses")
}

/// Bodies of every kind, with the smallest and the largest of what they may hold.
pub(super) fn bodies() -> Vec<Body> {
    let last = LogId::new(Term::new(u64::MAX - 1), LogIndex::new(u64::MAX));
    let mut bodies = vec![
        heartbeat(),
        Body::HeartbeatReply {
            round: Round(u64::MAX),
            verified: LogIndex::ZERO,
            supersedes: None,
        },
        Body::HeartbeatReply {
            round: Round(0),
            verified: LogIndex::new(9),
            supersedes: Some(Incarnation::new(u64::MAX)),
        },
        Body::TimeoutNow,
        Body::AppendAccepted {
            matched: LogIndex::new(1 << 40),
        },
        Body::AppendRejected {
            previous: LogIndex::new(17),
            hint: last,
        },
        Body::SnapshotInstalled {
            through: LogIndex::FIRST,
        },
    ];
    for last in [LogId::ORIGIN, last] {
        bodies.push(Body::PreVote { last });
    }
    for yes in [false, true] {
        bodies.extend([
            Body::PreVoteReply { granted: yes },
            Body::Vote {
                last,
                transfer: yes,
            },
            Body::VoteReply { granted: yes },
            Body::ReadIndex {
                read: ReadId(u64::MAX),
                lease: yes,
            },
            Body::ReadIndexReply {
                read: ReadId(0),
                index: yes.then_some(LogIndex::new(5)),
            },
        ]);
    }
    bodies.extend(answers());
    bodies.extend(contents());
    bodies
}

/// What a leader says of forwarded commands.
fn answers() -> impl Iterator<Item = Body> {
    let refused = [
        None,
        Some(Rejection::NotLeader(None)),
        Some(Rejection::NotLeader(Some(NodeId::new(u64::MAX)))),
        Some(Rejection::Overloaded),
        Some(Rejection::TooLarge {
            bytes: 2,
            bytes_max: 1,
        }),
        Some(Rejection::Transferring(NodeId::new(2))),
    ];
    refused.into_iter().map(|refused| Body::ProposeReply {
        forward: ForwardId(u64::MAX),
        first: LogIndex::new(6),
        count: u32::MAX,
        refused,
    })
}

/// What carries entries and commands, or could.
fn contents() -> [Body; 4] {
    let membership = Payload::membership(membership()).expect("a small membership");
    let sealed = [
        Sealed::new(Payload::Blank),
        Sealed::command(""),
        Sealed::command("x"),
        Sealed::new(membership),
        Sealed::command(payload(100_000)),
    ];
    let mut link = ChainLink::ORIGIN;
    let entries = sealed.map(|sealed| {
        let entry = entry(link, sealed);
        link = entry.link();
        entry
    });
    let append = |previous, entries| Body::Append {
        previous,
        entries,
        commit: LogIndex::new(u64::MAX),
    };
    let commands = ["first", "", "third"].map(Sealed::command);
    [
        append(LogId::new(Term::new(3), LogIndex::new(8)), Vec::new()),
        append(LogId::ORIGIN, entries.to_vec()),
        Body::Propose {
            forward: ForwardId(1),
            commands: commands.to_vec(),
        },
        propose(100_000),
    ]
}

fn entry(previous: ChainLink, sealed: Sealed) -> Entry {
    let time = ClusterTime::from_micros(1 << 50);
    Entry::new(previous, Term::new(1), time, sealed)
}

/// The membership as a snapshot holds it.
pub(super) fn shared_membership() -> Arc<Membership> {
    Arc::new(membership())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A new kind does not compile here until it has a number, and fails until it has a body.
    fn number(body: &Body) -> usize {
        match body {
            Body::PreVote { .. } => 0,
            Body::PreVoteReply { .. } => 1,
            Body::Vote { .. } => 2,
            Body::VoteReply { .. } => 3,
            Body::Append { .. } => 4,
            Body::AppendAccepted { .. } => 5,
            Body::AppendRejected { .. } => 6,
            Body::Heartbeat { .. } => 7,
            Body::HeartbeatReply { .. } => 8,
            Body::SnapshotInstalled { .. } => 9,
            Body::TimeoutNow => 10,
            Body::ReadIndex { .. } => 11,
            Body::ReadIndexReply { .. } => 12,
            Body::Propose { .. } => 13,
            Body::ProposeReply { .. } => 14,
        }
    }

    #[test]
    fn every_kind_of_body_is_there() {
        let kinds: BTreeSet<usize> = bodies().iter().map(number).collect();
        assert_eq!(kinds, (0..15).collect());
    }

    #[test]
    fn a_payload_has_the_size_that_was_asked_for() {
        for bytes in [0, 1, 8, 100_003] {
            assert_eq!(payload(bytes).len(), bytes);
        }
    }
}
