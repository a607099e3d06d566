//! The clients: each has one operation under way, a write or a read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::Chance;
use super::machine::Command;
use crate::id::{LogIndex, NodeId, Term};
use crate::message::ReadId;
use crate::time::Timestamp;

/// All clients and what they wait for.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) chance: Chance,
    values: u64,
    reads: u64,
    /// The greatest index that any client was told of, and when that changed.
    told: Vec<(Timestamp, LogIndex)>,
    /// What each client has written last.
    pub(super) written: BTreeMap<u64, u64>,
    /// The client whose write is being proposed, until somebody has it.
    pub(super) proposing: Option<u64>,
    /// Operations under way.
    pub(super) waiting: BTreeMap<u64, Operation>,
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// Where it was asked for.
    pub(super) node: NodeId,
    /// What it must at least reflect.
    pub(super) floor: LogIndex,
    pub(super) since: Timestamp,
    /// The newest term of any leader at that time.
    pub(super) term: Term,
    pub(super) kind: Kind,
}

/// How fresh a read is to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Linearizable,
    Lease,
    Bounded(Duration),
}

const LAG: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(300));

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Read(ReadId),
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A write was applied.
    Write,
    /// A read was answered.
    Read,
    /// A write was not taken.
    Refused,
    /// Another entry stands where the write stood.
    Overwritten,
    /// The leader is deposed: a write may be applied or not.
    Unknown,
    /// The client waits no longer.
    GivenUp,
    /// The node is down.
    Abandoned,
    /// A read cannot be answered.
    ReadFailed,
}

impl End {
    /// What it is counted as.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Write => "writes",
            Self::Read => "reads",
            Self::Refused => "writes refused",
            Self::Overwritten => "writes overwritten",
            Self::Unknown => "writes unknown",
            Self::GivenUp => "writes given up",
            Self::Abandoned => "abandoned by a crash",
            Self::ReadFailed => "reads failed",
        }
    }
}

impl Clients {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, 2),
            values: 0,
            reads: 0,
            told: Vec::new(),
            written: BTreeMap::new(),
            proposing: None,
            waiting: BTreeMap::new(),
        }
    }

    /// A write of a value that was never written before.
    pub(super) fn command(&mut self) -> Command {
        self.values += 1;
        let key = u8::try_from(self.chance.below(8)).unwrap_or(0);
        Command {
            key,
            value: self.values,
        }
    }

    pub(super) fn read_id(&mut self) -> ReadId {
        self.reads += 1;
        ReadId(self.reads)
    }

    /// Clients know of everything through `index` from now on.
    pub(super) fn tell(&mut self, now: Timestamp, index: LogIndex) {
        self.told.push((now, index));
    }

    /// What clients knew of at that time.
    pub(super) fn known_at(&self, time: Timestamp) -> LogIndex {
        let later = self.told.partition_point(|(told, _)| *told <= time);
        let last = later.checked_sub(1).and_then(|at| self.told.get(at));
        last.map_or(LogIndex::ZERO, |(_, index)| *index)
    }

    /// How fresh a read is to be.
    pub(super) fn mode(&mut self) -> Mode {
        match self.chance.below(3) {
            0 => Mode::Linearizable,
            1 => Mode::Lease,
            _ => Mode::Bounded(self.chance.duration(LAG.0, LAG.1)),
        }
    }

    /// The client that waits for this read.
    pub(super) fn reader(&self, node: NodeId, read: ReadId) -> Option<u64> {
        let waits =
            |operation: &Operation| operation.node == node && operation.kind == Kind::Read(read);
        self.waiting
            .iter()
            .find(|(_, operation)| waits(operation))
            .map(|(client, _)| *client)
    }
}
