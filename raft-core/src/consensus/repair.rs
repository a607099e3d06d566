//! A node whose stores were damaged and began anew becomes a voter again, without an operator.
//!
//! What its former life had promised and stored is lost, so to everybody it is a wiped node
//! (`incarnations`): another life has its vote, it abstains, and it receives the log. But here the
//! stores remember whose data was damaged ([`FormerLives`]). So the node can tell the leader, with its
//! answers to heartbeats, that the life which has its vote is over; and the leader begins the change
//! that an operator would ask for: that life is struck off, and the new one is met and written down.
//!
//! A claim is only about a life that the sender's own stores knew, and counts only while that is the
//! one in the membership. A late one finds another there. Should a claim be wrong all the same, a voter
//! has lost its vote in the way of any change of membership, which endangers nothing.

use super::effect::{Effect, Effects};
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::quorum;
use super::shared::Shared;
use crate::change::MembershipChange;
use crate::former_lives::FormerLives;
use crate::id::{Incarnation, LogId, NodeId};

/// Goes on until the group counts the new life of this node.
#[derive(Clone, Debug, Hash)]
pub(super) struct Repair {
    former: FormerLives,
    is_announced: bool,
    /// All that was committed when the leader last said so is here.
    has_all: bool,
    /// As far as this node knows it has no vote, and so nothing that anybody could miss. That may be an
    /// old membership: what is over is not forgotten before the group counts this life.
    is_at_rest: bool,
}

impl Repair {
    /// What is to be repaired after these lives, if anything still is.
    pub(super) fn after(former: FormerLives) -> Option<Self> {
        (!former.is_repaired).then_some(Self {
            former,
            is_announced: false,
            has_all: false,
            is_at_rest: false,
        })
    }

    /// What is to be repaired, unless there is nothing to do at the moment.
    pub(super) fn under_way(&self) -> Option<&FormerLives> {
        (!self.is_at_rest).then_some(&self.former)
    }
}

impl Shared {
    /// Whether this life must keep out of elections: another one has its vote, or votes may count by
    /// name and its name stands for what it has forgotten. Once its log tells who was met, whoever counts
    /// by name has less than it has. Then it votes when it is asked, for it may have been given a vote
    /// without knowing.
    pub(super) fn must_abstain(&self) -> bool {
        let is_repairing = self.repair.as_ref().and_then(Repair::under_way).is_some();
        let is_founding =
            self.memberships.current_at() == LogId::ORIGIN || self.membership().is_founding();
        let is_uncounted = is_repairing
            && is_founding
            && !self.membership().admits(self.id, self.incarnation)
            && !mutant(Mutant::RepairedVotes);
        is_uncounted || self.other_life().is_some()
    }

    /// The life of this node that has its vote, if that is over.
    pub(super) fn superseded(&self) -> Option<Incarnation> {
        let former = &self.repair.as_ref()?.former;
        let is_over =
            |life: &Incarnation| former.include(*life) || mutant(Mutant::SupersedesStrangers);
        self.other_life().filter(is_over)
    }

    /// A leader was heard: what was lost can be had again.
    pub(super) fn announce_repair(&mut self, out: &mut Effects) {
        if let Some(repair) = self.repair.as_mut().filter(|repair| !repair.is_announced) {
            repair.is_announced = true;
            let reason = repair.former.reason.clone();
            out.push(Effect::Repairing { reason });
        }
    }

    /// The leader has said how far the log is committed: whether all of that is here.
    pub(super) fn notice_contents(&mut self, has_all: bool) {
        if let Some(repair) = &mut self.repair {
            repair.has_all = has_all;
        }
    }

    /// The repair is over when the membership that counts this life is committed, and on this disk:
    /// then no truncation and no crash brings an older one back. Who has no vote is at rest when it has
    /// what the others have, and goes on if it learns that a former life of it has one.
    pub(super) fn notice_repair(&mut self, out: &mut Effects) {
        let is_displaced = self.superseded().is_some();
        let (at, membership) = (self.memberships.current_at().index, self.membership());
        let is_settled = at <= self.committed && at <= self.log.durable();
        let is_voter = membership.is_voter(self.id);
        let is_counted = match is_voter {
            true => membership.admits(self.id, self.incarnation),
            false => membership.contains(self.id),
        };
        let Some(repair) = self.repair.as_mut() else {
            return;
        };
        if is_displaced && repair.is_at_rest {
            (repair.is_at_rest, repair.is_announced) = (false, false);
        }
        let is_over = is_counted && (is_settled || mutant(Mutant::RepairEndsEarly));
        if !is_over || mutant(Mutant::RepairNeverEnds) {
            return;
        }
        let was_at_rest = repair.is_at_rest;
        if is_voter {
            self.repair = None;
            self.pending.stage_repaired();
        } else if repair.has_all {
            repair.is_at_rest = true;
        } else {
            return;
        }
        if !was_at_rest {
            out.push(Effect::Repaired);
        }
    }
}

impl Leader {
    /// The present life of `node` says that this one is over. If it is the one that has the vote, the
    /// new one takes its place. Refused while another change is on its way, or a transfer: the next
    /// answer says it again.
    pub(super) fn on_superseded(
        &mut self,
        shared: &mut Shared,
        node: NodeId,
        over: Option<Incarnation>,
        out: &mut Effects,
    ) {
        let Some(over) = over.filter(|_| !mutant(Mutant::NeverReadmitted)) else {
            return;
        };
        let membership = shared.membership();
        let recorded = membership.incarnation(node);
        let is_recorded =
            recorded == Some(over) || (recorded.is_some() && mutant(Mutant::AnyLifeSuperseded));
        // Nothing is begun that the others cannot commit, as of two voters the other one.
        let is_counted = |voter| voter == shared.id || self.counted(shared, voter).is_some();
        let can_end = quorum::has_majority(membership, |voter| voter != node && is_counted(voter));
        let Some(member) = membership.members().get(&node) else {
            return;
        };
        if is_recorded && can_end && self.life_of(shared, node) != recorded {
            let change = MembershipChange::renew(node, member);
            let _ = self.begin_change(shared, &change, out);
        }
    }
}
