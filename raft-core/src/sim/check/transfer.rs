//! A transfer of leadership ends, is not raced by writes, and orders only who has the whole log
//! (thesis §3.10).

use std::collections::BTreeMap;

use super::{Held, broken};
use crate::consensus::Effect;
use crate::id::NodeId;
use crate::message::Body;
use crate::sim::driver::SimNode;
use crate::sim::watch::{Step, Took, Watched};

const PROPERTY: &str = "transfer of leadership";

impl Step<'_> {
    pub(in crate::sim) fn hands_over_rightly(&self, watched: &Watched) -> Held {
        let node = self.node;
        let is_under_way = self.moment.before.is_transferring && self.after.is_transferring;
        let accepts = |effect: &Effect| matches!(effect, Effect::Accepted { .. });
        if is_under_way && self.effects.iter().any(accepts) {
            let detail = format!("node {node} takes a proposal while it hands over");
            return broken(PROPERTY, detail);
        }
        let Some(since) = watched.transferring_since else {
            return Ok(());
        };
        let lasts = self.moment.local.since(since);
        if self.moment.took == Took::TimePassed && lasts > 2 * self.config.election_timeout {
            let detail = format!("node {node} has been handing over for {lasts:?}");
            return broken(PROPERTY, detail);
        }
        Ok(())
    }

    pub(in crate::sim) fn orders_only_who_has_all(
        &self,
        nodes: &BTreeMap<NodeId, SimNode>,
    ) -> Held {
        for effect in self.effects {
            let Effect::Send(order) = effect else {
                continue;
            };
            let (Body::TimeoutNow, Some(target)) = (&order.body, nodes.get(&order.to)) else {
                continue;
            };
            // Of what a later leader has put in its place, this one does not know.
            let is_later = target.disk.durable().term() > self.after.term;
            let last = self.raft.link_at(self.after.last.index);
            if !is_later && last.is_some_and(|last| !target.has_held(last)) {
                let (node, to) = (self.node, order.to);
                let detail = format!("node {node} orders {to} to campaign, which lacks {last:?}");
                return broken(PROPERTY, detail);
            }
        }
        Ok(())
    }
}
