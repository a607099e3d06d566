//! What a node says about itself, and what it can be asked to read.

use std::time::Duration;

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
    /// Proposals that were sent on to the leader.
    pub proposals_forwarded: u64,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadMode {
    /// It sees every write that was acknowledged before the read began, by whichever node (read
    /// index, thesis §6.4). Costs one round of messages, shared by all reads that wait together.
    #[default]
    Linearizable,
    /// As [`ReadMode::Linearizable`], but without a round of messages if
    /// [`crate::config::Config::lease_reads`] is on and the leader was answered by a quorum lately.
    /// The leader then answers at once, and any other member after it has asked the leader. It
    /// trusts the clocks of the group not to drift more than is configured, and to go on while the
    /// machine sleeps (thesis §6.4.1). Without a lease it is a linearizable read.
    Lease,
    /// It sees every write that was acknowledged at least `lag` before the read began, by whichever
    /// node. Costs nothing while a linearizable read, or a bounded one that had to ask the leader,
    /// began here less than `lag` ago; so each member asks once for all its reads within `lag`. It
    /// trusts no clock but that this node's goes on. Where no leader answers for two election
    /// timeouts, it fails and says how far this node may be behind.
    Bounded {
        /// More than zero.
        lag: Duration,
    },
    /// It sees everything through this index, for instance that of a write whose acknowledgement
    /// the reader knows of. Costs no message, and may wait.
    AtLeast(LogIndex),
    /// It sees what this node has applied, however old that is. Costs nothing.
    Local,
}
