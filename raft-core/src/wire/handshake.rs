//! Who speaks to whom: the first frame of either side, and the refusal.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::frame::{Frame, FrameError, FrameKind, FrameLimits};
use super::out::{OutBuffer, Tail};
use crate::codec;
use crate::hard_state::Identity;
use crate::id::{ClusterId, GroupId, Incarnation, NodeId, RecoveryEpoch};

/// The oldest protocol that this build speaks.
pub const PROTOCOL_MIN: u16 = 1;
/// The newest protocol that this build speaks.
pub const PROTOCOL_MAX: u16 = 1;

/// Before the handshake is done, no frame may be larger: strangers get no memory.
pub const HANDSHAKE_LIMITS: FrameLimits = FrameLimits {
    control_bytes_max: 1024,
    tail_bytes_max: 0,
};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Lane {
    /// Heartbeats, votes and replies.
    Control = 0,
    /// Entries.
    Bulk = 1,
    /// One snapshot.
    Snapshot = 2,
}

/// A node introduces itself. The dialer speaks first; the acceptor answers with its own hello, or
/// with a [`Refusal`]. A dialer that does not like the answer sends a refusal too, so that both
/// ends know why the connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest protocol that the speaker knows.
    pub protocol_min: u16,
    /// The newest.
    pub protocol_max: u16,
    /// What the connection is for.
    pub lane: Lane,
    /// Who speaks.
    pub from: Identity,
    /// Whom the speaker believes to be at the other end.
    pub to: NodeId,
    /// Where the speaker is reached, for a receiver that knows no membership yet. Empty if it does
    /// not say; at most [`Hello::ADDRESS_BYTES_MAX`] bytes.
    pub address: String,
}

/// Why a connection ends, told to the other end before it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For counting.
    pub reason: RefusalReason,
    /// For people. One line, at most 256 bytes, without control characters.
    pub text: String,
}

/// The reasons of a [`Refusal`]. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusalReason {
    /// What came is no frame of this protocol.
    WrongMagic,
    /// The ranges of protocols do not overlap, or the frame's layout is unknown.
    UnsupportedProtocol,
    /// The other end belongs to another cluster.
    WrongCluster,
    /// The other end belongs to a group that is not here.
    WrongGroup,
    /// The node at this address is not the one that was meant.
    WrongNode,
    /// The caller has this node's own name.
    SameNode,
    /// A frame is over the limit.
    TooLarge,
    /// A frame is damaged, not expected, or does not make sense.
    Malformed,
    /// The other end took too long.
    TimedOut,
    /// There are too many connections.
    TooManyConnections,
    /// The other end belongs to another recovery of the group.
    WrongEpoch,
    /// Certificates were read anew: call again, to be judged by what counts now.
    Renewed,
    /// A reason of a newer build.
    Other(u16),
}

/// The part of a hello that no version changes. The length of the address follows as one byte, then
/// the address. A newer build may append to it.
#[derive(Serialize, Deserialize)]
struct HelloControl {
    protocol_min: u16,
    protocol_max: u16,
    lane: u8,
    cluster: ClusterId,
    node: NodeId,
    incarnation: Incarnation,
    to: NodeId,
    epoch: RecoveryEpoch,
}

const HELLO_BYTES: usize = 2 + 2 + 1 + 16 + 8 + 8 + 8 + 8;
const TEXT_BYTES_MAX: usize = 256;

impl Hello {
    /// No address may be longer.
    pub const ADDRESS_BYTES_MAX: usize = u8::MAX as usize;

    /// What `local` says when it dials `to`, or answers it.
    pub fn new(local: Identity, to: NodeId, lane: Lane) -> Self {
        Self {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            lane,
            from: local,
            to,
            address: String::new(),
        }
    }

    /// The same, and says where the speaker is reached. A longer address than may be is left out.
    #[must_use]
    pub fn reached_at(self, address: &str) -> Self {
        let fits = address.len() <= Self::ADDRESS_BYTES_MAX;
        let address = if fits {
            address.to_owned()
        } else {
            String::new()
        };
        Self { address, ..self }
    }

    /// The acceptor's judgement of a dialer's hello: the answer.
    ///
    /// # Errors
    /// The [`Refusal`] to send instead.
    pub fn answer(&self, local: Identity) -> Result<Self, Refusal> {
        self.check(local)?;
        if self.from.node == local.node {
            let text = format!("the caller says that it is node {}, as I am", local.node);
            return Err(Refusal::new(RefusalReason::SameNode, &text));
        }
        Ok(Self::new(local, self.from.node, self.lane))
    }

