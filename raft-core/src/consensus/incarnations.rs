//! Which life of a node counts: the one that the group has written down (RULES 18, 19).
//!
//! A node whose disk was wiped has forgotten its votes and what it has acknowledged. It comes back
//! under its old name with another incarnation, and must not be taken for what it was. So the
//! membership tells which life of each voter counts, and every vote, acknowledgement, and answer to
//! a round of heartbeats is compared with that.
//!
//! Whoever founds a group, or recovers it, does not know the lives of its first members. In that one
//! election, by candidates whose log ends with the initial membership, votes count by name. The
//! first entry of the leader writes down who gave them; the others follow as they are met.

use super::effect::{Effect, Effects};
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::progress::Progress;
use super::shared::Shared;
use crate::entry::Payload;
use crate::id::{Incarnation, NodeId};
use crate::membership::Membership;
use crate::message::Round;

/// A node, and which life of it.
pub(super) type Life = (NodeId, Incarnation);

impl Shared {
    pub(super) fn own(&self) -> Life {
        (self.id, self.incarnation)
    }

    /// Whether the log ends with a membership in which nobody was met: the initial one, or that of a
    /// recovery. No leader has been heard since.
    pub(super) fn is_founding(&self) -> bool {
        self.memberships.current_at() == self.log.last().id && self.membership().is_founding()
    }

    /// Whether a vote of this life counts. Who votes no more is counted nowhere, and may lead all the
    /// same.
    pub(super) fn may_count_vote(&self, voter: NodeId, life: Incarnation) -> bool {
        match self.membership().incarnation(voter) {
            Some(recorded) => recorded == life || mutant(Mutant::FormerSelfCounts),
            None => {
                !self.membership().is_voter(voter)
                    || self.is_founding()
                    || mutant(Mutant::UnrecordedVotesCount)
            }
        }
    }

    /// Whether this life of this node votes in `membership`.
    pub(super) fn has_vote_in(&self, membership: &Membership) -> bool {
        membership.is_voter(self.id)
            && match membership.incarnation(self.id) {
                Some(recorded) => recorded == self.incarnation || mutant(Mutant::FormerSelfCounts),
                None => self.is_founding(),
            }
    }

    /// The life of this node that counts in its place.
    pub(super) fn other_life(&self) -> Option<Incarnation> {
        let recorded = self.membership().incarnation(self.id)?;
        (recorded != self.incarnation && !mutant(Mutant::FormerSelfCounts)).then_some(recorded)
    }

    /// Once all that is committed is here, what it tells of this node is no memory.
    pub(super) fn notice_displacement(&mut self, has_all: bool, out: &mut Effects) {
        let other = self.other_life().filter(|_| has_all);
        let is_superseded = other.is_some() && self.superseded() == other;
        if let Some(by) = other.filter(|_| other != self.displaced_by && !is_superseded) {
            out.push(Effect::Displaced { by });
        }
        self.displaced_by = other;
    }
}

impl Leader {
    /// What a new leader writes first. A founder writes down who has elected it.
    pub(super) fn founding_payload(&self, shared: &Shared) -> Payload {
        let voters = |node| match self.peers.get(&node) {
            Some(progress) => progress.life,
            None => (node == shared.id).then_some(shared.incarnation),
        };
        let known = shared.membership().recording(voters);
        let known = known.filter(|_| self.founds);
        // A membership that was encoded once can be encoded again.
        known.map_or(Payload::Blank, |known| {
            Payload::membership(known).unwrap_or(Payload::Blank)
        })
    }

    /// Somebody answers; says whether it is to be heard. Another life of a node begins anew, for what
    /// its former self has acknowledged says nothing about what this one has (RULES 19); and only
    /// with an answer that is later than all that was heard so far, or a late word of the former
    /// self would be taken for its return.
    pub(super) fn meet(&mut self, shared: &Shared, from: Life, round: Option<Round>) -> bool {
        let (node, life) = from;
        let Some(progress) = self.peers.get_mut(&node) else {
            return false;
        };
        if progress.life.is_none() || mutant(Mutant::FormerSelfAcknowledges) {
            progress.life = Some(life);
        }
        if progress.life == Some(life) && !progress.must_answer {
            progress.was_heard();
            return true;
        }
        let is_later = round.is_some_and(|round| round <= self.round && progress.is_later(round));
        if is_later {
            let next = shared.log.last().id.index.next();
            *progress = progress.renewed(life, next, shared.now);
        }
        is_later
    }

    /// What is known of a voter, if that counts.
    pub(super) fn counted(&self, shared: &Shared, voter: NodeId) -> Option<&Progress> {
        let progress = self.peers.get(&voter)?;
        let counts = match shared.membership().incarnation(voter) {
            Some(recorded) => progress.life == Some(recorded) || mutant(Mutant::FormerSelfCounts),
            None => false, // Written down first, then counted.
        };
        counts.then_some(progress)
    }

    /// The latest life of a node, as far as this leader has met it.
    pub(super) fn life_of(&self, shared: &Shared, node: NodeId) -> Option<Incarnation> {
        if node == shared.id {
            return Some(shared.incarnation);
        }
        self.peers.get(&node)?.life
    }

    /// Writes down which lives of voters were met, if that is open. Only between the steps of a
    /// change, as any other change; but a founder that lost one of those who elected it may need
    /// another to commit its first entry.
    pub(super) fn record_voters(&mut self, shared: &mut Shared, out: &mut Effects) {
        // While the leadership is handed over, the log does not grow: its heir has all of it. If
        // nobody takes over, this is caught up on.
        let is_unfounded = self.founds && shared.committed < self.first;
        if shared.transfer.is_some() || !(is_unfounded || self.may_step(shared)) {
            return;
        }
        let step = shared.membership().recording(|node| {
            let progress = self.peers.get(&node)?;
            progress.life.filter(|_| progress.is_alive)
        });
        if let Some(step) = step {
            // A membership that was encoded once can be encoded again.
            let _ = self.append_membership(shared, step, out);
        }
    }

    /// A voter whose life was struck off is to be met anew: it may have been wiped since.
    pub(super) fn forget_life(&mut self, shared: &Shared, peer: NodeId, before: &Membership) {
        let (was, is) = (
            before.incarnation(peer),
            shared.membership().incarnation(peer),
        );
        if was.is_some()
            && is.is_none()
            && let Some(progress) = self.peers.get_mut(&peer)
        {
            *progress = progress.clone().about(progress.life, self.round);
        }
    }
}
