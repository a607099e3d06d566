//! A node that has lost its disk is not its former self (RULES 18, 19): what it may say of itself, and
//! whom a leader strikes off.

use std::collections::BTreeMap;

use super::{Checks, Held, broken};
use crate::consensus::{Effect, Raft};
use crate::id::{LogId, NodeId};
use crate::message::Body;
use crate::sim::disk::Disk;
use crate::sim::driver::SimNode;
use crate::sim::watch::{Step, Took};

impl Step<'_> {
    /// Whose stores began anew keeps out of an election that counts by name.
    pub(in crate::sim) fn votes_as_who_it_is(&self, node: &SimNode) -> Held {
        let moment = self.moment;
        let counts_by_name =
            moment.membership_at == LogId::ORIGIN || moment.membership.is_founding();
        let is_admitted = moment
            .membership
            .admits(self.node, node.incarnation(self.node));
        let is_given = self.raft.vote().is_some()
            && (self.raft.vote() != moment.vote || self.after.term > moment.before.term);
        if !is_given || is_admitted || !counts_by_name || !node.is_repairing() {
            return Ok(());
        }
        let (voter, term) = (self.node, self.after.term);
        let detail =
            format!("node {voter} has forgotten what it had promised, and votes in {term}");
        broken("who has begun anew elects nobody by name", detail)
    }

    /// A node says of no life that it is over unless its stores know that.
    pub(in crate::sim) fn claims_what_it_knows(&self, node: &SimNode) -> Held {
        for effect in self.effects {
            let Effect::Send(message) = effect else {
                continue;
            };
            let Body::HeartbeatReply {
                supersedes: Some(over),
                ..
            } = &message.body
            else {
                continue;
            };
            let former = node.disk.durable().former.as_ref();
            if !former.is_some_and(|former| former.include(*over)) {
                let detail = format!("node {} says that {over} is over: {former:?}", self.node);
                return broken("only what is known to be over is said to be", detail);
            }
        }
        Ok(())
    }

    /// A leader strikes off the life that was said to be over, and none that goes on.
    pub(in crate::sim) fn strikes_off_who_is_over(
        &self,
        nodes: &BTreeMap<NodeId, SimNode>,
    ) -> Held {
        let (Took::Message { from, .. }, Some(over)) = (self.moment.took, self.moment.claims_over)
        else {
            return Ok(());
        };
        let (before, after) = (&self.moment.membership, self.raft.membership());
        let recorded = before.incarnation(from);
        // A change that somebody has asked for goes its way.
        let is_settled = before.goal().is_none() && !before.is_joint();
        let is_struck_off = self.after.is_leader
            && is_settled
            && recorded.is_some()
            && after.contains(from)
            && after.incarnation(from) != recorded;
        let goes_on = nodes.get(&from).map(|node| node.incarnation(from)) == recorded;
        if !is_struck_off || (recorded == Some(over) && !goes_on) {
            return Ok(());
        }
        let node = self.node;
        let detail = format!("leader {node} strikes off {recorded:?} of {from}; over is {over}");
        broken("who is struck off is over", detail)
    }
}

impl Checks {
    /// A node that starts knows whether its stores have begun anew, and writes down when it is a voter
    /// again.
    pub(in crate::sim) fn knows_its_past(id: NodeId, raft: &Raft, disk: &Disk) -> Held {
        if raft.remembers_damage() == disk.is_repairing() {
            return Ok(());
        }
        let (knows, stored) = (raft.remembers_damage(), disk.is_repairing());
        let detail =
            format!("node {id} takes itself for damaged: {knows}; its disk says: {stored}");
        broken("a node knows that its stores began anew", detail)
    }

    /// A node says that its repair is over: no truncation and no crash brings back a membership that
    /// does not count it.
    pub(in crate::sim) fn repaired(&self, id: NodeId, node: &SimNode) -> Held {
        let Some(raft) = node.raft.as_ref() else {
            return Ok(());
        };
        let at = raft.membership_at();
        let link = raft.link_at(at.index);
        let is_committed = self.canonical(at.index).is_some_and(|known| known.id == at);
        let is_durable = link.is_none_or(|link| node.disk.durable().holds(link));
        if is_committed && is_durable {
            return Ok(());
        }
        let detail = format!("node {id} takes itself for repaired by {at}, which may not last");
        broken("a repair is over when that is committed", detail)
    }
}
