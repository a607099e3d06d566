//! What can go wrong for a caller of a node, and why a node stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::backup::ForeignBackup;
use crate::config::ConfigError;
use crate::consensus::{ChangeRefusal, Fault, RecoveryError, Refusal, TransferError};
use crate::hard_state::Identity;
use crate::id::{LogId, NodeId, Term};
use crate::state_machine::StateMachineError;
use crate::store::StoreError;

/// Why a node has stopped. Final: build a new node to go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to, or every handle was dropped.
    #[error("the node was shut down")]
    Shutdown,
    /// Going on would have lost data.
    #[error("the node stopped to protect its data: {0}")]
    Fault(Fault),
    /// A store failed. Whether the failed operation took effect is unknown (RULE 4).
    #[error("the node stopped because its store failed: {0}")]
    Store(Arc<StoreError>),
    /// The state machine failed or panicked.
    #[error("the node stopped because its state machine failed: {0}")]
    StateMachine(Arc<StateMachineError>),
    /// A part of the node panicked; a store or a transport may have caused it.
    #[error("the node stopped because its {place} panicked: {message}")]
    Panicked {
        /// Which part.
        place: &'static str,
        /// What the panic said.
        message: String,
    },
    /// The runtime that was given to the builder ended before the node did.
    #[error("the node stopped because the runtime it ran on is gone")]
    RuntimeGone,
}

/// Which of two worlds the caller of a failed write is in (RULE 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command is in no log and never will be: propose it again freely.
    NeverApplied,
    /// The command may have been applied, or may be later, or never.
    Unknown,
}

/// Why a command was not applied, as far as is known. See [`ProposeError::outcome`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Another node leads, or none does. Propose there, or again later.
    #[error("this node does not lead{}", hint(.leader))]
    NotLeader {
        /// Who may.
        leader: Option<NodeId>,
    },
    /// Leadership is being handed over to this node. Propose there, or here a little later.
    #[error("leadership is being handed over to node {to}")]
    Transferring {
        /// Who is to lead.
        to: NodeId,
    },
    /// Too much is waiting already. Propose again, later.
    #[error("the node is overloaded: too many proposals wait; propose again a little later")]
    Overloaded,
    /// The command is larger than [`crate::config::Config::entry_bytes_max`].
    #[error(
        "the command has {bytes} bytes, the limit is {bytes_max}: split it, or raise entry_bytes_max on \
         every node"
    )]
    TooLarge {
        /// Bytes of the command.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The node lost its leadership before the command was applied.
    #[error("leadership was lost after entry {appended} was appended; it may still commit")]
    LeadershipLost {
        /// The entry of the command.
        appended: LogId,
    },
    /// The node is not in the term in which the command was to be proposed.
    #[error(
        "the command was to be proposed in term {expected}, and it is term {current}: look again at \
         what it was decided by"
    )]
    TermChanged {
        /// The term that was given.
        expected: Term,
        /// The node's term.
        current: Term,
    },
    /// Another entry stands where the command was, so it never applies.
    #[error("entry {appended} was replaced by another leader's: propose the command again")]
    Overwritten {
        /// The entry that the command had.
        appended: LogId,
    },
    /// The command was sent to the leader, which did not answer.
    #[error("the command was sent to the leader, and no answer came: it may be applied or not")]
    ForwardLost,
    /// The command may have been applied, but not here one by one: a snapshot came in between, or the
    /// leader's answer came too late.
    #[error("entry {appended} may be applied, but its response is not known here")]
    ResponseLost {
        /// The entry of the command.
        appended: LogId,
    },
    /// The deadline passed.
    #[error("the deadline passed before the command was {}", progress(.appended))]
    TimedOut {
        /// The entry of the command, if it was appended: it may still commit.
        appended: Option<LogId>,
    },
    /// The node has stopped, or did so meanwhile.
    #[error("{reason}")]
    Stopped {
        /// Why.
        reason: StopReason,
        /// Whether the command may have been appended.
        outcome: Outcome,
    },
}

