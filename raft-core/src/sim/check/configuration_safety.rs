//! One change of membership at a time, each from what is committed, and each such that any two
//! successive quorums meet (thesis §4.1, §4.3; the 2015 correction).

use std::collections::BTreeMap;

use super::{Checks, Held, broken};
use crate::consensus::Effect;
use crate::entry::Payload;
use crate::id::{LogId, LogIndex, NodeId};
use crate::membership::Membership;
use crate::sim::driver::SimNode;
use crate::sim::watch::Step;
use crate::time::Timestamp;

const PROPERTY: &str = "configuration safety";

impl Checks {
    /// Somebody was told that the change of membership that it asked for has taken place.
    pub(in crate::sim) fn changed(&self, at: LogId) -> Held {
        if self.canon_memberships.contains(&at) {
            return Ok(());
        }
        let detail =
            format!("a change is said to be settled by entry {at}, which is not committed");
        broken(PROPERTY, detail)
    }

    /// A membership that a node began with, or that somebody appended.
    pub(in crate::sim) fn has_membership(&mut self, at: LogId) {
        self.memberships.insert(at);
    }

    /// Whoever has committed a membership uses that one, or one after it in its own log.
    pub(in crate::sim) fn memberships_agree(&self, step: &Step<'_>) -> Held {
        let (own, committed) = (step.raft.membership_at(), step.after.committed);
        let is_old = own == step.moment.membership_at && committed == step.moment.before.committed;
        if is_old || committed == LogIndex::ZERO {
            return Ok(());
        }
        let known = self.canon_memberships.iter().rev();
        let newest = known.into_iter().find(|at| at.index <= committed);
        let is_right = if own.index <= committed {
            newest.is_none_or(|newest| *newest == own)
        } else {
            step.raft.term_at(own.index) == Some(own.term)
        };
        if is_right {
            return Ok(());
        }
        let node = step.node;
        let detail = format!(
            "node {node} has committed {committed}, and uses the membership of {own}, not that of \
             {newest:?}"
        );
        broken(PROPERTY, detail)
    }

    /// What a leader appends is a change that it may make now.
    pub(in crate::sim) fn changes_rightly(
        &self,
        step: &Step<'_>,
        now: Timestamp,
        nodes: &BTreeMap<NodeId, SimNode>,
    ) -> Held {
        let Some(new) = appended(step) else {
            return Ok(());
        };
        let (old, old_at) = (&step.moment.membership, step.moment.membership_at);
        let committed = step.after.committed;
        if only_records(old, new) {
            return Ok(());
        }
        let has_own = step.raft.term_at(committed);
        let reason = if old_at.index > committed {
            format!("before {old_at} is committed")
        } else if has_own.is_some_and(|term| term != step.after.term) {
            "before it has committed anything of its own".to_owned()
        } else if !is_a_step(old, new) {
            format!("that leaves {old} too far behind")
        } else if let Some(lagging) = self.lagging(step, old, new, now, nodes) {
            format!("that gives {lagging} a vote before it has caught up")
        } else {
            return Ok(());
        };
        let detail = format!("leader {} changes to {new} {reason}", step.node);
        broken(PROPERTY, detail)
    }

    /// Who gets a vote without what was committed two election timeouts ago (thesis §4.2.1).
    fn lagging(
        &self,
        step: &Step<'_>,
        old: &Membership,
        new: &Membership,
        now: Timestamp,
        nodes: &BTreeMap<NodeId, SimNode>,
    ) -> Option<NodeId> {
        let then = now.before(3 * step.config.election_timeout);
        // What a later leader has committed meanwhile is no business of one that was paused.
        let due = self.committed_by(then).min(step.after.committed);
        let joining = new.voters().difference(old.voters()).copied();
        let mut joining = joining.filter(|node| *node != step.node);
        joining.find(|node| {
            let Some(node) = nodes.get(node) else {
                return false;
            };
            // Its former self may be all that a leader that was paused knows of it.
            let former = node.former_disks.iter();
            let mut lives = former.chain([node.disk.durable()]);
            lives.all(|disk| disk.last() < due)
        })
    }

    fn committed_by(&self, then: Timestamp) -> LogIndex {
        let earlier = self.progress.iter().rev().find(|(at, _)| *at <= then);
        earlier.map_or(LogIndex::ZERO, |(_, committed)| *committed)
    }

    /// So much is committed by now.
    pub(in crate::sim) fn note_progress(&mut self, now: Timestamp) {
        let committed = self.committed();
        self.progress.push_back((now, committed));
        while self.progress.len() > PROGRESS_MAX {
            self.progress.pop_front();
        }
    }
}

/// The membership that a leader has appended in this step, if it has.
fn appended<'a>(step: &Step<'a>) -> Option<&'a Membership> {
    if !step.after.is_leader || !step.moment.before.is_leader {
        return None;
    }
    let writes = step.effects.iter().filter_map(|effect| match effect {
        Effect::Persist(write) => Some(write),
        _ => None,
    });
    let mut entries = writes.flat_map(|write| &write.append);
    entries.find_map(|entry| match entry.payload() {
        Payload::Membership { membership, .. } => Some(&**membership),
        Payload::Command(_) | Payload::Blank | Payload::Restoration { .. } => None,
    })
}

/// Whether nothing but the lives of members is written down: a founder may do that again before
/// its first entry is committed.
fn only_records(old: &Membership, new: &Membership) -> bool {
    old.voters() == new.voters()
        && old.outgoing() == new.outgoing()
        && old.goal() == new.goal()
        && old.members().keys().eq(new.members().keys())
}

/// Whether every quorum of one meets every quorum of the other.
fn is_a_step(old: &Membership, new: &Membership) -> bool {
    match (old.is_joint(), new.is_joint()) {
        (false, false) => old.voters().symmetric_difference(new.voters()).count() <= 1,
        (false, true) => new.outgoing() == old.voters(),
        (true, false) => new.voters() == old.voters(),
        (true, true) => new.voters() == old.voters() && new.outgoing() == old.outgoing(),
    }
}

/// More commits than the longest look back takes.
const PROGRESS_MAX: usize = 4_096;
