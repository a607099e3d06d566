//! What a node says about itself, and what it can be asked to read.

use crate::consensus::RaftStatus;
use crate::hard_state::Identity;
use crate::id::LogIndex;

/// One consistent view of a node, taken between two steps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Whose data the node keeps.
    pub identity: Identity,
    /// The protocol's view.
    pub raft: RaftStatus,
    /// What the node has done since it started.
    pub counters: Counters,
    /// Proposals in the log that wait to be applied.
    pub proposals_waiting: usize,
}

/// Counts since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// How often the event loop woke up.
    pub wake_ups: u64,
    /// Events that the core was given.
    pub steps: u64,
    /// Messages given to the transport.
    pub messages_sent: u64,
    /// Writes to the log or the stable store that the core asked for.
    pub writes: u64,
    /// How often the log was synced; many writes may share one.
    pub log_syncs: u64,
    /// Entries that the state machine was given.
    pub entries_applied: u64,
    /// Proposals that were put into the log.
    pub proposals_accepted: u64,
    /// Proposals that were refused.
    pub proposals_refused: u64,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadMode {
    /// It sees every write that was acknowledged before the read began, by whichever node (read
    /// index, thesis §6.4). Costs one round of messages, shared by all reads that wait together.
    #[default]
    Linearizable,
    /// As [`ReadMode::Linearizable`], and on a leader that a quorum has answered lately without any
    /// message, if [`crate::config::Config::lease_reads`] is on. It then trusts the clocks of the
    /// group not to drift more than is configured, and to go on while the machine sleeps (thesis
    /// §6.4.1). Everywhere else it is a linearizable read.
    Lease,
    /// It sees everything through this index, for instance that of a write whose acknowledgement
    /// the reader knows of. Costs no message, and may wait.
    AtLeast(LogIndex),
    /// It sees what this node has applied, however old that is. Costs nothing.
    Local,
}
