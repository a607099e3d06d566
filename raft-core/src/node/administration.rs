//! Who waits for a change of membership, or for a transfer of leadership.

use tokio::sync::oneshot;

use super::error::{ChangeMembershipError, StopReason, TransferLeadershipError};
use super::event_loop::EventLoop;
use crate::change::MembershipChange;
use crate::consensus::{ChangeRefusal, Event, RoleName, To, TransferError};
use crate::id::{LogId, NodeId};

pub(crate) type ChangeResult = Result<LogId, ChangeMembershipError>;
pub(crate) type TransferResult = Result<NodeId, TransferLeadershipError>;

/// The callers. Each is answered, whatever happens to the node (RULE 6).
#[derive(Debug, Default)]
pub(crate) struct Administration {
    /// The change of the step in progress.
    changing: Option<Changing>,
    /// Changes under way, and the entry each began with.
    changes: Vec<(LogId, Changing)>,
    /// The transfer of the step in progress.
    transferring: Option<oneshot::Sender<TransferResult>>,
    /// The transfer under way.
    transfer: Option<oneshot::Sender<TransferResult>>,
}

/// Who asked for a change.
#[derive(Debug)]
struct Changing {
    reply: oneshot::Sender<ChangeResult>,
    /// It gives up the ones before.
    is_abort: bool,
}

impl EventLoop {
    pub(super) fn change_asked(
        &mut self,
        change: MembershipChange,
        reply: oneshot::Sender<ChangeResult>,
    ) {
        let is_abort = change.is_abort();
        self.callers.administration.change_asked(reply, is_abort);
        self.step(Event::ChangeRequested(change));
    }

    pub(super) fn transfer_asked(&mut self, to: To, reply: oneshot::Sender<TransferResult>) {
        self.callers.administration.transfer_asked(reply);
        self.step(Event::TransferRequested(to));
        self.callers.administration.transfer_begun();
    }

    /// Stops the node. A leader hands over first; the core ends that within an election timeout.
    pub(super) fn shut_down(&mut self) {
        if self.leaving {
            return;
        }
        if self.raft.standing().role != RoleName::Leader {
            return self.stop_for(StopReason::Shutdown);
        }
        self.leaving = true;
        self.step(Event::TransferRequested(To::Best));
    }

    pub(super) fn transfer_ended(&mut self, outcome: Result<NodeId, TransferError>) {
        let answers_caller = self.callers.administration.transferring.is_some();
        // If another transfer is under way, its end is awaited.
        let is_over = !matches!(outcome, Err(TransferError::InProgress(_)));
        let for_shutdown = self.leaving && !answers_caller;
        if !for_shutdown || is_over {
            self.callers.administration.transfer_ended(outcome);
        }
        if for_shutdown && is_over {
            self.stop_for(StopReason::Shutdown);
        }
    }
}

impl Administration {
    /// A change is about to be stepped; the step answers.
    pub(crate) fn change_asked(&mut self, reply: oneshot::Sender<ChangeResult>, is_abort: bool) {
        self.changing = Some(Changing { reply, is_abort });
    }

    /// Whether the change of the step in progress was not answered yet.
    #[cfg(feature = "sim")]
    pub(crate) fn awaits_answer(&self) -> bool {
        self.changing.is_some()
    }

    /// A transfer is about to be stepped; the step may end it.
    pub(crate) fn transfer_asked(&mut self, reply: oneshot::Sender<TransferResult>) {
        self.transferring = Some(reply);
    }

    /// That step is over: what it did not end is under way.
    pub(crate) fn transfer_begun(&mut self) {
        if let Some(reply) = self.transferring.take() {
            self.transfer = Some(reply);
        }
    }

    /// The change of the step in progress has begun, or nothing was changed.
    pub(super) fn change_answered(&mut self, answer: Result<LogId, ChangeRefusal>) {
        let Some(changing) = self.changing.take() else {
            return;
        };
        match answer {
            Ok(begun) => self.changes.push((begun, changing)),
            // The caller may have gone away, here and below.
            Err(refusal) => drop(
                changing
                    .reply
                    .send(Err(ChangeMembershipError::Refused(refusal))),
            ),
        }
    }

    /// The group is what it was to become.
    pub(super) fn settled(&mut self, at: LogId) {
        let aborted = self.changes.iter().rposition(|(_, one)| one.is_abort);
        for (place, (_, changing)) in self.changes.drain(..).enumerate() {
            let is_given_up = aborted.is_some_and(|abort| place < abort);
            let answer = if is_given_up {
                Err(ChangeMembershipError::Aborted { at })
            } else {
                Ok(at)
            };
            drop(changing.reply.send(answer));
        }
    }

    /// The next leader drives the changes on; this node will not hear of their end.
    pub(super) fn leadership_lost(&mut self) {
        for (begun, changing) in self.changes.drain(..) {
            drop(
                changing
                    .reply
                    .send(Err(ChangeMembershipError::LeadershipLost { begun })),
            );
        }
    }

    /// A transfer has ended: the one that was just asked for, or else the one under way.
    pub(crate) fn transfer_ended(&mut self, outcome: Result<NodeId, TransferError>) {
        if let Some(reply) = self.transferring.take().or_else(|| self.transfer.take()) {
            drop(reply.send(outcome.map_err(TransferLeadershipError::Failed)));
        }
    }

    /// The node stops.
    pub(super) fn fail_all(&mut self, reason: &StopReason) {
        let changes = self.changes.drain(..).map(|(_, changing)| changing);
        for changing in changes.chain(self.changing.take()) {
            drop(
                changing
                    .reply
                    .send(Err(ChangeMembershipError::Stopped(reason.clone()))),
            );
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
