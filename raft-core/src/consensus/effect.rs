//! What the core wants done.

use std::sync::Arc;
use std::time::Duration;

use super::event::{IndexRange, Reader, Sequence};
use crate::change::ChangeError;
use crate::entry::Entry;
use crate::hard_state::HardState;
use crate::id::{ChainLink, Incarnation, LogId, LogIndex, NodeId, Term};
use crate::membership::Membership;
use crate::message::{ForwardId, Message, ReadId};
use crate::snapshot::SnapshotMeta;

/// An output of [`super::Raft::step`]: each may be executed the moment it is seen (RULE 1).
#[derive(Clone, Debug)]
pub enum Effect {
    /// Do this, in order with the other writes, make it durable, then report
    /// [`super::Event::Persisted`]. Writes that wait together may be made durable together.
    Persist(Write),
    /// Send this message.
    Send(Message),
    /// Open the newest snapshot and stream it to `to`; then report
    /// [`super::Event::SnapshotSent`], [`super::Event::SnapshotNotSent`], or, if it cannot be read,
    /// [`super::Event::SnapshotUnreadable`].
    SendSnapshot {
        /// The receiver.
        to: NodeId,
        /// Our term.
        term: Term,
        /// It must reach this index, for the log begins after it.
        reaches: LogIndex,
    },
    /// Read entries from the log store; then report [`super::Event::Fetched`] or
    /// [`super::Event::FetchPurged`].
    Fetch {
        /// Who wants them.
        reader: Reader,
        /// Which.
        range: IndexRange,
        /// About how many bytes of records; at least one entry.
        bytes_max: usize,
    },
    /// Give these committed entries to the state machine, after everything given before; then
    /// report [`super::Event::Applied`].
    Apply(Vec<Entry>),
    /// Replace the state machine's state by this snapshot from our store, in order with
    /// [`Effect::Apply`]; then report [`super::Event::Applied`] with its last index.
    Restore(SnapshotMeta),
    /// Take a snapshot of the state machine once it has applied what it was given; then report
    /// [`super::Event::SnapshotTaken`] or [`super::Event::SnapshotNotTaken`].
    TakeSnapshot,
    /// The next proposals of this step, as many as there are indexes, became these entries.
    Accepted {
        /// The leader's term.
        term: Term,
        /// Their indexes.
        indexes: IndexRange,
    },
    /// The next `count` proposals of this step are in no log, and never will be.
    Refused {
        /// How many.
        count: usize,
        /// Why.
        reason: Refusal,
    },
    /// The next `count` proposals of this step are on their way to the leader. Ends with
    /// [`Effect::ForwardAnswered`] or [`Effect::ForwardLost`].
    Forwarded {
        /// Names them from here on.
        forward: ForwardId,
        /// How many.
        count: usize,
    },
    /// The leader of `term` has appended the first of the forwarded proposals, as many as there are
    /// indexes, and refused the others: those are in no log, and never will be. If an entry of
    /// another term is applied at such an index, or before it one of a later term, then this
    /// proposal never will be either.
    ForwardAnswered {
        /// Which proposals.
        forward: ForwardId,
        /// The term of their entries.
        term: Term,
        /// Their indexes.
        indexes: IndexRange,
        /// Why not all of them.
        refused: Option<Refusal>,
    },
    /// No answer came for two election timeouts. The proposals may be in the log, or not.
    ForwardLost {
        /// Which proposals.
        forward: ForwardId,
    },
    /// These reads may be served: the state machine has applied through `index`, which is at least
    /// what was committed when they were asked for.
    ReadReady {
        /// Which reads.
        reads: Vec<ReadId>,
        /// Everything through here has been applied.
        index: LogIndex,
    },
    /// These reads cannot be served here and now.
    ReadFailed {
        /// Which reads.
        reads: Vec<ReadId>,
        /// Why.
        reason: Refusal,
    },
    /// We no longer lead `term`. Entries that were accepted in it and not yet applied may still
    /// commit, or not.
    LeadershipLost {
        /// The term that we led.
        term: Term,
    },
    /// Role, term or known leader changed.
    StatusChanged(Standing),
    /// Another membership is in force, from its append on (or again, after a truncation).
    MembershipChanged {
        /// The entry that holds it.
        at: LogId,
        /// The membership.
        membership: Arc<Membership>,
    },
    /// The requested change of membership has begun with the entry of this id, and the group will
    /// be driven to its goal, by this leader or another; or nothing was changed.
    ChangeAnswered(Result<LogId, ChangeRefusal>),
    /// The membership of this entry is committed here, by the leader, and leads to no other.
    MembershipSettled {
        /// The entry.
        at: LogId,
    },
    /// The transfer of leadership has ended: this node leads now, or why none does that was
    /// meant to.
    TransferEnded(Result<NodeId, TransferError>),
    /// In the group, another life of this node has its vote: it was started with empty stores under
    /// the name of a member. It keeps silent in elections, and counts for nothing, until it is
    /// removed and added again. Said once, when the whole committed log is here.
    Displaced {
        /// The life that votes.
        by: Incarnation,
    },
    /// The stores of this node were damaged and have begun anew, and it has heard a leader, from which
    /// it gets what it lost. It keeps silent in elections meanwhile. Said once.
    Repairing {
        /// What was found damaged.
        reason: String,
    },
    /// It has all of that, and the group counts this life of it as it did the former one.
    Repaired,
    /// Something that a correct node or network does not do was seen and ignored.
    Dropped(Nonsense),
    /// Continuing would lose data. The node must stop; the core ignores everything from here on.
    Halt(Fault),
}

