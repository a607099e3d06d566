//! A state of the whole group, in a few numbers, and what can happen in it.

use super::action::{Action, What, node_at, place_of};
use super::bounds::{Bounds, NODES_MAX, Spent};
use super::node::{Kept, Node};
use super::parcels::Parcels;
use super::table::Id;
use crate::id::NodeId;

/// A state. Equal states are equal here: every part is known by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The state of each node.
    pub(super) nodes: [Id; NODES_MAX as usize],
    /// What is on its way.
    pub(super) parcels: Id,
    /// What is known of the trace.
    pub(super) facts: Id,
    pub(super) spent: Spent,
    /// Nodes that something has happened to, or that were named. All others are alike, so that
    /// only the first of them need be next.
    pub(super) met: u8,
}

impl World {
    pub(super) fn node(&self, place: u8) -> Id {
        self.nodes.get(usize::from(place)).copied().unwrap_or(0)
    }

    pub(super) fn set_node(&mut self, place: u8, node: Id) {
        if let Some(known) = self.nodes.get_mut(usize::from(place)) {
            *known = node;
        }
    }

    /// Notes that the action happens.
    pub(super) fn spend(&mut self, action: Action, bounds: &Bounds) {
        let is_counted_each = bounds.timeouts_each < bounds.timeouts;
        let spent = &mut self.spent;
        match action.what {
            What::Timeout => {
                spent.timeouts += 1;
                // With no bound for each, whose they were makes no difference.
                if is_counted_each
                    && let Some(own) = spent.timeouts_of.get_mut(usize::from(action.actor))
                {
                    *own += 1;
                }
            }
            What::Heartbeat => spent.heartbeats += 1,
            What::Crashes(_) => spent.crashes += 1,
            What::Proposes(_) => spent.proposals += 1,
            What::Transfers(_) => spent.transfers += 1,
            What::Removes(_) | What::Adds(_) => spent.changes += 1,
            What::Arrives(_) | What::SyncsAll | What::SyncsFirst | What::MachineWorks => {}
        }
        let named = action.what.names().unwrap_or(action.actor);
        self.met = self.met.max(action.actor + 1).max(named + 1);
    }

    /// Everything that can happen next, within the bounds.
    pub(super) fn actions<'a>(
        &self,
        bounds: &Bounds,
        parcels: &Parcels,
        node: impl Fn(Id) -> Option<&'a Node>,
        into: &mut Vec<Action>,
    ) {
        into.clear();
        let reachable = bounds.nodes.min(self.met + 1);
        for actor in 0..reachable {
            if let Some(node) = node(self.node(actor)) {
                let what = |what| into.push(Action { actor, what });
                self.actions_of(actor, node, bounds, what);
            }
        }
        for parcel in parcels.iter(self.parcels) {
            let to = parcels.addressee(parcel);
            if let Some(actor) = to.and_then(|to: NodeId| place_of(to, bounds))
                && actor < reachable
            {
                let what = What::Arrives(parcel);
                into.push(Action { actor, what });
            }
        }
    }

    fn actions_of(&self, actor: u8, node: &Node, bounds: &Bounds, mut may: impl FnMut(What)) {
        let spent = &self.spent;
        let own = spent.timeouts_of.get(usize::from(actor)).copied();
        if spent.timeouts < bounds.timeouts && own.unwrap_or(0) < bounds.timeouts_each {
            may(What::Timeout);
        }
        match node.unsynced() {
            0 => {}
            1 => may(What::SyncsAll),
            _ => {
                may(What::SyncsAll);
                may(What::SyncsFirst);
            }
        }
        if node.has_tasks() {
            may(What::MachineWorks);
        }
        if spent.crashes < bounds.crashes {
            for kept in [Kept::Nothing, Kept::HardState, Kept::Torn] {
                if node.may_keep(kept) {
                    may(What::Crashes(kept));
                }
            }
        }
        if !node.is_leader() {
            return;
        }
        if spent.heartbeats < bounds.heartbeats {
            may(What::Heartbeat);
        }
        if spent.proposals < bounds.proposals {
            may(What::Proposes(spent.proposals));
        }
        // A node that nothing has happened to is named only if it is the first of those.
        let met = self.met.max(actor + 1);
        for place in 0..bounds.nodes.min(met + 1) {
            if spent.transfers < bounds.transfers && place != actor {
                may(What::Transfers(place));
            }
            if spent.changes < bounds.changes {
                let is_member = node.raft.membership().contains(node_at(place));
                may(if is_member {
                    What::Removes(place)
                } else {
                    What::Adds(place)
                });
            }
        }
    }
}
