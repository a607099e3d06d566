//! What a core believes of its disk, and a leader of its followers' disks, is true there (RULE 1).

use std::collections::BTreeMap;

use super::{Held, broken};
use crate::consensus::Effect;
use crate::entry::Entry;
use crate::id::{ChainLink, NodeId};
use crate::sim::disk::Image;
use crate::sim::driver::SimNode;
use crate::sim::watch::{Says, Step, Took};

const PROPERTY: &str = "true belief";

impl Step<'_> {
    /// What it takes for durable is durable, and so is what it lets the state machine apply.
    pub(in crate::sim) fn knows_its_disk(&self, disk: &Image) -> Held {
        let node = self.node;
        let (through, last) = (self.raft.durable(), self.after.last.index);
        if through > last {
            let detail = format!("node {node} takes {through} for durable, and has written {last}");
            return broken(PROPERTY, detail);
        }
        let durable = self.raft.link_at(through);
        if let Some(lacking) = durable.filter(|durable| !disk.holds(*durable)) {
            let detail = format!("node {node} takes {lacking} for durable, and its disk lacks it");
            return broken(PROPERTY, detail);
        }
        for effect in self.effects {
            if let Effect::Apply(entries) = effect
                && let Some(last) = entries.last().map(Entry::link)
                && !disk.holds(last)
            {
                let detail = format!("node {node} applies {last}, and its disk lacks it");
                return broken(PROPERTY, detail);
            }
        }
        Ok(())
    }

    /// What a leader takes for stored at a follower is stored there.
    pub(in crate::sim) fn knows_its_followers(&self, nodes: &BTreeMap<NodeId, SimNode>) -> Held {
        let Took::Message {
            from,
            says: Says::Follows | Says::Rejects { .. },
            ..
        } = self.moment.took
        else {
            return Ok(());
        };
        let known = self.raft.belief(from);
        let matched = known.and_then(|known| self.raft.link_at(known.matched));
        let (Some(matched), Some(node)) = (matched, nodes.get(&from)) else {
            return Ok(());
        };
        // What a life has stored says nothing of the next one (RULES 19).
        let life = known.and_then(|known| known.life);
        let disk = life.and_then(|life| node.disk_of(from, life));
        // Of what a later leader has put in its place, this one does not know.
        let is_true = |disk: &Image| disk.term() > self.after.term || disk.holds(matched);
        if disk.is_some_and(is_true) || matched == ChainLink::ORIGIN {
            return Ok(());
        }
        let node = self.node;
        let detail = format!("leader {node} takes {matched} for stored at {from}, which lacks it");
        broken(PROPERTY, detail)
    }
}