/// One step of the durability stream. The parts take effect in the order of the fields.
#[derive(Clone, Debug, Default, Hash)]
pub struct Write {
    /// The place in the stream.
    pub sequence: Sequence,
    /// Replace term and vote.
    pub hard_state: Option<HardState>,
    /// Remove the entries at this index and after.
    pub truncate_from: Option<LogIndex>,
    /// Purge the log through this entry ([`crate::store::LogStore::purge_prefix`]).
    pub purge_through: Option<ChainLink>,
    /// Append these entries.
    pub append: Vec<Entry>,
    /// After all that: note that the repair is over ([`crate::FormerLives::is_repaired`]).
    pub repaired: bool,
}

/// Collects the effects of one step, in order.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    queue: Vec<Effect>,
}

/// A node's role, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// Role, term and leader: what changes seldom, and everybody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The role.
    pub role: RoleName,
    /// The term.
    pub term: Term,
    /// The leader of that term, if known.
    pub leader: Option<NodeId>,
}

/// Why a proposal or a read was refused, with nothing done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// We do not lead; this node may.
    NotLeader(Option<NodeId>),
    /// Too much is waiting; try again later.
    Overloaded,
    /// The command is larger than [`crate::config::Config::entry_bytes_max`].
    TooLarge {
        /// Bytes of the command.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The leader did not confirm the read within two election timeouts.
    TimedOut,
    /// For two election timeouts no leader confirmed that this node lags no further behind.
    TooStale {
        /// How far it might.
        lag: Duration,
        /// How far it does, at most, if a leader has ever confirmed anything.
        behind: Option<Duration>,
    },
    /// This term is not the one in which the proposal was to be made.
    TermChanged {
        /// In which it was to be made.
        expected: Term,
        /// The term of this node.
        current: Term,
    },
    /// Leadership is being handed over to this node; try again there, or here a little later.
    Transferring(NodeId),
}

/// Why a change of membership was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeRefusal {
    /// This node does not lead.
    #[error("this node does not lead; {}", hint(*.0))]
    NotLeader(Option<NodeId>),
    /// The last change, or the leader's own first entry, is not committed yet, or leadership is
    /// being handed over.
    #[error("the leader cannot change the membership at this moment: try again")]
    NotReady,
    /// The change makes no sense.
    #[error(transparent)]
    Invalid(ChangeError),
    /// The membership would not fit into an entry.
    #[error("the membership would be too large: {0}")]
    TooLarge(String),
}

