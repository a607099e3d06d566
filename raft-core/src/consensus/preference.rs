//! Who is wanted as leader more than others.
//!
//! A preference, never a condition: who is wanted less asks for votes later, but asks; and a leader
//! that is wanted less hands over once a better one has been ready for long enough. So the only
//! node with the newest log leads, whatever its priority, until another has caught up (RULES 59).

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::effect::Effects;
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::role::Role;
use super::shared::Shared;
use crate::id::{LogIndex, NodeId};
use crate::membership::Priority;
use crate::time::Timestamp;

/// How far a node has stood back for others since a leader was last heard.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Deference {
    /// Election timeouts that it let pass.
    turns: u32,
    /// Who led last: it is lost, so nobody stands back for it.
    lost: Option<NodeId>,
}

/// Who is to follow a leader that others are preferred to.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Succession {
    /// Who is wanted most and ready, and since when.
    heir: Option<(NodeId, Timestamp)>,
    /// What was committed one heartbeat ago: who stores less has not caught up.
    mark: LogIndex,
}

/// Greater priorities that a node stands back for, an election timeout each: with more, an
/// election would take too long.
const TURNS_MAX: usize = 3;
/// A better leader must have been ready for this many election timeouts. Also the least time
/// between two attempts, so that the office does not go to and fro.
const PATIENCE: u32 = 10;

impl Shared {
    /// A leader was heard, or this node leads.
    pub(super) fn note_leader(&mut self, leader: NodeId) {
        self.deference = Deference {
            turns: 0,
            lost: Some(leader),
        };
    }

    /// Whether this election timeout is left to those who are wanted more. Each that passes asks
    /// one priority less of a candidate, until it is this node's own.
    pub(super) fn stands_back(&mut self) -> bool {
        let Deference { turns, lost } = self.deference;
        let membership = self.membership();
        let own = membership.priority(self.id);
        let others = membership.members().keys();
        let others = others.filter(|node| membership.is_voter(**node) && Some(**node) != lost);
        let better: BTreeSet<Priority> = others
            .map(|node| membership.priority(*node))
            .filter(|priority| *priority > own)
            .collect();
        if mutant(Mutant::PriorityNeverDecays) {
            return !better.is_empty();
        }
        let stands_back = (turns as usize) < better.len().min(TURNS_MAX);
        if stands_back {
            self.deference.turns += 1;
        }
        stands_back
    }

    /// Somebody who cannot win has asked: there is nobody to stand back for.
    pub(super) fn stand_forward(&mut self) {
        self.deference.turns = u32::MAX;
    }
}

impl super::Raft {
    /// Leaves this election timeout to those who are wanted more, if there are any. The leader is
    /// lost all the same.
    pub(super) fn defers_to_others(&mut self) -> bool {
        let Role::Follower(follower) = &mut self.role else {
            return false;
        };
        if !self.shared.stands_back() {
            return false;
        }
        follower.leader = None;
        self.shared.restart_election_timer();
        true
    }
}

impl Succession {
    /// `inherited` is the last entry of the new leader's log.
    pub(super) fn new(inherited: LogIndex) -> Self {
        Self {
            heir: None,
            mark: inherited,
        }
    }
}

impl Leader {
    /// Hands over to a voter that is wanted more, once it has been ready for a while. Called with
    /// every heartbeat.
    pub(super) fn yield_to_preferred(&mut self, shared: &mut Shared, out: &mut Effects) {
        let heir = self.preferred(shared);
        self.succession.mark = self.succession.mark.max(shared.committed);
        let since = match self.succession.heir {
            Some((known, since)) if Some(known) == heir => since,
            Some(_) | None => shared.now,
        };
        self.succession.heir = heir.map(|heir| (heir, since));
        let is_early = shared.now.since(since) < PATIENCE * shared.config.election_timeout;
        let is_busy = shared.transfer.is_some() || shared.membership().goal().is_some();
        if let Some(heir) = heir
            && !is_early
            && !is_busy
        {
            self.succession.heir = Some((heir, shared.now));
            self.begin_transfer(shared, heir, out);
        }
    }

    fn preferred(&self, shared: &Shared) -> Option<NodeId> {
        let own = shared.membership().priority(shared.id);
        let voters = shared.membership().voters().iter().copied();
        let better = |node: &NodeId| {
            shared.membership().priority(*node) > own && self.is_ready(shared, *node)
        };
        self.best(shared, voters.filter(better))
    }

    /// Of these nodes, who can take over soonest and best: who is heard and has caught up, then who
    /// is wanted most, then who stores most.
    pub(super) fn best(
        &self,
        shared: &Shared,
        among: impl Iterator<Item = NodeId>,
    ) -> Option<NodeId> {
        let among = among.filter(|node| self.counted(shared, *node).is_some());
        among.max_by_key(|node| {
            let matched = self.peers.get(node).map(|progress| progress.matched);
            (
                self.is_ready(shared, *node),
                shared.membership().priority(*node),
                matched.unwrap_or(LogIndex::ZERO),
                Reverse(*node),
            )
        })
    }

    fn is_ready(&self, shared: &Shared, node: NodeId) -> bool {
        self.counted(shared, node).is_some_and(|progress| {
            let is_heard = shared.now.since(progress.heard) < shared.config.election_timeout;
            is_heard && progress.matched >= self.succession.mark
        })
    }
}
