//! Who campaigns has a vote, a whole state and a disk that moves, and was not asleep.

use super::{Held, broken};
use crate::consensus::RoleName;
use crate::sim::watch::{Says, Step, Took, Watched};

impl Step<'_> {
    pub(in crate::sim) fn campaigns_rightly(&self, watched: &Watched, restores: bool) -> Held {
        if !self.campaigns() {
            return Ok(());
        }
        let local = self.moment.local;
        let stall = 2 * self.config.disk_stall_timeout;
        let oldest = watched.writes.front();
        let is_stalled = oldest.is_some_and(|(_, since)| local.since(*since) > stall);
        let overslept = self.moment.election_deadline.is_some_and(|deadline| {
            self.moment.took == Took::TimePassed
                && self.moment.before.role == RoleName::Follower
                && local.since(deadline) >= self.config.election_timeout
        });
        let is_ordered_by_nobody = match self.moment.took {
            Took::Message {
                from,
                says: Says::TimeoutNow,
                ..
            } => self.moment.leader != Some(from),
            _ => false,
        };
        let reason = if !self.raft.has_any_vote() {
            "without a vote"
        } else if restores {
            "while its snapshot is being restored"
        } else if is_stalled {
            "while its disk stands still"
        } else if overslept {
            "before it has read what came while it slept"
        } else if is_ordered_by_nobody {
            "on the order of one that it does not follow"
        } else {
            return Ok(());
        };
        let detail = format!("node {} campaigns {reason}", self.node);
        broken("who may campaign", detail)
    }
}
