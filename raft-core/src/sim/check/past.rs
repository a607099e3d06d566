//! A message of an earlier term, or of another group, changes nothing (RULES 12, 31).

use super::{Held, broken};
use crate::sim::watch::{Says, Step, Took};

impl Step<'_> {
    /// Terms are asked about, not asserted, by pre-votes and their grants; they do not count here.
    pub(in crate::sim) fn takes_nothing_from_the_past(&self) -> Held {
        let (before, after) = (&self.moment.before, self.after);
        let sender = match self.moment.took {
            Took::Message {
                says: Says::PreVote { .. } | Says::PreVoteReply,
                ..
            } => return Ok(()),
            Took::Message { from, term, .. } if term < before.term => Some(from),
            Took::Foreign => None,
            _ => return Ok(()),
        };
        let belief = sender.and_then(|sender| self.raft.belief(sender));
        let is_same = (before.term, before.role, before.last, before.committed)
            == (after.term, after.role, after.last, after.committed)
            && self.moment.leader == self.raft.standing().leader
            && belief == self.moment.belief;
        if is_same {
            return Ok(());
        }
        let (node, took) = (self.node, self.moment.took);
        let detail = format!("{took:?} changes node {node} from {before:?} to {after:?}");
        broken("the past changes nothing", detail)
    }

    /// A rejection of what is known to be stored is late, and moves nothing (RULES 31).
    pub(in crate::sim) fn does_not_go_back_without_cause(&self) -> Held {
        let (Some(belief), Took::Message { from, says, .. }) =
            (self.moment.belief, self.moment.took)
        else {
            return Ok(());
        };
        let now = self.raft.belief(from);
        let is_late = matches!(says, Says::Rejects { previous } if previous <= belief.matched);
        if is_late && now.is_some_and(|now| now.next < belief.next) {
            let node = self.node;
            let detail = format!("{node}, of {from}: {says:?} leads from {belief:?} to {now:?}");
            return broken("a late rejection changes nothing", detail);
        }
        Ok(())
    }
}
