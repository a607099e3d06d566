//! Who waits for a change of membership, or for a transfer of leadership.

use tokio::sync::oneshot;

use super::error::{ChangeMembershipError, StopReason, TransferLeadershipError};
use super::event_loop::EventLoop;
use crate::change::MembershipChange;
use crate::consensus::{ChangeRefusal, Event, To, TransferError};
use crate::id::{LogId, NodeId};

pub(super) type ChangeResult = Result<LogId, ChangeMembershipError>;
pub(super) type TransferResult = Result<NodeId, TransferLeadershipError>;

/// The callers. Each is answered, whatever happens to the node (RULE 6).
#[derive(Debug, Default)]
pub(super) struct Administration {
    /// The change of the step in progress.
    changing: Option<oneshot::Sender<ChangeResult>>,
    /// Changes under way, and the entry each began with.
    changes: Vec<(LogId, oneshot::Sender<ChangeResult>)>,
    /// The transfer of the step in progress.
    transferring: Option<oneshot::Sender<TransferResult>>,
    /// The transfer under way.
    transfer: Option<oneshot::Sender<TransferResult>>,
}

impl EventLoop {
    pub(super) fn change_asked(
        &mut self,
        change: MembershipChange,
        reply: oneshot::Sender<ChangeResult>,
    ) {
        self.administration.changing = Some(reply);
        self.step(Event::ChangeRequested(change));
    }

    pub(super) fn transfer_asked(&mut self, to: To, reply: oneshot::Sender<TransferResult>) {
        self.administration.transferring = Some(reply);
        self.step(Event::TransferRequested(to));
        let waiting = &mut self.administration;
        if let Some(reply) = waiting.transferring.take() {
            waiting.transfer = Some(reply);
        }
    }
}

impl Administration {
    /// The change of the step in progress has begun, or nothing was changed.
    pub(super) fn change_answered(&mut self, answer: Result<LogId, ChangeRefusal>) {
        let Some(reply) = self.changing.take() else {
            return;
        };
        match answer {
            Ok(begun) => self.changes.push((begun, reply)),
            // The caller may have gone away, here and below.
            Err(refusal) => drop(reply.send(Err(ChangeMembershipError::Refused(refusal)))),
        }
    }

    /// The group is what it was to become.
    pub(super) fn settled(&mut self, at: LogId) {
        for (_, reply) in self.changes.drain(..) {
            drop(reply.send(Ok(at)));
        }
    }

    /// The next leader drives the changes on; this node will not hear of their end.
    pub(super) fn leadership_lost(&mut self) {
        for (begun, reply) in self.changes.drain(..) {
            drop(reply.send(Err(ChangeMembershipError::LeadershipLost { begun })));
        }
    }

    /// A transfer has ended: the one that was just asked for, or else the one under way.
    pub(super) fn transfer_ended(&mut self, outcome: Result<NodeId, TransferError>) {
        if let Some(reply) = self.transferring.take().or_else(|| self.transfer.take()) {
            drop(reply.send(outcome.map_err(TransferLeadershipError::Failed)));
        }
    }

    /// The node stops.
    pub(super) fn fail_all(&mut self, reason: &StopReason) {
        let changes = self.changes.drain(..).map(|(_, reply)| reply);
        for reply in changes.chain(self.changing.take()) {
            drop(reply.send(Err(ChangeMembershipError::Stopped(reason.clone()))));
        }
        for reply in self
            .transferring
            .take()
            .into_iter()
            .chain(self.transfer.take())
        {
            drop(reply.send(Err(TransferLeadershipError::Stopped(reason.clone()))));
        }
    }
}