/// Why a backup did not become the state, as far as is known. See [`RestoreError::outcome`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Another node leads, or none does. Restore there, or again later.
    #[error("this node does not lead{}", hint(.leader))]
    NotLeader {
        /// Who may.
        leader: Option<NodeId>,
    },
    /// Leadership is being handed over. Restore at the new leader, or here if it stays.
    #[error("leadership is being handed over to node {to}")]
    Transferring {
        /// Who is to lead.
        to: NodeId,
    },
    /// One backup at a time.
    #[error("this node restores another backup at the moment: wait until that has ended")]
    InProgress,
    /// The backup belongs to another cluster.
    #[error(transparent)]
    Foreign(#[from] ForeignBackup),
    /// The backup cannot be read, or is not what its description says.
    #[error("the backup cannot be used: {0}")]
    Data(String),
    /// The state machine could not restore it, as its
    /// [check](crate::state_machine::StateMachine::restore_check) has found out.
    #[error("the state machine cannot restore the backup: {0}; the state stays what it was")]
    Unreadable(String),
    /// Leadership was lost.
    #[error("leadership was lost before the backup {}", ended(.end))]
    LeadershipLost {
        /// The entry that ends the restoration, if it was appended: it may still commit.
        end: Option<LogId>,
    },
    /// The deadline passed.
    #[error("the deadline passed before the backup {}", ended(.end))]
    TimedOut {
        /// The entry that ends the restoration, if it was appended: it may still commit.
        end: Option<LogId>,
    },
    /// The log does not hold all of the backup, in order, in one term.
    #[error("the backup did not get into the log as a whole: {0}")]
    Void(String),
    /// The caller has gone away.
    #[error("the caller waits no more")]
    GivenUp,
    /// The log takes no such entries.
    #[error("the log does not take the backup: {0}")]
    Refused(ProposeError),
    /// The node has stopped, or did so meanwhile.
    #[error("{reason}")]
    Stopped {
        /// Why.
        reason: StopReason,
        /// Whether the entry that ends the restoration may have been appended.
        outcome: Outcome,
    },
}

/// Why a read barrier was not reached. Nothing was changed, so every read may be tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader is known, or it changed meanwhile.
    #[error("no leader confirmed the read{}", hint(.leader))]
    NotLeader {
        /// Who may lead.
        leader: Option<NodeId>,
    },
    /// Too many reads wait already.
    #[error("the node is overloaded: too many reads wait; read again a little later")]
    Overloaded,
    /// The leader did not confirm the read in time.
    #[error("the read was not confirmed in time")]
    TimedOut,
    /// No leader confirmed in time that this node lags no further behind.
    #[error("no leader confirmed that this node lags at most {lag:?} behind; {}", known(.behind))]
    TooStale {
        /// How far it might.
        lag: Duration,
        /// How far it does, at most, if that is known.
        behind: Option<Duration>,
    },
    /// A bounded read that may lag by nothing.
    #[error("a bounded read needs a lag of more than zero: for none, ask for a linearizable one")]
    ZeroLag,
    /// The node has stopped, or did so meanwhile.
    #[error("{0}")]
    Stopped(StopReason),
}

/// Why the group is not known to have become what it was to become.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeMembershipError {
    /// Nothing was changed.
    #[error(transparent)]
    Refused(ChangeRefusal),
    /// The change has begun with this entry, and leadership was lost. If the entry commits, the
    /// next leader goes on with the change: look at the membership there.
    #[error(
        "leadership was lost after the change had begun with entry {begun}; the next leader goes on with it if that commits"
    )]
    LeadershipLost {
        /// The entry it began with.
        begun: LogId,
    },
    /// Somebody gave the change up. Those who had joined already are learners.
    #[error("the change was given up; the membership is that of entry {at}")]
    Aborted {
        /// The membership that is in force.
        at: LogId,
    },
    /// The node has stopped, or did so meanwhile. A change that had begun goes on without it.
    #[error("{0}")]
    Stopped(StopReason),
}

/// Why leadership is not known to have gone where it was meant to.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferLeadershipError {
    /// The transfer failed, or was refused.
    #[error(transparent)]
    Failed(TransferError),
    /// The node has stopped, or did so meanwhile.
    #[error("{0}")]
    Stopped(StopReason),
}

