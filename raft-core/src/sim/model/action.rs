//! What one step of a trace is.

use std::fmt;

use super::bounds::Bounds;
use super::node::{Kept, Stimulus};
use super::parcels::{Parcel, Parcels};
use super::table::Id;
use crate::change::MembershipChange;
use crate::id::NodeId;
use crate::message::Body;

/// Something happens to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Action {
    /// Its place, from 0 on.
    pub(super) actor: u8,
    pub(super) what: What,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Timeout,
    Heartbeat,
    Arrives(Id),
    SyncsAll,
    SyncsFirst,
    Crashes(Kept),
    MachineWorks,
    Proposes(u8),
    /// To the node in this place.
    Transfers(u8),
    /// Removes the voter in this place.
    Removes(u8),
    /// Adds a voter in this place.
    Adds(u8),
}

/// The kinds of actions, by name.
pub(super) const KINDS: [&str; 9] = [
    "election timeouts",
    "heartbeats",
    "deliveries",
    "syncs",
    "crashes with a restart",
    "tasks of state machines",
    "proposals",
    "transfers",
    "changes of membership",
];

impl What {
    /// Its place in [`KINDS`].
    pub(super) const fn kind(self) -> usize {
        match self {
            Self::Timeout => 0,
            Self::Heartbeat => 1,
            Self::Arrives(_) => 2,
            Self::SyncsAll | Self::SyncsFirst => 3,
            Self::Crashes(_) => 4,
            Self::MachineWorks => 5,
            Self::Proposes(_) => 6,
            Self::Transfers(_) => 7,
            Self::Removes(_) | Self::Adds(_) => 8,
        }
    }

    /// Another node that the action names.
    pub(super) const fn names(self) -> Option<u8> {
        match self {
            Self::Transfers(place) | Self::Removes(place) | Self::Adds(place) => Some(place),
            Self::Timeout
            | Self::Heartbeat
            | Self::Arrives(_)
            | Self::SyncsAll
            | Self::SyncsFirst
            | Self::Crashes(_)
            | Self::MachineWorks
            | Self::Proposes(_) => None,
        }
    }

    /// What the node takes in.
    pub(super) fn stimulus(self, parcels: &Parcels) -> Option<Stimulus> {
        Some(match self {
            Self::Timeout => Stimulus::Timeout,
            Self::Heartbeat => Stimulus::Heartbeat,
            Self::Arrives(parcel) => Stimulus::Arrives(parcels.get(parcel)?.clone()),
            Self::SyncsAll => Stimulus::Synced(usize::MAX),
            Self::SyncsFirst => Stimulus::Synced(1),
            Self::Crashes(kept) => Stimulus::Crash(kept),
            Self::MachineWorks => Stimulus::MachineWorks,
            Self::Proposes(number) => Stimulus::Propose(number),
            Self::Transfers(place) => Stimulus::Transfer(node_at(place)),
            Self::Removes(place) => {
                Stimulus::Change(MembershipChange::new().remove(node_at(place)))
            }
            Self::Adds(place) => {
                let change = MembershipChange::new();
                Stimulus::Change(change.add_voter(node_at(place), address(place)))
            }
        })
    }
}

/// The node in a place.
pub(super) fn node_at(place: u8) -> NodeId {
    NodeId::new(u64::from(place) + 1)
}

/// The place of a node.
pub(super) fn place_of(node: NodeId, bounds: &Bounds) -> Option<u8> {
    (0..bounds.nodes).find(|place| node_at(*place) == node)
}

/// Where a node is reached.
pub(super) fn address(place: u8) -> String {
    format!("node-{}", node_at(place))
}

/// An action in words.
pub(super) struct Told<'a>(pub(super) Action, pub(super) &'a Parcels);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Action { actor, what }, parcels) = self;
        let node = node_at(*actor);
        match what {
            What::Timeout => write!(f, "node {node} has waited for an election timeout"),
            What::Heartbeat => write!(f, "node {node} sends heartbeats"),
            What::Arrives(parcel) => match parcels.get(*parcel) {
                Some(parcel) => write!(f, "node {node} receives {}", Brief(parcel)),
                None => write!(f, "node {node} receives something unknown"),
            },
            What::SyncsAll => write!(f, "node {node} has written everything to its disk"),
            What::SyncsFirst => write!(f, "node {node} has written its oldest write to its disk"),
            What::Crashes(Kept::Nothing) => write!(f, "node {node} crashes and restarts"),
            What::Crashes(Kept::HardState) => write!(
                f,
                "node {node} crashes and restarts, with the newest term and vote but no entry \
                 written since"
            ),
            What::Crashes(Kept::Torn) => write!(
                f,
                "node {node} crashes and restarts, with all but the last entry of its oldest write"
            ),
            What::MachineWorks => write!(f, "node {node}: its state machine works"),
            What::Proposes(number) => write!(f, "node {node} is given command {number}"),
            What::Transfers(to) => {
                write!(f, "node {node} is to hand over to node {}", node_at(*to))
            }
            What::Removes(place) => {
                write!(f, "node {node} is to remove voter {}", node_at(*place))
            }
            What::Adds(place) => write!(f, "node {node} is to add voter {}", node_at(*place)),
        }
    }
}

/// What arrives, on part of a line.
struct Brief<'a>(&'a Parcel);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match self.0 {
            Parcel::Message(message) => message,
            Parcel::Snapshot {
                from,
                term,
                snapshot,
                ..
            } => {
                return write!(f, "{} of term {term} from node {from}", snapshot.0);
            }
            Parcel::SnapshotArrived { from, last, .. } => {
                return write!(f, "word that snapshot {last} has arrived at node {from}");
            }
        };
        let (name, term, from) = (message.body.name(), message.term, message.from);
        write!(f, "{name} of term {term} from node {from}")?;
        match &message.body {
            Body::PreVote { last } | Body::Vote { last, .. } => {
                write!(f, ": its log ends at {last}")
            }
            Body::PreVoteReply { granted } | Body::VoteReply { granted } => {
                f.write_str(if *granted { ": granted" } else { ": refused" })
            }
            Body::Append {
                previous,
                entries,
                commit,
            } => {
                write!(f, ": after {previous}")?;
                for entry in entries {
                    write!(f, ", {}", entry.id())?;
                }
                write!(f, ", committed {commit}")
            }
            Body::AppendAccepted { matched } => write!(f, ": through {matched}"),
            Body::AppendRejected { previous, hint } => {
                write!(f, ": lacks {previous}, hint {hint}")
            }
            Body::Heartbeat { round, commit } => {
                write!(f, ": round {}, committed {commit}", round.0)
            }
            // No disk of the model is ever damaged, so no life is over.
            Body::HeartbeatReply {
                round,
                verified,
                supersedes: _,
            } => write!(f, ": round {}, verified {verified}", round.0),
            Body::SnapshotInstalled { through } => write!(f, ": through {through}"),
            Body::TimeoutNow
            | Body::ReadIndex { .. }
            | Body::ReadIndexReply { .. }
            | Body::Propose { .. }
            | Body::ProposeReply { .. } => Ok(()),
        }
    }
}
