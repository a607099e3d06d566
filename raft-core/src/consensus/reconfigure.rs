//! Changes of membership: the leader, whichever it is, drives the group to its goal, a step at a
//! time (thesis §4).
//!
//! A step is taken only when the one before it is committed, and only by a leader that has
//! committed an entry of its own term: else two leaders could each complete a change that the
//! other does not know of (the 2015 correction to thesis §4.1).

use super::effect::{ChangeRefusal, Effect, Effects};
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::progress::Progress;
use super::shared::Shared;
use crate::change::MembershipChange;
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{LogId, LogIndex, NodeId};
use crate::membership::Membership;
use crate::time::Timestamp;

/// How a node that is to get a vote catches up: in rounds, each of what the log held when it
/// began. The last round must take no longer than an election timeout, so that the group does not
/// stand still for it (thesis §4.2.1).
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct CatchUp {
    through: LogIndex,
    since: Timestamp,
    pub(super) rounds: u32,
}

/// Whether all that will vote are written down: the acknowledgements of others do not count, and a
/// smaller group might have nobody left that can commit, nor lead.
fn have_been_met(shared: &Shared, step: &Membership) -> bool {
    let mut voters = step.voters().iter();
    voters.all(|voter| *voter == shared.id || step.incarnation(*voter).is_some())
}

/// How long members that have left are still told so, in election timeouts.
const FAREWELL: u32 = 2;

impl Leader {
    /// Somebody wants the group to become another one.
    pub(super) fn on_change(
        &mut self,
        shared: &mut Shared,
        change: &MembershipChange,
        out: &mut Effects,
    ) {
        let answer = self.begin_change(shared, change, out);
        out.push(Effect::ChangeAnswered(answer));
        self.drive_change(shared, out);
    }

    pub(super) fn begin_change(
        &mut self,
        shared: &mut Shared,
        change: &MembershipChange,
        out: &mut Effects,
    ) -> Result<LogId, ChangeRefusal> {
        let at = shared.memberships.current_at();
        let is_early = !self.may_step(shared) && !mutant(Mutant::TwoChangesAtOnce);
        if is_early || shared.transfer.is_some() {
            return Err(ChangeRefusal::NotReady);
        }
        let step = change
            .first_step(shared.membership(), at)
            .map_err(ChangeRefusal::Invalid)?;
        // Who leaves hands over first, so the goal is written down for its heir. So it is while
        // some of those who would have to commit the step have never been met.
        let leaves = step.goal().is_none() && !step.is_voter(shared.id);
        let votes_move = step.voters() != shared.membership().voters();
        let step = if leaves || (votes_move && !have_been_met(shared, &step)) {
            shared.membership().announcing(step)
        } else {
            step
        };
        self.append_membership(shared, step, out)
    }

    /// The membership in force is committed, and so is an entry of this leader's term.
    pub(super) fn may_step(&self, shared: &Shared) -> bool {
        let at = shared.memberships.current_at().index;
        at <= shared.committed
            && (self.first <= shared.committed || mutant(Mutant::ChangeBeforeOwnEntry))
    }

    /// Takes the next step of a change, if its time has come.
    pub(super) fn drive_change(&mut self, shared: &mut Shared, out: &mut Effects) {
        self.record_voters(shared, out);
        if !self.may_step(shared) {
            return;
        }
        let membership = shared.membership().clone();
        let Some(goal) = membership.goal() else {
            return self.settle_change(shared, &membership, out);
        };
        if mutant(Mutant::JointNeverLeft) && membership.is_joint() {
            return;
        }
        if !mutant(Mutant::LearnersPromotedAtOnce)
            && !self.have_caught_up(shared, &membership.joining())
        {
            return;
        }
        // Who leaves hands over first, so that nobody has to wait for an election.
        let leaves = !goal.voters.contains(&shared.id);
        let hands_over = shared.transfer.is_some();
        if leaves && !self.has_tried_to_yield && self.yield_to(shared, &goal.voters, out) {
            self.has_tried_to_yield = !hands_over;
            return;
        }
        if shared.transfer.is_none()
            && let Some(step) = membership.next_step(|node| self.life_of(shared, node))
            && have_been_met(shared, &step)
        {
            // A membership that was encoded once can be encoded again.
            let _ = self.append_membership(shared, step, out);
        }
    }

