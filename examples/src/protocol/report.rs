//! What a node says of itself, for people (`kv status`) and programs (`--json`).

use serde::{Deserialize, Serialize};

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The cluster's name.
    pub cluster: String,
    /// The node.
    pub id: u64,
    /// Its role: follower, pre-candidate, candidate or leader.
    pub role: String,
    /// What was damaged, while it is being repaired.
    pub repairing: Option<String>,
    /// Its term.
    pub term: u64,
    /// The leader that it knows.
    pub leader: Option<u64>,
    /// The last entry of its log.
    pub last: u64,
    /// What of its log is on its disk.
    pub durable: u64,
    /// The last entry it knows to be committed.
    pub committed: u64,
    /// The last entry its state machine has applied.
    pub applied: u64,
    /// The last entry its newest snapshot contains.
    pub snapshot: Option<u64>,
    /// The last entry that its log no longer has.
    pub purged: u64,
    /// How many keys it has.
    pub keys: u64,
    /// Senseless messages that it dropped.
    pub dropped: u64,
    /// Everyone it knows, itself included.
    pub members: Vec<MemberReport>,
}

/// One member, as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// The member.
    pub id: u64,
    /// Where other nodes reach it.
    pub raft: String,
    /// Where clients reach it, if that is known.
    pub clients: Option<String>,
    /// Whether it votes; otherwise it only learns.
    pub voter: bool,
    /// What the leader knows to be on its disk; only a leader knows.
    pub matched: Option<u64>,
    /// How the leader feeds it: probe, replicate or snapshot.
    pub state: Option<String>,
}

/// The digest of a node's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestReport {
    /// The node.
    pub id: u64,
    /// The last command contained.
    pub applied: u64,
    /// How many keys there are.
    pub keys: u64,
    /// XXH3, 128 bits, as hexadecimal digits.
    pub digest: String,
}
