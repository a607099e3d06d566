//! What is on its way between nodes: everything that was ever sent.
//!
//! A message stays in the network for ever. So each can arrive late, early, never, and any number
//! of times: loss, delay, disorder and repetition need no actions of their own, and have no bound.

use super::table::{Id, Table};
use crate::id::{LogId, NodeId, Term};
use crate::message::Message;
use crate::sim::machine::Machine;
use crate::snapshot::SnapshotMeta;

/// Something that one node has sent to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Parcel {
    Message(Message),
    /// A whole snapshot, on its way from a leader of `term`.
    Snapshot {
        from: NodeId,
        to: NodeId,
        term: Term,
        snapshot: Box<(SnapshotMeta, Machine)>,
    },
    /// A snapshot of a leader of `term` is durable at its receiver.
    SnapshotArrived {
        from: NodeId,
        to: NodeId,
        term: Term,
        last: LogId,
    },
}

/// All parcels, and all sets of them. A set is a list, the greatest number first; lists share
/// their ends, and equal sets are one list.
#[derive(Debug)]
pub(super) struct Parcels {
    parcels: Table<Parcel>,
    addressees: Vec<NodeId>,
    lists: Table<(Id, Id)>,
}

/// Nothing is on its way.
pub(super) const NOTHING: Id = Id::MAX;

impl Parcel {
    pub(super) fn to(&self) -> NodeId {
        match self {
            Self::Message(message) => message.to,
            Self::Snapshot { to, .. } | Self::SnapshotArrived { to, .. } => *to,
        }
    }
}

impl Parcels {
    pub(super) fn new() -> Self {
        Self {
            parcels: Table::default(),
            addressees: Vec::new(),
            lists: Table::default(),
        }
    }

    /// The number of a parcel.
    pub(super) fn number(&mut self, parcel: Parcel) -> Id {
        let to = parcel.to();
        let (id, is_new) = self.parcels.number(parcel);
        if is_new {
            self.addressees.push(to);
        }
        id
    }

    pub(super) fn get(&self, parcel: Id) -> Option<&Parcel> {
        self.parcels.get(parcel)
    }

    /// Whom a parcel is for.
    pub(super) fn addressee(&self, parcel: Id) -> Option<NodeId> {
        self.addressees.get(usize::try_from(parcel).ok()?).copied()
    }

    /// The set with one more parcel.
    pub(super) fn with(&mut self, set: Id, parcel: Id) -> Id {
        let Some((first, rest)) = self.lists.get(set).copied() else {
            return self.list(parcel, NOTHING);
        };
        if first == parcel {
            set
        } else if first < parcel {
            self.list(parcel, set)
        } else {
            let rest = self.with(rest, parcel);
            self.list(first, rest)
        }
    }

    /// The parcels of a set, the newest first.
    pub(super) fn iter(&self, set: Id) -> impl Iterator<Item = Id> {
        let mut rest = set;
        std::iter::from_fn(move || {
            let (first, next) = self.lists.get(rest).copied()?;
            rest = next;
            Some(first)
        })
    }

    /// How many different parcels there are.
    pub(super) fn len(&self) -> usize {
        self.parcels.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.lists.bytes() + self.parcels.bytes()
    }

    fn list(&mut self, first: Id, rest: Id) -> Id {
        self.lists.number((first, rest)).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one_whatever_the_order() {
        let mut parcels = Parcels::new();
        let mut set_of = |numbers: &[Id]| {
            numbers
                .iter()
                .fold(NOTHING, |set, number| parcels.with(set, *number))
        };
        let set = set_of(&[3, 1, 2]);
        assert_eq!(set, set_of(&[1, 2, 3, 2, 1]));
        assert_ne!(set, set_of(&[1, 2]));
        let numbers: Vec<Id> = parcels.iter(set).collect();
        assert_eq!(numbers, [3, 2, 1]);
    }
}