/// Why no snapshot was taken on request.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The state machine has applied nothing yet.
    #[error("there is nothing to take a snapshot of: no entry was applied yet")]
    NothingApplied,
    /// A backup is taking the place of the state, and no snapshot may end in the middle of that. How
    /// long it takes depends on the group.
    #[error("a backup is taking the place of the state: ask again when that has ended")]
    Restoring,
    /// It could not be written. The node goes on; the log still holds everything.
    #[error("the snapshot could not be written: {0}")]
    Failed(String),
    /// The node has stopped, or did so meanwhile.
    #[error("{0}")]
    Stopped(StopReason),
}

/// Why a node did not start. Nothing was lost by trying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// The initial membership does not name the node.
    #[error(
        "node {node} is not in its own initial membership ({membership}): add it, or give no \
         initial membership to a node that joins a running group"
    )]
    NotAMember {
        /// The node.
        node: NodeId,
        /// What was given.
        membership: String,
    },
    /// The stores hold the data of another node, group or cluster.
    #[error(
        "the stores belong to {found}, not to {expected}: give this node its own stores, or start \
         it under the name they belong to"
    )]
    WrongIdentity {
        /// Whose data it is.
        found: Box<Identity>,
        /// Who was to be started.
        expected: Box<Identity>,
    },
    /// The stores hold data and no identity.
    #[error(
        "the stores hold data ({what}) but not whose it is: the identity record is lost; keep them \
         for inspection and bring the node back with empty stores as a new member"
    )]
    NoIdentity {
        /// What they hold.
        what: String,
    },
    /// A store failed, is in use, or is damaged: the error names where.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored parts do not fit together.
    #[error(
        "the stores are damaged: {0}; keep the directory for inspection, and do not start the node on \
         it: bring the node back with an intact copy, or as a new member with an empty directory"
    )]
    Damaged(#[from] RecoveryError),
    /// The state machine has applied an entry that the log does not hold.
    #[error(
        "the state machine has applied entry {machine}, which the log (through {last}) does not \
         hold: the two do not belong together, or the log has lost entries"
    )]
    MachineAhead {
        /// What the machine reports.
        machine: LogId,
        /// The log's last entry.
        last: LogId,
    },
    /// The initial state belongs to another cluster.
    #[error(transparent)]
    ForeignState(#[from] ForeignBackup),
    /// The initial state is not what it was announced to be, or cannot be read.
    #[error("the initial state cannot be used: {0}; make another backup, or begin without it")]
    InitialState(String),
    /// The state machine could not restore the initial state, as its
    /// [check](crate::state_machine::StateMachine::restore_check) has found out.
    #[error(
        "the state machine cannot restore the initial state: {0}; the stores are as empty as before: start \
         with a backup that this kind of machine has written, or without it"
    )]
    UnreadableState(String),
    /// The state machine could not load its snapshot.
    #[error("snapshot {snapshot} could not be restored: {reason}")]
    Restore {
        /// Which snapshot.
        snapshot: LogId,
        /// What the store or the state machine said.
        reason: StopReason,
    },
    /// The state machine failed or panicked when it was told the membership.
    #[error("{0}")]
    StateMachine(StopReason),
    /// The transport could not start: its address may be in use.
    #[error("the transport{} could not start: {source}", at(.address))]
    Transport {
        /// Where it was to listen.
        address: Option<String>,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a thread or a runtime.
    #[error("the node could not start its threads: {0}")]
    Thread(io::Error),
    /// A store, the transport or the state machine panicked meanwhile.
    #[error("the node panicked while it started")]
    Panicked,
}

impl StopReason {
    /// Whether stored data was found damaged: the stores may begin anew
    /// ([`crate::store::BeginningAnew`]), and the node be started again.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_damage())
    }
}

