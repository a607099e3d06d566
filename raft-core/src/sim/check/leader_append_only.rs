//! A leader never overwrites or deletes entries in its log; it only appends new ones.

use super::{Held, broken};
use crate::consensus::Effect;
use crate::sim::watch::Step;

impl Step<'_> {
    /// While it leads a term, a leader keeps what it has, but for what a snapshot stands for.
    pub(in crate::sim) fn only_appends_as_leader(&self) -> Held {
        let (before, after) = (&self.moment.before, self.after);
        if !before.is_leader || !after.is_leader || before.term != after.term {
            return Ok(());
        }
        let truncates = self.effects.iter().any(
            |effect| matches!(effect, Effect::Persist(write) if write.truncate_from.is_some()),
        );
        let last = before.last;
        let kept = self.raft.link_at(last.index).map(|link| link.id);
        let is_kept = last.index <= self.raft.purged() || kept == Some(last);
        if is_kept && !truncates {
            return Ok(());
        }
        let (node, term) = (self.node, after.term);
        let detail =
            format!("leader {node} of term {term} had entry {last}, and has {kept:?} there");
        broken("leader append-only", detail)
    }
}
