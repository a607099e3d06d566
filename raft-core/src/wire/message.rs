//! Messages as frames. The form on the wire is its own type, so that the words of the protocol can
//! change without changing the format.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, FrameError, FrameKind};
use super::out::{OutBuffer, Tail};
use crate::entry::{self, Entry, Sealed};
use crate::id::{Incarnation, LogId, LogIndex, NodeId, Term};
use crate::message::{Body, ForwardId, Message, ReadId, Rejection, Round};

/// The control part of a message. The group is in the frame's header, the entries in its tail.
#[derive(Serialize, Deserialize)]
struct Control {
    from: NodeId,
    incarnation: Incarnation,
    to: NodeId,
    term: Term,
    body: ControlBody,
}

/// [`Body`] without entries. The order of the variants is part of the format: add at the end.
#[derive(Clone, Serialize, Deserialize)]
enum ControlBody {
    PreVote {
        last: LogId,
    },
    PreVoteReply {
        granted: bool,
    },
    Vote {
        last: LogId,
        transfer: bool,
    },
    VoteReply {
        granted: bool,
    },
    Append {
        previous: LogId,
        commit: LogIndex,
        entries: u32,
    },
    AppendAccepted {
        matched: LogIndex,
    },
    AppendRejected {
        previous: LogIndex,
        hint: LogId,
    },
    Heartbeat {
        round: u64,
        commit: LogIndex,
    },
    HeartbeatReply {
        round: u64,
        verified: LogIndex,
        supersedes: Option<Incarnation>,
    },
    SnapshotInstalled {
        through: LogIndex,
    },
    TimeoutNow,
    ReadIndex {
        read: u64,
        lease: bool,
    },
    ReadIndexReply {
        read: u64,
        index: Option<LogIndex>,
    },
    Propose {
        forward: u64,
        /// Length and checksum of each; the tail holds their bytes.
        commands: Vec<(u32, u32)>,
    },
    ProposeReply {
        forward: u64,
        first: LogIndex,
        count: u32,
        refused: Option<Rejection>,
    },
}

impl OutBuffer {
    /// Appends a message. The payloads of large entries are shared, not copied.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] if the entries take 4 GiB or more. The buffer is then unchanged.
    pub fn put_message(&mut self, message: &Message) -> Result<(), FrameError> {
        let control = Control {
            from: message.from,
            incarnation: message.incarnation,
            to: message.to,
            term: message.term,
            body: control_body(&message.body),
        };
        let tail = match &message.body {
            Body::Append { entries, .. } => Tail::Entries(entries),
            Body::Propose { commands, .. } => Tail::Commands(commands),
            _ => Tail::Nothing,
        };
        let kind = (FrameKind::Message, message.group);
        self.put_value(kind, "message", &control, &tail)
    }
}

impl Frame {
    /// The message that the frame holds, every entry verified. Payloads share the frame's memory.
    ///
    /// That the entries follow each other, and that the terms make sense, is for the core to judge.
    ///
    /// # Errors
    /// [`FrameError`] if it holds none, or a damaged one.
    pub fn message(&self) -> Result<Message, FrameError> {
        let control: Control = self.control_as(FrameKind::Message, "message")?;
        let body = match control.body {
            ControlBody::Append {
                previous,
                commit,
                entries,
            } => Body::Append {
                previous,
                entries: split_entries(&self.tail(), entries as usize)?,
                commit,
            },
            ControlBody::Propose { forward, commands } => Body::Propose {
                forward: ForwardId(forward),
                commands: split_commands(&self.tail(), &commands)?,
            },
            other => {
                self.expect_no_tail()?;
                plain_body(&other)
            }
        };
        Ok(Message {
            group: self.group(),
            from: control.from,
            incarnation: control.incarnation,
            to: control.to,
            term: control.term,
            body,
        })
    }
}

/// Cuts `count` records out of the tail, which they must fill.
fn split_entries(tail: &Bytes, count: usize) -> Result<Vec<Entry>, FrameError> {
    let least = count.saturating_mul(entry::HEADER_BYTES);
    if least > tail.len() {
        return Err(FrameError::Tail {
            have: tail.len(),
            need: least,
        });
    }
    let mut entries = Vec::with_capacity(count);
    let mut rest = tail.clone();
    for _ in 0..count {
        entries.push(Entry::take(&mut rest)?);
    }
    match rest.len() {
        0 => Ok(entries),
        left => Err(FrameError::Tail {
            have: tail.len(),
            need: tail.len() - left,
        }),
    }
}

