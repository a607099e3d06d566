//! The protocol as a pure function: state, time and event in, state and effects out.
//!
//! No clock, thread, IO, async, hash order or unseeded chance: the node, the scenarios, the
//! simulator and the model checker all drive [`Raft::step`], and the same inputs always give the
//! same outputs.

mod apply;
mod compaction;
mod effect;
mod election;
mod event;
mod follower;
mod forward;
mod gathering;
mod incarnations;
mod invariants;
mod leader;
mod lease;
mod log_view;
mod memberships;
pub(crate) mod mutant;
mod pending;
mod preference;
mod progress;
mod quorum;
mod read;
mod reconfigure;
mod recovery;
mod repair;
mod replication;
mod role;
mod seen;
mod shared;
mod status;
mod step;
mod timer;
mod transfer;
mod unreadable;
#[cfg(feature = "sim")]
mod witness;

pub use effect::{
    ChangeRefusal, Effect, Effects, Fault, Nonsense, Refusal, RoleName, Standing, TransferError,
    Write,
};
pub use event::{Conditions, Event, IndexRange, Reader, Sequence};
pub use gathering::{Backup, Gathered, Gathering};
pub use recovery::{Recovery, RecoveryError};
pub use status::{PeerStatus, RaftStatus};
pub use transfer::To;

#[cfg(feature = "sim")]
pub(crate) use status::Brief;
#[cfg(feature = "sim")]
pub(crate) use witness::Belief;

use apply::ApplyQueue;
use compaction::Compaction;
use forward::Forwards;
use mutant::{Mutant, mutant};
use pending::Pending;
use preference::Deference;
use read::Reads;
use repair::Repair;
use role::{Follower, Role};
use shared::Shared;
use timer::Timers;

use crate::config::Config;
use crate::hard_state::HardState;
use crate::id::{GroupId, Incarnation, LogIndex, NodeId};
use crate::time::Timestamp;

/// One node's part in the protocol: what outlives roles, and the role.
#[derive(Clone, Debug, Hash)]
pub struct Raft {
    shared: Shared,
    role: Role,
}

/// Who a [`Raft`] is and how it behaves.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The node.
    pub id: NodeId,
    /// Which life of it: another one after its disk was wiped.
    pub incarnation: Incarnation,
    /// The group.
    pub group: GroupId,
    /// The tunables. Must be [valid](Config::validate).
    pub config: Config,
    /// Where chance begins. Must differ between nodes, or they collide in every election, and
    /// between lives of a node.
    pub seed: u64,
}

impl Raft {
    /// A follower with what was found on disk. `applied` is what the state machine holds already:
    /// the end of the snapshot it was restored from, or what it kept itself.
    pub fn new(setup: Setup, recovery: Recovery, applied: LogIndex, now: Timestamp) -> Self {
        let Setup {
            id,
            incarnation,
            group,
            config,
            seed,
        } = setup;
        let Recovery {
            mut hard_state,
            snapshot,
            mut log,
            memberships,
            former,
        } = recovery;
        // The entries of a term reach the disk after the term does, except at bootstrap and where a
        // snapshot overtook it. In that term this node has voted for nobody.
        let last_term = log.last().id.term;
        if last_term > hard_state.term {
            hard_state = HardState {
                term: last_term,
                vote: None,
            };
        }
        let snapshot = snapshot.map(|meta| meta.id());
        // The commit index is not stored; what a snapshot or the state machine holds was committed
        // (RULES 38).
        let committed = snapshot
            .map_or(LogIndex::ZERO, |last| last.index)
            .max(applied);
        log.set_durable(log.last().id.index);
        let mut timers = Timers::new(seed);
        let first_request = timers.arbitrary();
        let mut shared = Shared {
            id,
            incarnation,
            displaced_by: None,
            repair: former.and_then(Repair::after),
            group,
            config,
            hard_state,
            log,
            memberships,
            pending: Pending::default(),
            timers,
            committed,
            apply: ApplyQueue::new(applied),
            compaction: Compaction::after(snapshot),
            reads: Reads::new(first_request),
            forwards: Forwards::new(first_request),
            now,
            dropped: 0,
            transfer: None,
            promise: None,
            deference: Deference::default(),
            halted: false,
        };
        shared.restart_election_timer();
        shared.await_snapshot();
        // What an earlier life has promised is forgotten: keep silent until it has run out.
        if !mutant(Mutant::PromiseForgotten) {
            shared.promise(None);
        }
        Self {
            shared,
            role: Role::Follower(Follower::default()),
        }
    }

    /// When [`Event::TimePassed`] is wanted next.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.shared.halted {
            None
        } else {
            self.shared.timers.next()
        }
    }
}
