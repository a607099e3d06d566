//! A leader commits by counting only entries of its own term (thesis §3.6.2, figure 3.7).

use super::{Held, broken};
use crate::sim::watch::Step;

impl Step<'_> {
    pub(in crate::sim) fn commits_rightly(&self) -> Held {
        let (before, after) = (&self.moment.before, self.after);
        if !after.is_leader || after.committed <= before.committed {
            return Ok(());
        }
        let term = self.raft.term_at(after.committed);
        if term.is_some_and(|term| term != after.term) {
            let (node, committed, leads) = (self.node, after.committed, after.term);
            let detail =
                format!("leader {node} of term {leads} counts copies of {committed} of {term:?}");
            return broken("commit rule", detail);
        }
        Ok(())
    }
}