    /// The dialer's judgement of the answer to its own hello: the protocol to speak.
    ///
    /// # Errors
    /// The [`Refusal`] to send before closing.
    pub fn confirm(&self, answer: &Self) -> Result<u16, Refusal> {
        answer.check(self.from)?;
        if answer.from.node != self.to {
            let (meant, found) = (self.to, answer.from.node);
            let text = format!("node {meant} was called, node {found} answered");
            return Err(Refusal::new(RefusalReason::WrongNode, &text));
        }
        if answer.lane != self.lane {
            let text = "the answer is for another lane";
            return Err(Refusal::new(RefusalReason::Malformed, text));
        }
        Ok(self.protocol_max.min(answer.protocol_max))
    }

    /// What both sides ask of a hello that `local` received.
    fn check(&self, local: Identity) -> Result<(), Refusal> {
        let refuse = |reason, text: String| Err(Refusal::new(reason, &text));
        let theirs = self.from;
        if self.protocol_min > PROTOCOL_MAX || self.protocol_max < PROTOCOL_MIN {
            let text = format!(
                "node {} speaks protocols {} to {}, node {} speaks {PROTOCOL_MIN} to {PROTOCOL_MAX}",
                theirs.node, self.protocol_min, self.protocol_max, local.node
            );
            return refuse(RefusalReason::UnsupportedProtocol, text);
        }
        if theirs.cluster != local.cluster {
            let text = format!(
                "node {} is of cluster {}, node {} of cluster {}",
                theirs.node, theirs.cluster, local.node, local.cluster
            );
            return refuse(RefusalReason::WrongCluster, text);
        }
        if theirs.group != local.group {
            let text = format!(
                "node {} serves group {}, node {} group {}",
                theirs.node, theirs.group, local.node, local.group
            );
            return refuse(RefusalReason::WrongGroup, text);
        }
        if theirs.epoch != local.epoch {
            let text = format!(
                "node {} is of recovery epoch {}, node {} of {}: the group was recovered without the \
                 one that is behind, which comes back as a new member with empty stores",
                theirs.node, theirs.epoch, local.node, local.epoch
            );
            return refuse(RefusalReason::WrongEpoch, text);
        }
        if self.to != local.node {
            let text = format!("node {} was called, this is node {}", self.to, local.node);
            return refuse(RefusalReason::WrongNode, text);
        }
        Ok(())
    }
}

impl Refusal {
    /// A refusal whose text is made safe to print, and cut to 256 bytes.
    pub fn new(reason: RefusalReason, text: &str) -> Self {
        Self {
            reason,
            text: printable(text),
        }
    }

    /// How a frame that cannot be read is refused.
    pub fn of_frame(error: &FrameError) -> Self {
        let reason = match error {
            FrameError::Magic { .. } => RefusalReason::WrongMagic,
            FrameError::Version { .. } => RefusalReason::UnsupportedProtocol,
            FrameError::TooLarge { .. } => RefusalReason::TooLarge,
            FrameError::Kind { .. }
            | FrameError::Flags { .. }
            | FrameError::Lane { .. }
            | FrameError::Address
            | FrameError::Damaged { .. }
            | FrameError::Control(_)
            | FrameError::Record(_)
            | FrameError::Tail { .. } => RefusalReason::Malformed,
        };
        Self::new(reason, &error.to_string())
    }
}

impl RefusalReason {
    const KNOWN: [(Self, u16, &'static str); 12] = [
        (Self::WrongMagic, 1, "wrong magic"),
        (Self::UnsupportedProtocol, 2, "unsupported protocol"),
        (Self::WrongCluster, 3, "wrong cluster"),
        (Self::WrongGroup, 4, "wrong group"),
        (Self::WrongNode, 5, "wrong node"),
        (Self::SameNode, 6, "same node"),
        (Self::TooLarge, 7, "too large"),
        (Self::Malformed, 8, "malformed"),
        (Self::TimedOut, 9, "timed out"),
        (Self::TooManyConnections, 10, "too many connections"),
        (Self::WrongEpoch, 11, "wrong recovery epoch"),
        (Self::Renewed, 12, "renewed"),
    ];

    /// The number on the wire.
    pub fn number(self) -> u16 {
        match (self, self.known()) {
            (Self::Other(number), _) => number,
            (_, Some((_, number, _))) => number,
            (_, None) => 0,
        }
    }

    /// A short name, for logs and metrics.
    pub fn name(self) -> &'static str {
        self.known().map_or("other", |(_, _, name)| name)
    }

