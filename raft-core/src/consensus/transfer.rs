//! Leadership transfer (thesis §3.10): the target catches up, then begins an election at once.

use super::mutant::{Mutant, mutant};
use std::collections::BTreeSet;

use super::Raft;
use super::effect::{Effect, Effects, TransferError};
use super::leader::Leader;
use super::role::Role;
use super::shared::Shared;
use super::timer::Timer;
use crate::id::NodeId;
use crate::message::Body;

/// To whom leadership goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Of the voters that are heard and have caught up the one that is wanted most
    /// ([`crate::membership::Priority`]), and among equals the one that stores most of the log.
    Best,
    /// This voter.
    Node(NodeId),
}

/// A transfer under way. It outlives the office: the outcome is known when a leader is.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Transfer {
    pub(super) to: NodeId,
    /// The target has the whole log and was told to campaign.
    ordered: bool,
}

impl Leader {
    /// Somebody wants another leader. From here on proposals are refused, until the transfer ends.
    pub(super) fn on_transfer(&mut self, shared: &mut Shared, to: To, out: &mut Effects) {
        match self.transfer_target(shared, to) {
            Ok(target) => self.begin_transfer(shared, target, out),
            Err(error) => out.push(Effect::TransferEnded(Err(error))),
        }
    }

    fn transfer_target(&self, shared: &Shared, to: To) -> Result<NodeId, TransferError> {
        if let Some(transfer) = shared.transfer {
            return Err(TransferError::InProgress(transfer.to));
        }
        match to {
            To::Best => self
                .best_of(shared, shared.membership().voters())
                .ok_or(TransferError::NoOtherVoter),
            To::Node(node) if !shared.membership().contains(node) => {
                Err(TransferError::UnknownNode(node))
            }
            To::Node(node) if !shared.membership().voters().contains(&node) => {
                Err(TransferError::NotVoter(node))
            }
            To::Node(node) if node == shared.id => Err(TransferError::IsLeader),
            To::Node(node) if self.counted(shared, node).is_none() => {
                Err(TransferError::NotAdmitted(node))
            }
            To::Node(node) => Ok(node),
        }
    }

    /// Hands over to the best of `heirs` that votes already. Whether there is one.
    pub(super) fn yield_to(
        &mut self,
        shared: &mut Shared,
        heirs: &BTreeSet<NodeId>,
        out: &mut Effects,
    ) -> bool {
        if shared.transfer.is_some() {
            return true;
        }
        let voting = heirs.intersection(shared.membership().voters());
        let voting: BTreeSet<NodeId> = voting.copied().collect();
        let Some(heir) = self.best_of(shared, &voting) else {
            return false;
        };
        self.begin_transfer(shared, heir, out);
        true
    }

    fn best_of(&self, shared: &Shared, among: &BTreeSet<NodeId>) -> Option<NodeId> {
        let others = among.iter().copied().filter(|node| *node != shared.id);
        self.best(shared, others)
    }

    pub(super) fn begin_transfer(&mut self, shared: &mut Shared, to: NodeId, out: &mut Effects) {
        shared.transfer = Some(Transfer { to, ordered: false });
        let patience = shared.config.election_timeout;
        shared.timers.set(Timer::Transfer, shared.now + patience);
        self.replicate_to(to, shared, out);
        self.continue_transfer(shared, out);
    }

    /// Gives the order once the target has everything.
    pub(super) fn continue_transfer(&mut self, shared: &mut Shared, out: &mut Effects) {
        let Some(Transfer { to, ordered: false }) = shared.transfer else {
            return;
        };
        let matched = self.counted(shared, to).map(|progress| progress.matched);
        let has_all = matched == Some(shared.log.last().id.index);
        if has_all || mutant(Mutant::TransferWithoutCatchUp) {
            shared.transfer = Some(Transfer { to, ordered: true });
            // For good: the order may arrive long after this transfer was given up.
            self.has_given_up_lease = true;
            shared.send(to, Body::TimeoutNow, out);
        }
    }

    /// The order may have been lost: give it again with every heartbeat.
    pub(super) fn repeat_transfer(&mut self, shared: &mut Shared, out: &mut Effects) {
        if let Some(Transfer { to, ordered: true }) = shared.transfer {
            shared.send(to, Body::TimeoutNow, out);
        }
    }
}

impl Raft {
    /// An election timeout has passed since the transfer began. A leader takes proposals again;
    /// an order that is still on its way can only lead to a later term, so it does no harm.
    pub(super) fn on_transfer_timeout(&mut self, out: &mut Effects) {
        if mutant(Mutant::TransferNeverEnds) {
            return;
        }
        let Some(transfer) = self.shared.transfer.take() else {
            return;
        };
        let error = match &self.role {
            Role::Leader(_) => TransferError::TargetNotReady(transfer.to),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => {
                TransferError::Unknown(transfer.to)
            }
        };
        out.push(Effect::TransferEnded(Err(error)));
    }
}

impl Shared {
    /// A leader is known: if that is who was meant, the transfer has succeeded.
    pub(super) fn resolve_transfer(&mut self, leader: NodeId, out: &mut Effects) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        self.timers.stop(Timer::Transfer);
        let outcome = if leader == transfer.to {
            Ok(leader)
        } else {
            Err(TransferError::OtherLeader(leader))
        };
        out.push(Effect::TransferEnded(outcome));
    }
}
