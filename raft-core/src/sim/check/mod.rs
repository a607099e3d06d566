//! The checkers, one property a file, named as the thesis names it (§3.2, figure 3.2).
//!
//! Each costs a little an event, never a walk over the cluster's history.

mod at_most_once;
mod belief;
mod bounds;
mod candidacy;
mod commit_rule;
mod configuration_safety;
mod disruption;
mod durability;
mod duties;
mod election_safety;
mod every_future_resolves;
mod exactly_once;
mod leader_append_only;
mod leader_completeness;
mod lease;
mod linearizability;
mod liveness;
mod lives;
mod log_matching;
mod office;
mod past;
mod send_gate;
mod stability;
mod state_machine_safety;
mod transfer;

pub(super) use duties::{covered, rejects};
pub(super) use every_future_resolves::{Asked, Futures};
pub(super) use exactly_once::ExactlyOnce;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::{ChainLink, Incarnation, LogId, LogIndex, NodeId, Term};
use crate::time::Timestamp;

/// What is known of the whole run, by which single events are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Checks {
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term, Incarnation), NodeId>,
    records: BTreeMap<LogId, u32>,
    /// Everything that was ever committed, the first entry first.
    canon: Vec<ChainLink>,
    /// Every membership that was ever appended, and those of them that were committed.
    memberships: BTreeSet<LogId>,
    canon_memberships: Vec<LogId>,
    /// How much was committed when, lately.
    progress: VecDeque<(Timestamp, LogIndex)>,
    /// The state machine's hash after each applied index.
    states: BTreeMap<LogIndex, u32>,
    /// Where each value was written.
    written: BTreeMap<u64, LogIndex>,
    /// Values that clients were told are in no log.
    refused: BTreeSet<u64>,
    /// The greatest index that any client was told of.
    completed: LogIndex,
}

/// A property that does not hold.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) property: &'static str,
    pub(super) detail: String,
}

/// Whether a property holds.
pub(super) type Held = Result<(), Broken>;

pub(super) fn broken(property: &'static str, detail: String) -> Held {
    Err(Broken { property, detail })
}

impl Checks {
    /// How much is committed.
    pub(super) fn committed(&self) -> LogIndex {
        LogIndex::new(self.canon.len() as u64)
    }

    /// The committed entry at this index.
    pub(super) fn canonical(&self, index: LogIndex) -> Option<ChainLink> {
        let offset = usize::try_from(index.get().checked_sub(1)?).ok()?;
        self.canon.get(offset).copied()
    }
}
