//! When all is well again, it stays so: the leader keeps its office, and nobody disturbs it.

use super::check::{Broken, Held, broken};
use super::cluster::Cluster;
use crate::consensus::{Event, RoleName};
use crate::id::{NodeId, Term};

/// So many election timeouts nobody may campaign. A follower waits for two at most.
const CALM_TIMEOUTS: u32 = 12;

impl Cluster {
    /// After the recovery: nobody campaigns. Then members do on demand, as if they alone heard
    /// nothing, and depose nobody.
    pub(super) fn stay_calm(&mut self) -> Result<(), Broken> {
        if self.plan.mishaps.is_beyond_contract {
            return Ok(()); // Nobody promises that such a group has a leader.
        }
        let timeout = self.plan.config.election_timeout;
        self.run_until(self.now + 2 * timeout)?;
        self.end_of_hand_over()?;
        let office = self.newest_office();
        let leader = office.and_then(|(_, leader)| self.nodes.get(&leader));
        let raft = leader.and_then(|leader| leader.raft.as_ref());
        let members = raft.map(|raft| raft.membership().members().keys().copied().collect());
        self.calm = members.unwrap_or_default();
        self.run_until(self.now + CALM_TIMEOUTS * timeout)?;
        self.calm.clear();
        self.end_of_hand_over()?;
        self.is_still_led_by(office)?;
        let members: Vec<NodeId> = self.nodes.keys().copied().collect();
        for member in members {
            self.step(member, Event::CampaignRequested)?;
            self.run_until(self.now + timeout / 2)?;
        }
        self.run_until(self.now + timeout)?;
        self.end_of_hand_over()?;
        self.is_still_led_by(office)
    }

    /// One that is wanted less may be handing over just now: its heir is about to lead.
    fn end_of_hand_over(&mut self) -> Result<(), Broken> {
        if self.newest_office().is_some() {
            return Ok(());
        }
        self.run_until(self.now + 2 * self.plan.config.election_timeout)
    }

    /// Who leads the newest term.
    pub(super) fn newest_office(&self) -> Option<(Term, NodeId)> {
        let nodes = self.nodes.iter();
        let standing = nodes.filter_map(|(id, node)| Some((id, node.raft.as_ref()?.standing())));
        let leaders = standing.filter(|(_, standing)| standing.role == RoleName::Leader);
        leaders.map(|(id, standing)| (standing.term, *id)).max()
    }

    /// Whether no voter is wanted as leader more than this one.
    fn is_wanted_most(&self, leader: NodeId) -> bool {
        let node = self.nodes.get(&leader);
        let raft = node.and_then(|node| node.raft.as_ref());
        raft.is_none_or(|raft| {
            let membership = raft.membership();
            let own = membership.priority(leader);
            let mut voters = membership.voters().iter();
            voters.all(|voter| membership.priority(*voter) <= own)
        })
    }

    fn is_still_led_by(&self, office: Option<(Term, NodeId)>) -> Held {
        let now = self.newest_office();
        let was_wanted = office.is_some_and(|(_, leader)| self.is_wanted_most(leader));
        // One that is wanted less hands over when it likes.
        if office.is_some() && (now == office || (now.is_some() && !was_wanted)) {
            return Ok(());
        }
        let detail = format!("nothing has gone wrong, and {office:?} is succeeded by {now:?}");
        broken("stability", detail)
    }
}