/// Why leadership did not go where it was meant to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// This node does not lead.
    #[error("this node does not lead; {}", hint(*.0))]
    NotLeader(Option<NodeId>),
    /// The target does not belong to the group.
    #[error("node {0} is no member of the group: name one of its voters")]
    UnknownNode(NodeId),
    /// The target has no vote, so it cannot lead.
    #[error("node {0} has no vote, so it cannot lead: promote it first, or name a voter")]
    NotVoter(NodeId),
    /// It is not written down yet which life of the target votes, or the one that was heard is
    /// another.
    #[error(
        "node {0} has no say yet, or lost it with its disk: wait until the membership tells its \
         incarnation, or remove it and add it again"
    )]
    NotAdmitted(NodeId),
    /// The target leads already.
    #[error("this node leads already")]
    IsLeader,
    /// There is nobody to hand over to.
    #[error("there is no other voter to hand over to")]
    NoOtherVoter,
    /// Another transfer is under way.
    #[error("leadership is being handed over to node {0} already: wait for the outcome")]
    InProgress(NodeId),
    /// The target did not take over within an election timeout. This node leads on.
    #[error("node {0} did not take over in time; this node leads on")]
    TargetNotReady(NodeId),
    /// Somebody else became leader.
    #[error("node {0} became leader instead")]
    OtherLeader(NodeId),
    /// This node leads no more, and no leader is known yet.
    #[error("leadership was given up for node {0}, and no leader is known yet")]
    Unknown(NodeId),
}

fn hint(leader: Option<NodeId>) -> String {
    match leader {
        Some(leader) => format!("ask node {leader}"),
        None => "no leader is known".to_owned(),
    }
}

/// What a peer sent that makes no sense. Counted, never acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nonsense {
    /// A message for another node or group.
    WrongAddressee {
        /// Who sent it.
        from: NodeId,
    },
    /// A term so far ahead that no elections can have led there.
    TermTooFar {
        /// Who sent it.
        from: NodeId,
        /// The term.
        term: Term,
    },
    /// Entries with a gap, a falling term, or a term beyond the message's.
    MalformedEntries {
        /// Who sent them.
        from: NodeId,
    },
    /// Two leaders in one term, or an acknowledgement of what was never sent.
    Impossible {
        /// Who claims it.
        from: NodeId,
        /// What.
        claim: &'static str,
    },
}

/// Why a node must stop: every one names what was found where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The leader's log contradicts an entry that is committed here.
    #[error(
        "the leader of term {term} has entry {theirs} where this node has committed {ours}: one of \
         the two has lost data; stop both and compare their logs"
    )]
    CommittedConflict {
        /// The leader's term.
        term: Term,
        /// The entry that is committed here.
        ours: LogId,
        /// The leader's entry at that index.
        theirs: LogId,
    },
    /// The leader's entry has our predecessor's term and index, and not its checksum.
    #[error(
        "entry {at} differs between this node ({ours:08x}) and its leader {leader} ({theirs:08x}): \
         were the nodes started with different initial memberships, or with another cluster's data?"
    )]
    Divergence {
        /// Where the logs should agree.
        at: LogId,
        /// The leader.
        leader: NodeId,
        /// Our checksum.
        ours: u32,
        /// The leader's.
        theirs: u32,
    },
    /// An entry is to be applied that does not follow what was applied.
    #[error(
        "entry {next} is to be applied, and the state machine has applied everything through {applied}: \
         applied now, its state would be another than that of other members; report this"
    )]
    OutOfOrder {
        /// The entry.
        next: LogId,
        /// The last entry that was applied.
        applied: LogId,
    },
}

impl Effects {
    /// No effects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all effects, in order, and keeps the memory.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.queue.drain(..)
    }

    /// The effects so far.
    pub fn as_slice(&self) -> &[Effect] {
        &self.queue
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.queue.push(effect);
    }

    pub(super) fn insert(&mut self, at: usize, effect: Effect) {
        self.queue.insert(at, effect);
    }
}

impl RoleName {
    /// For people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }
}
