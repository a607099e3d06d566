//! What happens to the core.

use std::ops::Range;
use std::time::Duration;

use super::transfer::To;
use crate::change::MembershipChange;
use crate::entry::{Entry, Sealed};
use crate::id::{LogId, LogIndex, NodeId, Term};
use crate::message::{Message, ReadId};
use crate::snapshot::SnapshotMeta;

/// An input of [`super::Raft::step`]. Events are facts, so their names are past.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time passed; [`super::Raft::deadline`] may be due. Harmless at any other time.
    TimePassed,
    /// A message arrived.
    Received(Message),
    /// Every [`super::Write`] through this sequence is durable.
    Persisted(Sequence),
    /// Commands were proposed here, in this order. Answered in the same step, for the first ones
    /// by [`super::Effect::Accepted`], for the others by [`super::Effect::Refused`].
    Proposed(Vec<Sealed>),
    /// Like [`Event::Proposed`], under conditions. What is forwarded is answered in this step by
    /// [`super::Effect::Forwarded`].
    ProposedUnder(Conditions, Vec<Sealed>),
    /// Linearizable reads were asked for here. Each is answered by
    /// [`super::Effect::ReadReady`] or [`super::Effect::ReadFailed`].
    ReadsRequested(Vec<ReadId>),
    /// Like [`Event::ReadsRequested`], but a leader with a lease answers at once, here or when it
    /// is asked from here.
    LeaseReadsRequested(Vec<ReadId>),
    /// Like [`Event::ReadsRequested`], but what was committed this long ago is enough: answered at
    /// once if this node is known to have applied all of that.
    BoundedReadsRequested(Vec<ReadId>, Duration),
    /// Somebody waits until the state machine has applied through this index, whoever leads.
    /// Answered like [`Event::ReadsRequested`].
    AppliedAwaited(Vec<ReadId>, LogIndex),
    /// The state machine has applied everything through this index.
    Applied(LogIndex),
    /// Entries that [`super::Effect::Fetch`] asked for: from the start of its range on, at least
    /// one, perhaps fewer than the range has.
    Fetched {
        /// Who wanted them.
        reader: Reader,
        /// The start of the range that was asked for.
        from: LogIndex,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// The entries that were to be fetched have been purged meanwhile.
    FetchPurged {
        /// Who wanted them.
        reader: Reader,
    },
    /// A snapshot of our own state machine is durable.
    SnapshotTaken(SnapshotMeta),
    /// No snapshot could be taken; it will be tried again later.
    SnapshotNotTaken,
    /// A snapshot from a leader is durable in our snapshot store.
    SnapshotReceived {
        /// Who sent it.
        from: NodeId,
        /// The sender's term.
        term: Term,
        /// What arrived.
        meta: SnapshotMeta,
    },
    /// The receiver of a snapshot that we send has confirmed more of it.
    SnapshotProgressed {
        /// The receiver.
        to: NodeId,
        /// The term in which it is sent.
        term: Term,
    },
    /// A snapshot that we sent is durable at its receiver.
    SnapshotSent {
        /// The receiver.
        to: NodeId,
        /// The term of [`super::Effect::SendSnapshot`]: what an earlier leadership has sent is news
        /// for nobody.
        term: Term,
        /// The snapshot's last entry.
        last: LogId,
    },
    /// A snapshot could not be sent.
    SnapshotNotSent {
        /// The receiver.
        to: NodeId,
        /// The term of [`super::Effect::SendSnapshot`].
        term: Term,
    },
    /// A snapshot could not be sent because it cannot be read here: it is damaged, or gone.
    SnapshotUnreadable {
        /// The receiver.
        to: NodeId,
        /// The term of [`super::Effect::SendSnapshot`].
        term: Term,
    },
    /// What was sent to this node may be lost.
    Unreachable(NodeId),
    /// The group is to become another one. Answered in the same step by
    /// [`super::Effect::ChangeAnswered`].
    ChangeRequested(MembershipChange),
    /// Another node is to lead. Ends with [`super::Effect::TransferEnded`].
    TransferRequested(To),
    /// An operator, or a test, wants an election now.
    CampaignRequested,
}

/// Under what conditions commands are proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Only in this term; in another they are refused.
    pub expected_term: Option<Term>,
    /// Where this node does not lead, they are sent to its leader.
    pub forward: bool,
}

/// Numbers the writes of the one durability stream. Cumulative: a sequence stands for all before
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Who wants entries that are no longer in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reader {
    /// The state machine.
    StateMachine,
    /// A follower that lags.
    Peer(NodeId),
}

/// A range of indexes, half open.
pub type IndexRange = Range<LogIndex>;
