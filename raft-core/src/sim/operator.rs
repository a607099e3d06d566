//! Who looks after the group: a node whose disk is lost or damaged is removed, and a new one, of a
//! name that nobody had, takes its place.

use std::time::Duration;

use super::check::{Broken, Held};
use super::cluster::{Cluster, Happening};
use super::driver::SimNode;
use super::situation::Situation;
use super::story::Mark;
use crate::change::MembershipChange;
use crate::consensus::{Raft, RoleName};
use crate::id::NodeId;
use crate::membership::Membership;

/// The operator looks this often.
const LOOKS: Duration = Duration::from_millis(200);

impl Cluster {
    /// This node never runs again: it must not act on what it may have forgotten.
    pub(super) fn lose(&mut self, id: NodeId) {
        if self.operator.lost.insert(id) {
            self.tell(Some(id), Mark::Fault, || "is lost for ever".to_owned());
        }
    }

    pub(super) fn is_lost(&self, id: NodeId) -> bool {
        self.operator.lost.contains(&id)
    }

    /// Lost, or with damage that it may find sooner or later, or not counted again since then.
    pub(super) fn is_impaired(&self, id: NodeId) -> bool {
        let node = self.nodes.get(&id);
        let is_unsound = |node: &SimNode| node.disk.is_damaged() || node.is_repairing();
        self.is_lost(id) || self.operator.wiped.contains(id) || node.is_some_and(is_unsound)
    }

    /// Whether one of these is not what it was.
    pub(super) fn is_any_impaired(&self, membership: &Membership) -> bool {
        let mut members = membership.members().keys();
        members.any(|id| self.is_impaired(*id))
    }

    /// Whether Raft promises to go on without this node's disk: the group is settled under one
    /// membership, and those whose disks are intact are a majority of it.
    pub(super) fn may_lose(&self, victim: NodeId) -> bool {
        let node = self.nodes.get(&victim);
        let is_again = node.is_some_and(|node| node.is_repairing() && !node.disk.is_damaged());
        if self.operator.harms_left == 0 || (self.is_impaired(victim) && !is_again) {
            return false;
        }
        if self.plan.mishaps.is_beyond_contract {
            return true;
        }
        let Some(raft) = self.newest_leader() else {
            return false;
        };
        let status = raft.status();
        let membership = &status.membership;
        let committed = raft.link_at(status.committed).map(|link| link.id.term);
        // Whom the group has not met does not count yet.
        let have_met = membership.unrecorded().next().is_none();
        // A leader that was replaced, or a crash, may have left a change under way elsewhere.
        let rafts = self.nodes.values().filter_map(|node| node.raft.as_ref());
        let is_newest = rafts.map(Raft::membership_at).max() == Some(status.membership_at);
        let is_settled = have_met
            && is_newest
            && !membership.is_joint()
            && membership.goal().is_none()
            && status.membership_at.index <= status.committed
            && committed == Some(status.standing.term);
        let voters = membership.voters();
        // A change waits for its newcomers, and nobody else stands in for one that is lost.
        let is_awaited = self.operator.heirs.values().any(|heir| *heir == victim)
            && !membership.is_voter(victim);
        // The vote of who was never met counts in no later election.
        let is_met = |id: NodeId| {
            let life = self.nodes.get(&id).map(|node| node.incarnation(id));
            life.is_some() && membership.incarnation(id) == life
        };
        let intact = |id: &&NodeId| **id != victim && !self.is_impaired(**id) && is_met(**id);
        is_settled && !is_awaited && voters.iter().filter(intact).count() * 2 > voters.len()
    }

    /// The leader of the latest term, as far as leaders are up.
    fn newest_leader(&self) -> Option<&Raft> {
        let rafts = self.nodes.values().filter_map(|node| node.raft.as_ref());
        let leaders = rafts.filter(|raft| raft.standing().role == RoleName::Leader);
        leaders.max_by_key(|raft| raft.standing().term)
    }

    /// The operator looks after the group.
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        self.schedule(LOOKS, Happening::Operator);
        let Some(leader) = self.newest_leader().map(|raft| raft.standing().leader) else {
            return Ok(());
        };
        let leader = leader.and_then(|id| Some((id, self.nodes.get(&id)?.raft.as_ref()?)));
        let Some((leader, raft)) = leader else {
            return Ok(());
        };
        let membership = raft.membership();
        if membership.is_joint() || membership.goal().is_some() {
            return Ok(());
        }
        if self.look_after_wiped(leader, &membership)? {
            return Ok(());
        }
        let mut members = membership.members().keys();
        let Some(lost) = members.find(|id| self.is_to_be_replaced(**id)).copied() else {
            return Ok(());
        };
        let Some(heir) = self.heir_of(lost) else {
            return Ok(());
        };
        let address = format!("node-{heir}");
        let change = MembershipChange::new().remove(lost);
        let change = match (membership.is_voter(lost), membership.contains(heir)) {
            (true, false) => change.add_voter(heir, address),
            (false, false) => change.add_learner(heir, address),
            (true, true) if !membership.is_voter(heir) => change.promote(heir),
            (_, true) => change,
        };
        self.meet(Situation::LostNodeReplaced);
        self.tell(Some(leader), Mark::Fault, || {
            format!("is asked to replace {lost} by {heir}")
        });
        self.request_change(leader, change)
    }

    /// The node that takes the place of `lost`: it is new, and has nothing.
    fn heir_of(&mut self, lost: NodeId) -> Option<NodeId> {
        let known = self.operator.heirs.get(&lost).copied();
        if let Some(heir) = known.filter(|heir| !self.is_to_be_replaced(*heir)) {
            return Some(heir);
        }
        let heir = self.operator.reserve.pop()?;
        self.operator.heirs.insert(lost, heir);
        let node = SimNode::new(heir, &self.plan, None);
        self.nodes.insert(heir, node);
        self.schedule(Duration::ZERO, Happening::Restart(heir));
        Some(heir)
    }

    /// After the last fault: whoever has damage learns of it by a restart, and the operator goes on
    /// until every lost node is replaced.
    pub(super) fn look_for_damage(&mut self) -> Held {
        let damaged = self.nodes.iter().filter(|(_, node)| node.disk.is_damaged());
        for id in damaged.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stop(id, "is stopped to be looked at")?;
            self.schedule(Duration::ZERO, Happening::Restart(id));
        }
        Ok(())
    }
}
