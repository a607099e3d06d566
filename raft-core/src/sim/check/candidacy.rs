//! Who campaigns has a vote, a whole state and a disk that moves, and was not asleep.

use super::{Held, broken};
use crate::consensus::RoleName;
use crate::sim::watch::{Moment, Says, Step, Took, Watched};

impl Step<'_> {
    /// Who has a vote, in the membership it has or in one that is in force until that is committed,
    /// campaigns when it has heard no leader for too long: it may be the only one who can lead
    /// (thesis §4.2.2).
    pub(in crate::sim) fn campaigns_when_due(&self) -> Held {
        let Moment {
            local,
            took,
            before,
            election_deadline,
            ..
        } = self.moment;
        let timeout = self.config.election_timeout;
        let is_due = election_deadline
            .is_some_and(|deadline| *local >= deadline && local.since(deadline) < timeout);
        let membership = self.raft.membership();
        let own = membership.priority(self.node);
        let mut voters = membership.voters().union(membership.outgoing());
        let stands_back = voters.any(|voter| membership.priority(*voter) > own);
        let must = *took == Took::TimePassed
            && before.role == RoleName::Follower
            && is_due
            && self.raft.has_any_vote()
            && self.raft.is_free_to_campaign()
            && !stands_back;
        if !must || self.campaigns() || self.is_elected() {
            return Ok(());
        }
        let detail = format!("node {} has heard no leader, and does nothing", self.node);
        broken("who has a vote campaigns", detail)
    }

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
