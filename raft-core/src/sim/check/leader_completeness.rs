//! A committed entry is present in the log of every leader of a higher term.

use super::{Checks, Held, broken};
use crate::consensus::Raft;
use crate::id::{NodeId, Term};

impl Checks {
    pub(in crate::sim) fn leads(&self, leader: NodeId, term: Term, raft: &Raft) -> Held {
        let is_newest = self
            .leaders
            .keys()
            .next_back()
            .is_none_or(|newest| *newest <= term);
        let Some(committed) = self.canon.last().filter(|_| is_newest) else {
            return Ok(());
        };
        let index = committed.id.index;
        if raft.purged() >= index || raft.link_at(index) == Some(*committed) {
            return Ok(());
        }
        let has = raft.link_at(index);
        broken(
            "leader completeness",
            format!(
                "leader {leader} of term {term} lacks {committed}, which is committed: {has:?}"
            ),
        )
    }
}
