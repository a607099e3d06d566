//! What nodes say to each other.
//!
//! Messages may be lost, repeated, delayed and reordered; each makes sense alone. All but
//! [`Body::PreVote`] and a granting [`Body::PreVoteReply`] assert their sender's term.

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Sealed};
use crate::id::{GroupId, Incarnation, LogId, LogIndex, NodeId, Term};

/// One message between two nodes of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The group it belongs to.
    pub group: GroupId,
    /// Who sends it.
    pub from: NodeId,
    /// Which life of the sender: a wiped node is not what it was (RULES 18).
    pub incarnation: Incarnation,
    /// Whom it is for.
    pub to: NodeId,
    /// The sender's term; for a pre-vote and its grant, the term that is asked about.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// Counts a leader's rounds of heartbeats: a reply to round `n` was sent after round `n` was, so it
/// confirms the leadership for whatever was asked before (thesis §6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

/// Names a read barrier at the node where it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Names proposals at the node that forwarded them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId(pub u64);

/// Why a leader did not take forwarded proposals. They are in no log, and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rejection {
    /// It leads no more; this node may.
    NotLeader(Option<NodeId>),
    /// Too much is waiting there.
    Overloaded,
    /// The first of them is larger than it takes.
    TooLarge {
        /// Bytes of the command.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// Leadership is being handed over to this node.
    Transferring(NodeId),
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Would you vote for me in this term? Changes nothing at the receiver (thesis §9.6).
    PreVote {
        /// The candidate's last entry.
        last: LogId,
    },
    /// The answer to [`Body::PreVote`].
    PreVoteReply {
        /// Granted replies carry the term asked about, refusals the receiver's own.
        granted: bool,
    },
    /// Vote for me in this term (thesis §3.4).
    Vote {
        /// The candidate's last entry.
        last: LogId,
        /// The leader itself asked for this election: stickiness does not apply (thesis §4.2.3).
        transfer: bool,
    },
    /// The answer to [`Body::Vote`].
    VoteReply {
        /// Whether the vote, now durable, is the candidate's.
        granted: bool,
    },
    /// Entries, or a probe for where the logs agree (thesis §3.5).
    Append {
        /// The entry right before `entries`.
        previous: LogId,
        /// Contiguous; may be empty.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: LogIndex,
    },
    /// The log equals the leader's through `matched`, durably.
    AppendAccepted {
        /// The last index that the accepted message covered.
        matched: LogIndex,
    },
    /// The entry before `entries` is not there.
    AppendRejected {
        /// The index of `previous` in the refused message.
        previous: LogIndex,
        /// Where the logs may agree: the receiver's last entry that is neither behind
        /// `previous.index` nor of a greater term than `previous.term`.
        hint: LogId,
    },
    /// The leader is alive. Never waits for a disk (RULE 7).
    Heartbeat {
        /// The round.
        round: Round,
        /// The leader's commit index, capped by what the receiver is known to store.
        commit: LogIndex,
    },
    /// The answer to [`Body::Heartbeat`]. Promises nothing about the disk.
    HeartbeatReply {
        /// The round it answers.
        round: Round,
        /// The last index received in this term and found to equal the leader's log; a hint that
        /// tells a lost message from a slow disk.
        verified: LogIndex,
        /// The life of the sender that has its vote, if that is over: its data was damaged, and the
        /// sender has begun anew.
        supersedes: Option<Incarnation>,
    },
    /// A snapshot was installed, durably: the log begins after `last`.
    SnapshotInstalled {
        /// The last entry that the snapshot contains, or the receiver's commit index if that is
        /// already further.
        through: LogIndex,
    },
    /// Become leader without waiting for the election timeout (thesis §3.10).
    TimeoutNow,
    /// At which index may I serve a linearizable read? From a follower (thesis §6.4).
    ReadIndex {
        /// Names the read at the follower.
        read: ReadId,
        /// A leader with a lease may answer at once.
        lease: bool,
    },
    /// The answer to [`Body::ReadIndex`].
    ReadIndexReply {
        /// Which read.
        read: ReadId,
        /// Apply through this index, then serve; `None` if the receiver does not lead.
        index: Option<LogIndex>,
    },
    /// Append these commands, in this order, to the leader of the message's term alone.
    Propose {
        /// Names them at the sender, among all that it forwards.
        forward: ForwardId,
        /// At least one.
        commands: Vec<Sealed>,
    },
    /// The answer to [`Body::Propose`]: the first of the commands are in the log, in the message's
    /// term, and not necessarily on disk.
    ProposeReply {
        /// Which commands.
        forward: ForwardId,
        /// Where the first of them stands.
        first: LogIndex,
        /// How many there are.
        count: u32,
        /// Why the others are in no log, if there are others.
        refused: Option<Rejection>,
    },
}

impl Body {
    /// Whether the message travels on the lane for heartbeats and votes, which nothing large may
    /// use (RULE 7).
    pub fn is_control(&self) -> bool {
        match self {
            Self::Append { entries, .. } => entries.is_empty(),
            Self::Propose { .. } => false,
            Self::PreVote { .. }
            | Self::PreVoteReply { .. }
            | Self::Vote { .. }
            | Self::VoteReply { .. }
            | Self::AppendAccepted { .. }
            | Self::AppendRejected { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::SnapshotInstalled { .. }
            | Self::TimeoutNow
            | Self::ReadIndex { .. }
            | Self::ReadIndexReply { .. }
            | Self::ProposeReply { .. } => true,
        }
    }

    /// A name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PreVote { .. } => "pre-vote",
            Self::PreVoteReply { .. } => "pre-vote reply",
            Self::Vote { .. } => "vote",
            Self::VoteReply { .. } => "vote reply",
            Self::Append { .. } => "append",
            Self::AppendAccepted { .. } => "append accepted",
            Self::AppendRejected { .. } => "append rejected",
            Self::Heartbeat { .. } => "heartbeat",
            Self::HeartbeatReply { .. } => "heartbeat reply",
            Self::SnapshotInstalled { .. } => "snapshot installed",
            Self::TimeoutNow => "timeout now",
            Self::ReadIndex { .. } => "read index",
            Self::ReadIndexReply { .. } => "read index reply",
            Self::Propose { .. } => "propose",
            Self::ProposeReply { .. } => "propose reply",
        }
    }
}

/// What a message counts for besides its entries.
pub const MESSAGE_BYTES: usize = 128;

impl Message {
    /// Bytes that the message takes in memory and, about, on the wire. What queues count.
    pub fn bytes(&self) -> usize {
        const FIXED_COMMAND: usize = 8;
        match &self.body {
            Body::Append { entries, .. } => {
                MESSAGE_BYTES + entries.iter().map(Entry::record_bytes).sum::<usize>()
            }
            Body::Propose { commands, .. } => {
                let each = |command: &Sealed| FIXED_COMMAND + command.len();
                MESSAGE_BYTES + commands.iter().map(each).sum::<usize>()
            }
            _ => MESSAGE_BYTES,
        }
    }
}
