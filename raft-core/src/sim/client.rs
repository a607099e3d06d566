//! The clients: each has one operation under way, a write or a read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::Chance;
use super::machine::Command;
use crate::id::{LogIndex, NodeId, Term};
use crate::time::Timestamp;

/// All clients and what they wait for.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) chance: Chance,
    modes: Chance,
    /// Of lives whose clients want more than a write.
    wishes: Option<Chance>,
    values: u64,
    /// The writes that a leader was asked for.
    pub(super) asked: u64,
    /// The greatest index that any client was told of, and when that changed.
    told: Vec<(Timestamp, LogIndex)>,
    /// The greatest index that each client was told of itself.
    seen: BTreeMap<u64, LogIndex>,
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
    /// A read waits for this entry, which its node had not applied when it was asked.
    pub(super) awaits: Option<LogIndex>,
}

/// How fresh a read is to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Linearizable,
    Lease,
    Bounded(Duration),
    /// It reflects this entry.
    AtLeast(LogIndex),
    /// It reflects what its node has applied, whatever that is.
    Local,
}

/// Whether clients want more than a write in this life.
fn has_wishes(seed: u64) -> bool {
    matches!(seed % 17, 2 | 15)
}

/// No life has so many entries.
const NEVER: u64 = 1_000_000;
const LAG: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(300));

/// What a client wants besides its write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// It waits no longer than this.
    pub(super) deadline: Option<Duration>,
    /// So many other writes are proposed with it.
    pub(super) beside: u64,
    /// In which term it is to be proposed: in the one of its node, or so many later.
    pub(super) term: Option<u64>,
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Read,
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
            modes: Chance::new(seed, 12),
            wishes: has_wishes(seed).then(|| Chance::new(seed, 17)),
            values: 0,
            asked: 0,
            told: Vec::new(),
            seen: BTreeMap::new(),
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

    /// A client was told of everything through `index`.
    pub(super) fn sees(&mut self, client: u64, index: LogIndex) {
        let seen = self.seen.entry(client).or_default();
        *seen = index.max(*seen);
    }

    /// How fresh a read is to be that asks nobody else, in a quarter of all reads. `known` is what any
    /// client was told of. While things go wrong, some wait for what is yet to come, or never does.
    pub(super) fn own_mode(
        &mut self,
        client: u64,
        known: LogIndex,
        faults_go_on: bool,
    ) -> Option<Mode> {
        let seen = self.seen.get(&client).copied().unwrap_or_default();
        let more = self.modes.between(1, 20);
        Some(match self.modes.below(32) {
            0..=3 => Mode::Local,
            4 | 5 => Mode::AtLeast(seen),
            6 if faults_go_on => Mode::AtLeast(known.plus(more)),
            7 if faults_go_on && more == 1 => Mode::AtLeast(known.plus(NEVER)),
            6 | 7 => Mode::AtLeast(known),
            _ => return None,
        })
    }

    /// What else a client wants. Some deadlines pass before anything can be done.
    pub(super) fn wishes(&mut self) -> Wishes {
        let Some(chance) = &mut self.wishes else {
            return Wishes::default();
        };
        let deadline = chance.duration(Duration::from_millis(1), Duration::from_millis(400));
        Wishes {
            deadline: chance.coin().then_some(deadline),
            beside: chance.below(4),
            term: (chance.below(4) == 0).then(|| chance.below(2)),
        }
    }

    /// How fresh a read is to be.
    pub(super) fn mode(&mut self) -> Mode {
        match self.chance.below(3) {
            0 => Mode::Linearizable,
            1 => Mode::Lease,
            _ => Mode::Bounded(self.chance.duration(LAG.0, LAG.1)),
        }
    }
}