impl StartError {
    /// Whether stored data was found damaged: the stores may begin anew
    /// ([`crate::store::BeginningAnew`]), and the node be started again.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            Self::Damaged(_) | Self::NoIdentity { .. } => true,
            Self::Restore { reason, .. } => reason.is_damage(),
            // Nothing that was stored is in question, or it is another's.
            Self::Config(_)
            | Self::NotAMember { .. }
            | Self::WrongIdentity { .. }
            | Self::MachineAhead { .. }
            | Self::ForeignState(_)
            | Self::InitialState(_)
            | Self::UnreadableState(_)
            | Self::StateMachine(_)
            | Self::Transport { .. }
            | Self::Thread(_)
            | Self::Panicked => false,
        }
    }
}

impl ProposeError {
    /// Whether the command may have been applied, or may be later.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotLeader { .. }
            | Self::Transferring { .. }
            | Self::Overloaded
            | Self::TermChanged { .. }
            | Self::Overwritten { .. }
            | Self::TooLarge { .. } => Outcome::NeverApplied,
            Self::TimedOut { appended: None } => Outcome::NeverApplied,
            Self::TimedOut { appended: Some(_) }
            | Self::LeadershipLost { .. }
            | Self::ForwardLost
            | Self::ResponseLost { .. } => Outcome::Unknown,
            Self::Stopped { outcome, .. } => *outcome,
        }
    }

    /// Whether the same command, proposed again (here later, or at the leader), may be accepted.
    ///
    /// If the [outcome](Self::outcome) is unknown, trying again may apply it twice.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::TermChanged { .. })
    }

    pub(super) fn refused(reason: &Refusal) -> Self {
        match *reason {
            Refusal::NotLeader(leader) => Self::NotLeader { leader },
            Refusal::Overloaded => Self::Overloaded,
            Refusal::TooLarge { bytes, bytes_max } => Self::TooLarge { bytes, bytes_max },
            // Only reads are too stale.
            Refusal::TimedOut | Refusal::TooStale { .. } => Self::TimedOut { appended: None },
            Refusal::Transferring(to) => Self::Transferring { to },
            Refusal::TermChanged { expected, current } => Self::TermChanged { expected, current },
        }
    }
}

impl RestoreError {
    /// Whether the backup may have become the state, or may later.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::LeadershipLost { end: Some(_) } | Self::TimedOut { end: Some(_) } => {
                Outcome::Unknown
            }
            Self::Stopped { outcome, .. } => *outcome,
            Self::NotLeader { .. }
            | Self::Transferring { .. }
            | Self::InProgress
            | Self::Foreign(_)
            | Self::Unreadable(_)
            | Self::Data(_)
            | Self::LeadershipLost { end: None }
            | Self::TimedOut { end: None }
            | Self::Void(_)
            | Self::GivenUp
            | Self::Refused(_) => Outcome::NeverApplied,
        }
    }
}

impl ReadError {
    pub(super) fn refused(reason: &Refusal) -> Self {
        match *reason {
            Refusal::NotLeader(leader) => Self::NotLeader { leader },
            Refusal::Overloaded | Refusal::TooLarge { .. } => Self::Overloaded,
            // Only proposals are bound to a term.
            Refusal::TimedOut | Refusal::TermChanged { .. } => Self::TimedOut,
            Refusal::TooStale { lag, behind } => Self::TooStale { lag, behind },
            Refusal::Transferring(to) => Self::NotLeader { leader: Some(to) },
        }
    }
}

fn hint(leader: &Option<NodeId>) -> String {
    match leader {
        Some(leader) => format!("; node {leader} may"),
        None => "; no leader is known".into(),
    }
}

fn known(behind: &Option<Duration>) -> String {
    match behind {
        Some(behind) => format!("it may be {behind:?} behind"),
        None => "it is not known to have caught up since it started".into(),
    }
}

fn progress(appended: &Option<LogId>) -> String {
    match appended {
        Some(id) => format!("applied; entry {id} may still commit"),
        None => "appended".into(),
    }
}

fn ended(end: &Option<LogId>) -> String {
    match end {
        Some(end) => format!("was applied; entry {end} may still make it the state"),
        None => "was all in the log; the state is what it was".into(),
    }
}

fn at(address: &Option<String>) -> String {
    match address {
        Some(address) => format!(" on {address}"),
        None => String::new(),
    }
}
