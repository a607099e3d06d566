//! After the last fault the cluster has to recover, within a bound.

use std::time::Duration;

use super::{Broken, broken};
use crate::id::LogIndex;
use crate::sim::cluster::Cluster;

/// How many election timeouts a healed cluster may take to elect, catch up and answer.
const RECOVERY_TIMEOUTS: u32 = 60;

impl Cluster {
    /// After the last fault: one leader, that commits new entries, which everyone applies, and
    /// everybody who waits is answered; within a bound.
    pub(in crate::sim) fn recover(&mut self) -> Result<(), Broken> {
        // What was delayed before the end may still come.
        let straggling = 10 * self.plan.config.election_timeout + Duration::from_secs(4);
        self.run_until(self.now + straggling)?;
        let (before, asked) = (self.checks.committed(), self.clients.asked);
        let goal = before.next();
        // A follower that lags catches up an entry a round trip in the tightest configuration.
        let round_trip = self.plan.sync.1 + 3 * self.plan.latency.1 + Duration::from_millis(1);
        let backlog = u32::try_from(goal.get()).unwrap_or(u32::MAX);
        // Each of them is replaced by a node, or a life, that has to catch up first.
        let renewed = self.nodes.values().map(|node| node.former_disks.len());
        let lost = self.operator.lost.len() + renewed.sum::<usize>();
        let lost = u32::try_from(lost).unwrap_or(0);
        let timeouts = RECOVERY_TIMEOUTS * (1 + lost) * self.plan.config.election_timeout;
        let patience = timeouts + backlog * (1 + lost) * round_trip;
        let end = self.now + patience;
        while self.now < end {
            self.run_until(self.now + self.plan.config.election_timeout)?;
            let is_promised = !self.plan.mishaps.is_beyond_contract;
            if !is_promised
                && self.now + RECOVERY_TIMEOUTS * self.plan.config.election_timeout > end
            {
                return Ok(());
            }
            let owed = self.futures.all_end(self.now, self.answer_patience());
            if owed.is_ok() && self.have_all_applied(goal) && self.is_everyone_answered() {
                return Ok(());
            }
        }
        self.futures.all_end(self.now, self.answer_patience())?;
        // Clients may want nothing for a long time, or ever again.
        let is_idle = self.clients.asked == asked && self.is_everyone_answered();
        if is_idle && self.have_all_applied(before) {
            return Ok(());
        }
        let states = self.nodes.iter().map(|(id, node)| match &node.raft {
            Some(raft) => format!("{id}: {:?}", raft.status()),
            None => format!("{id}: down"),
        });
        let states: Vec<String> = states.collect();
        broken(
            "liveness",
            format!(
                "{patience:?} after the last fault, entry {goal} is not applied everywhere, or somebody \
             waits: {:?}\n{}",
                self.clients.waiting,
                states.join("\n")
            ),
        )
    }

    /// Every member, as the leader knows them; and the membership is on its way to nothing.
    fn have_all_applied(&self, goal: LogIndex) -> bool {
        let leader = self.any_leader().and_then(|id| self.nodes.get(&id));
        let Some(raft) = leader.and_then(|node| node.raft.as_ref()) else {
            return false;
        };
        let membership = raft.status().membership;
        membership.goal().is_none()
            && !self.is_any_repairing()
            && membership.members().keys().all(|id| {
                let node = self.nodes.get(id);
                node.is_some_and(|node| node.machine.applied() >= goal)
                    && !self.is_to_be_replaced(*id)
            })
    }

    /// How long an answer may take when nothing goes wrong.
    fn answer_patience(&self) -> Duration {
        10 * self.plan.config.election_timeout
    }

    fn is_everyone_answered(&self) -> bool {
        let patience = self.answer_patience();
        let waiting = self.clients.waiting.values();
        waiting
            .into_iter()
            .all(|operation| self.now.since(operation.since) < patience)
    }
}
