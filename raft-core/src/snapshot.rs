//! What is known of a snapshot besides its bytes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ChainLink, LogId, Term};
use crate::membership::Membership;
use crate::time::ClusterTime;

/// What a snapshot stands for, known before its first byte is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// The last entry whose effect is contained. The log continues right after it.
    pub last: ChainLink,
    /// The time of that entry.
    pub time: ClusterTime,
    /// The membership in force at that entry, which need not be the current one.
    pub membership: Arc<Membership>,
    /// Where that membership was appended.
    pub membership_at: LogId,
}

/// A finished snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// What it stands for.
    pub header: SnapshotHeader,
    /// The bytes that the state machine wrote.
    pub size: u64,
    /// crc32c of those bytes.
    pub checksum: u32,
}

/// How much of a snapshot's bytes is there, counted from the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// So many bytes.
    pub size: u64,
    /// crc32c of those bytes.
    pub checksum: u32,
}

impl Kept {
    /// Not a byte.
    pub const NOTHING: Self = Self {
        size: 0,
        checksum: 0,
    };

    /// The next bytes are there too.
    pub fn add(&mut self, bytes: &[u8]) {
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        self.size += bytes.len() as u64;
    }

    /// Whether this is all of `meta`, and as announced.
    pub fn is_all_of(self, meta: &SnapshotMeta) -> bool {
        (self.size, self.checksum) == (meta.size, meta.checksum)
    }
}

impl SnapshotMeta {
    /// Whether the leader of `term` can have such a snapshot: it is of entries that are no newer
    /// than the term, and its membership is among them.
    pub fn is_possible_in(&self, term: Term) -> bool {
        let last = self.header.last.id;
        last.term <= term && self.header.membership_at.index <= last.index
    }

    /// The last entry whose effect is contained. Snapshots are named by it.
    pub fn id(&self) -> LogId {
        self.header.last.id
    }
}

impl fmt::Display for SnapshotMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot {} ({} bytes)", self.id(), self.size)
    }
}
