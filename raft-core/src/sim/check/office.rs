//! A leader that cannot lead gives up (thesis §6.2, §4.2.2, RULE 7).

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Held, broken};
use crate::consensus::Effect;
use crate::id::NodeId;
use crate::sim::driver::SimNode;
use crate::sim::watch::{Step, Took, Watched};
use crate::time::Timestamp;

const PROPERTY: &str = "a leader that cannot lead gives up";

impl Step<'_> {
    /// What cannot be read is replaced by another snapshot (RULES 60).
    pub(in crate::sim) fn replaces_what_it_cannot_read(&self, node: &SimNode) -> Held {
        let takes = |effect: &Effect| matches!(effect, Effect::TakeSnapshot);
        let is_replaced = node.restores > 0
            || node.snapshotting.is_in_progress()
            || self.effects.iter().any(takes);
        if self.moment.took != Took::Unreadable || is_replaced {
            return Ok(());
        }
        let node = self.node;
        let detail = format!("node {node} cannot read its newest snapshot, and takes no other");
        broken("an unreadable snapshot is replaced", detail)
    }

    pub(in crate::sim) fn leads_rightly(&self, watched: &Watched) -> Held {
        if !self.after.is_leader || self.moment.took != Took::TimePassed {
            return Ok(());
        }
        let (node, local) = (self.node, self.moment.local);
        let slack = 2 * self.config.heartbeat_interval;
        let patience = 2 * self.config.election_timeout + slack;
        let alone = local.since(self.quorum_heard(watched).max(watched.steady_since));
        if alone > patience {
            let detail = format!("node {node} leads, and has heard no quorum for {alone:?}");
            return broken(PROPERTY, detail);
        }
        let waits = |since: Timestamp| local.since(since);
        let stalled = watched.writes.front().map(|(_, since)| waits(*since));
        if stalled.is_some_and(|stalled| stalled > self.config.disk_stall_timeout + slack) {
            let detail = format!("node {node} leads, and its disk stands still for {stalled:?}");
            return broken(PROPERTY, detail);
        }
        let voteless = watched.voteless_since.map_or(Duration::ZERO, waits);
        if voteless > patience {
            let detail = format!("node {node} leads, and has had no vote for {voteless:?}");
            return broken(PROPERTY, detail);
        }
        Ok(())
    }

    /// When a majority, of each half, was last heard of; each voter counts once.
    fn quorum_heard(&self, watched: &Watched) -> Timestamp {
        let membership = self.raft.membership();
        let heard = |voter: &NodeId| {
            if *voter == self.node {
                return self.moment.local;
            }
            watched.heard.get(voter).copied().unwrap_or_default()
        };
        let heard_of = |half: &BTreeSet<NodeId>| {
            let mut times: Vec<Timestamp> = half.iter().map(heard).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(half.len() / 2).copied()
        };
        let halves = [membership.voters(), membership.outgoing()];
        let times = halves.into_iter().filter_map(heard_of);
        times.min().unwrap_or(self.moment.local)
    }
}