/// Cuts the commands out of the tail, which they must fill.
fn split_commands(tail: &Bytes, parts: &[(u32, u32)]) -> Result<Vec<Sealed>, FrameError> {
    let need = parts.iter().map(|(length, _)| *length as usize).sum();
    if need != tail.len() {
        let have = tail.len();
        return Err(FrameError::Tail { have, need });
    }
    let mut rest = tail.clone();
    let mut commands = Vec::with_capacity(parts.len());
    for (length, expected) in parts {
        let bytes = rest.split_to(*length as usize);
        let command = Sealed::from_parts(bytes, *expected);
        let expected = *expected;
        commands.push(command.map_err(|found| FrameError::Damaged { found, expected })?);
    }
    Ok(commands)
}

/// What the control part says of a command. One of 4 GiB does not fit into a tail, which the frame's
/// own bound refuses.
fn part(command: &Sealed) -> (u32, u32) {
    let length = u32::try_from(command.len()).unwrap_or(u32::MAX);
    (length, command.check())
}

fn control_body(body: &Body) -> ControlBody {
    match *body {
        Body::PreVote { last } => ControlBody::PreVote { last },
        Body::PreVoteReply { granted } => ControlBody::PreVoteReply { granted },
        Body::Vote { last, transfer } => ControlBody::Vote { last, transfer },
        Body::VoteReply { granted } => ControlBody::VoteReply { granted },
        Body::Append {
            previous,
            ref entries,
            commit,
        } => ControlBody::Append {
            previous,
            commit,
            // As many entries do not fit into a tail, which the frame's own bound refuses.
            entries: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        },
        Body::AppendAccepted { matched } => ControlBody::AppendAccepted { matched },
        Body::AppendRejected { previous, hint } => ControlBody::AppendRejected { previous, hint },
        Body::Heartbeat { round, commit } => ControlBody::Heartbeat {
            round: round.0,
            commit,
        },
        Body::HeartbeatReply {
            round,
            verified,
            supersedes,
        } => ControlBody::HeartbeatReply {
            round: round.0,
            verified,
            supersedes,
        },
        Body::SnapshotInstalled { through } => ControlBody::SnapshotInstalled { through },
        Body::TimeoutNow => ControlBody::TimeoutNow,
        Body::ReadIndex { read, lease } => ControlBody::ReadIndex {
            read: read.0,
            lease,
        },
        Body::ReadIndexReply { read, index } => ControlBody::ReadIndexReply {
            read: read.0,
            index,
        },
        Body::Propose {
            forward,
            ref commands,
        } => ControlBody::Propose {
            forward: forward.0,
            commands: commands.iter().map(part).collect(),
        },
        Body::ProposeReply {
            forward,
            first,
            count,
            refused,
        } => ControlBody::ProposeReply {
            forward: forward.0,
            first,
            count,
            refused,
        },
    }
}

fn plain_body(body: &ControlBody) -> Body {
    match *body {
        ControlBody::PreVote { last } => Body::PreVote { last },
        ControlBody::PreVoteReply { granted } => Body::PreVoteReply { granted },
        ControlBody::Vote { last, transfer } => Body::Vote { last, transfer },
        ControlBody::VoteReply { granted } => Body::VoteReply { granted },
        ControlBody::Append {
            previous, commit, ..
        } => Body::Append {
            previous,
            entries: Vec::new(),
            commit,
        },
        ControlBody::AppendAccepted { matched } => Body::AppendAccepted { matched },
        ControlBody::AppendRejected { previous, hint } => Body::AppendRejected { previous, hint },
        ControlBody::Heartbeat { round, commit } => Body::Heartbeat {
            round: Round(round),
            commit,
        },
        ControlBody::HeartbeatReply {
            round,
            verified,
            supersedes,
        } => Body::HeartbeatReply {
            round: Round(round),
            verified,
            supersedes,
        },
        ControlBody::SnapshotInstalled { through } => Body::SnapshotInstalled { through },
        ControlBody::TimeoutNow => Body::TimeoutNow,
        ControlBody::ReadIndex { read, lease } => Body::ReadIndex {
            read: ReadId(read),
            lease,
        },
        ControlBody::ReadIndexReply { read, index } => Body::ReadIndexReply {
            read: ReadId(read),
            index,
        },
        ControlBody::Propose { forward, .. } => Body::Propose {
            forward: ForwardId(forward),
            commands: Vec::new(),
        },
        ControlBody::ProposeReply {
            forward,
            first,
            count,
            refused,
        } => Body::ProposeReply {
            forward: ForwardId(forward),
            first,
            count,
            refused,
        },
    }
}
