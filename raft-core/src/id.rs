//! The numbers of the protocol, each a type of its own, so that none can be passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a node within its cluster. Never reused for another machine (see [`Incarnation`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(u64);

/// Names one Raft group of the many that may share a process, its connections and its stores.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct GroupId(u64);

/// Names a cluster. Two clusters that meet on the wire, or on a disk, recognise each other by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(u128);

/// Tells a node with its disk from the node of the same name whose disk was lost.
///
/// Chosen once, when the stores are first used, and kept in them. A group writes down which life of
/// a voter it has admitted, and no other counts ([`crate::membership::Member::incarnation`]).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(u64);

/// Counts how often a group was recovered from the loss of its quorum. Nodes of different epochs
/// refuse each other, as nodes of different clusters do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RecoveryEpoch(u64);

/// A period with at most one leader (thesis §3.3). Zero is before the first election.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(u64);

/// A position in the log. The first entry has index one; zero is the position before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LogIndex(u64);

/// Identifies an entry: no two different entries of a group have the same term and index (log
/// matching, thesis §3.5).
///
/// The order is the one that elections use: first by term, then by index (thesis §3.6.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// The position of the entry.
    pub index: LogIndex,
}

/// An entry's identity together with the checksum of its record.
///
/// Every record contains the checksum of its predecessor, so equal links mean equal logs up to
/// there. This is what a log must remember of the part it has purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChainLink {
    /// Which entry.
    pub id: LogId,
    /// The checksum of the entry's record.
    pub checksum: u32,
}

macro_rules! number {
    ($name:ident, $inner:ty) => {
        impl $name {
            /// Wraps the number.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The number itself.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(NodeId, u64);
number!(GroupId, u64);
number!(Incarnation, u64);
number!(RecoveryEpoch, u64);
number!(Term, u64);
number!(LogIndex, u64);

impl ClusterId {
    /// Wraps the number.
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// Derives an id from a name, always the same one (FNV-1a, 128 bits).
    pub const fn from_name(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        let mut at = 0;
        while at < bytes.len() {
            #[expect(clippy::indexing_slicing, reason = "`at` is below the length")]
            let byte = bytes[at];
            hash ^= byte as u128;
            hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            at += 1;
        }
        Self(hash)
    }

    /// The number itself.
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Term {
    /// Before the first election.
    pub const ZERO: Self = Self(0);

    /// The following term. Saturates: the last term is never left (see `TERM_JUMP_MAX`).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl LogIndex {
    /// The position before the first entry.
    pub const ZERO: Self = Self(0);
    /// The first entry.
    pub const FIRST: Self = Self(1);

    /// The following position.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; zero stays zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position `count` entries further.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The position `count` entries back; stops at zero.
    #[must_use]
    pub const fn minus(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// How many entries lie after `earlier`, up to and including this one.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl LogId {
    /// The position before the first entry.
    pub const ORIGIN: Self = Self::new(Term::ZERO, LogIndex::ZERO);

    /// Puts the pair together.
    pub const fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for LogId {
    /// Index, then term: `17.3` is entry 17 of term 3, as in the thesis' figures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.term)
    }
}

impl ChainLink {
    /// What precedes the first entry.
    pub const ORIGIN: Self = Self {
        id: LogId::ORIGIN,
        checksum: 0,
    };
}

impl fmt::Display for ChainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:08x}", self.id, self.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ids_order_by_term_before_index() {
        let long = LogId::new(Term::new(2), LogIndex::new(90));
        let recent = LogId::new(Term::new(3), LogIndex::new(4));
        assert!(recent > long);
        assert!(LogId::new(Term::new(3), LogIndex::new(5)) > recent);
    }

    #[test]
    fn a_cluster_id_from_a_name_is_stable() {
        assert_eq!(
            ClusterId::from_name("").get(),
            0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
        );
        assert_ne!(ClusterId::from_name("a"), ClusterId::from_name("b"));
    }
}