    fn from_number(number: u16) -> Self {
        let known = Self::KNOWN.into_iter().find(|(_, n, _)| *n == number);
        known.map_or(Self::Other(number), |(reason, _, _)| reason)
    }

    fn known(self) -> Option<(Self, u16, &'static str)> {
        Self::KNOWN
            .into_iter()
            .find(|(reason, _, _)| *reason == self)
    }
}

impl OutBuffer {
    /// Appends a hello.
    pub fn put_hello(&mut self, hello: &Hello) {
        let control = HelloControl {
            protocol_min: hello.protocol_min,
            protocol_max: hello.protocol_max,
            lane: hello.lane as u8,
            cluster: hello.from.cluster,
            node: hello.from.node,
            incarnation: hello.from.incarnation,
            to: hello.to,
            epoch: hello.from.epoch,
        };
        // One that is too long is left out, as a whole.
        let length = u8::try_from(hello.address.len()).unwrap_or(0);
        let group = hello.from.group;
        // Its size is below every limit.
        let _ = self.put(FrameKind::Hello, group, &Tail::Nothing, |open| {
            codec::encode_into("hello", &control, open)?;
            open.extend_from_slice(&[length]);
            if length > 0 {
                open.extend_from_slice(hello.address.as_bytes());
            }
            Ok(())
        });
    }

    /// Appends a refusal.
    pub fn put_refusal(&mut self, group: GroupId, refusal: &Refusal) {
        let number = refusal.reason.number();
        // The text is capped below every limit.
        let _ = self.put(FrameKind::Refusal, group, &Tail::Nothing, |open| {
            open.extend_from_slice(&number.to_le_bytes());
            open.extend_from_slice(refusal.text.as_bytes());
            Ok(())
        });
    }
}

impl Frame {
    /// The hello that the frame holds. What a newer build appended to it is ignored.
    ///
    /// # Errors
    /// [`FrameError`] if it holds none.
    pub fn hello(&self) -> Result<Hello, FrameError> {
        self.expect_kind(FrameKind::Hello)?;
        let control = self.control();
        let (known, rest) = control
            .split_at_checked(HELLO_BYTES)
            .unwrap_or((control, &[]));
        let address = match rest {
            [length, address @ ..] => address.get(..usize::from(*length)),
            [] => Some(rest),
        };
        let address = address.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let address = address.ok_or(FrameError::Address)?;
        let control: HelloControl = codec::decode("hello", known)?;
        let lane = [Lane::Control, Lane::Bulk, Lane::Snapshot]
            .into_iter()
            .find(|lane| *lane as u8 == control.lane)
            .ok_or(FrameError::Lane {
                found: control.lane,
            })?;
        Ok(Hello {
            protocol_min: control.protocol_min,
            protocol_max: control.protocol_max,
            lane,
            from: Identity {
                cluster: control.cluster,
                group: self.group(),
                node: control.node,
                incarnation: control.incarnation,
                epoch: control.epoch,
            },
            to: control.to,
            address: printable(address),
        })
    }

    /// The refusal that the frame holds; its text is safe to print.
    ///
    /// # Errors
    /// [`FrameError`] if it holds none.
    pub fn refusal(&self) -> Result<Refusal, FrameError> {
        self.expect_kind(FrameKind::Refusal)?;
        let (number, text) = match self.control() {
            [low, high, text @ ..] => (u16::from_le_bytes([*low, *high]), text),
            short => (0, short),
        };
        Ok(Refusal::new(
            RefusalReason::from_number(number),
            &String::from_utf8_lossy(text),
        ))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.text)
    }
}

/// Text of a peer as it may be logged: no control characters, and not long.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::new();
    for char in text.chars() {
        let before = safe.len();
        if char.is_ascii_graphic() || char == ' ' {
            safe.push(char);
        } else {
            safe.extend(char.escape_debug());
        }
        if safe.len() > TEXT_BYTES_MAX {
            safe.truncate(before);
            break;
        }
    }
    safe
}