    /// The goal is reached and committed.
    fn settle_change(&mut self, shared: &mut Shared, membership: &Membership, out: &mut Effects) {
        let at = shared.memberships.current_at();
        if self.settled != at {
            self.settled = at;
            self.catching_up.clear();
            if !mutant(Mutant::SettledNotTold) {
                out.push(Effect::MembershipSettled { at });
            }
        }
        // A leader without a vote has led to the end what removed it (thesis §4.2.2).
        self.retires = !membership.is_voter(shared.id) && !mutant(Mutant::RemovedLeaderStays);
    }

    pub(super) fn append_membership(
        &mut self,
        shared: &mut Shared,
        membership: Membership,
        out: &mut Effects,
    ) -> Result<LogId, ChangeRefusal> {
        // This life is at work, whatever is forgotten about the others.
        let own = |node| (node == shared.id).then_some(shared.incarnation);
        let membership = membership.recording(own).unwrap_or(membership);
        let before = shared.membership().clone();
        let payload = Payload::membership(membership);
        let payload = payload.map_err(|error| ChangeRefusal::TooLarge(error.to_string()))?;
        let time = self.cluster_time(shared);
        let entry = Entry::new(shared.log.last(), self.term, time, Sealed::new(payload));
        let at = entry.id();
        shared.append(&[entry], out);
        self.meet_members(shared, &before);
        self.replicate_to_all(shared, out);
        // A smaller quorum may have been reached already.
        self.advance_commit(shared, out);
        Ok(at)
    }

    /// New members are probed from the end of the log. Those who left are told so for a while.
    fn meet_members(&mut self, shared: &Shared, before: &Membership) {
        let next = shared.log.last().id.index.next();
        for peer in shared.peers() {
            // Who comes back may come with an empty disk: what it has acknowledged is forgotten.
            let stays = |progress: &Progress| progress.left.is_none();
            if !self.peers.get(&peer).is_some_and(stays) {
                let former = self.peers.get(&peer).and_then(|progress| progress.life);
                let new = Progress::new(next, shared.now).returning(former, self.round);
                self.peers.insert(peer, new);
            }
            self.forget_life(shared, peer, before);
        }
        for (peer, progress) in &mut self.peers {
            if !shared.membership().contains(*peer) {
                progress.left = progress.left.or(Some(shared.now));
            }
        }
    }

    /// Forgets those who left long enough ago.
    pub(super) fn take_leave(&mut self, shared: &Shared) {
        let patience = FAREWELL * shared.config.election_timeout;
        let stays = |progress: &Progress| {
            progress
                .left
                .is_none_or(|left| shared.now.since(left) < patience)
        };
        self.peers.retain(|_, progress| stays(progress));
    }

    /// Whether every node that is to get a vote has completed a quick round.
    fn have_caught_up(&mut self, shared: &Shared, joining: &[NodeId]) -> bool {
        let mut all = true;
        // A leader that was voted out, and is to vote again, has its own log.
        for node in joining.iter().filter(|node| **node != shared.id) {
            let matched = self
                .peers
                .get(node)
                .map_or(LogIndex::ZERO, |progress| progress.matched);
            let round = self.catching_up.entry(*node).or_insert(CatchUp {
                through: shared.log.last().id.index,
                since: shared.now,
                rounds: 0,
            });
            if matched < round.through {
                all = false;
            } else if shared.now.since(round.since) > shared.config.election_timeout {
                all = false;
                *round = CatchUp {
                    through: shared.log.last().id.index,
                    since: shared.now,
                    rounds: round.rounds.saturating_add(1),
                };
            }
        }
        all
    }
}
