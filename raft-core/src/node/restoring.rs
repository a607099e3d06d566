//! Restores a backup in a running group: reads it, and proposes it piece by piece.
//!
//! A thread of its own reads, for that may block, and waits for the answers. The event loop proposes
//! the pieces, one by one, while there is room: they take at most half of what may wait, so that
//! writes find the other half. Besides what every proposal costs, four pieces are in memory.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::backup::BackupMeta;
use super::checking::next_piece;
use super::error::{Outcome, ProposeError, RestoreError, StopReason};
use super::event_loop::EventLoop;
use super::pieces::Pieces;
use super::request::Request;
use super::waiting::{Applied, ProposeResult, Slot};
use super::{Node, Shared};
use crate::config::Config;
use crate::consensus::{Conditions, Event, RoleName};
use crate::entry::{Payload, Sealed};
use crate::id::{LogId, Term};
use crate::restoration::{CHUNK_HEAD_BYTES, Restoration};
use crate::snapshot::{Kept, SnapshotMeta};
use crate::time::Timestamp;

/// A backup has become the state of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The entry from which on it is the state, on every member.
    pub id: LogId,
}

impl Node {
    /// Replaces the state of the state machine, on every member, by what [`Node::backup`] gave: of
    /// this group or of another one of the cluster, but of the same kind of machine. A backup of another
    /// cluster is refused, unless it is [for any](BackupMeta::for_any_cluster). Only a leader restores.
    ///
    /// **The machine must be able to read it.** That the bytes are intact is verified. Whether the machine
    /// understands them is verified on this node, if the machine says
    /// [how](crate::state_machine::StateMachine::restore_check); a backup that it cannot restore is then
    /// given up. Without that it shows when the machines are given the bytes, and every member stops, for
    /// good: try a backup on a group of one node first, if it is not of this very program.
    ///
    /// The backup goes through the log like a command, so it is ordered with them and takes effect
    /// everywhere or nowhere, at one entry. Commands that are applied before that entry act on the
    /// old state, and are gone with it. What belongs to the state goes with it: with
    /// [sessions](crate::sessions) also who has a session, so clients open new ones. What belongs to
    /// the group stays: members, term, index. The group's time never goes back; it goes on from the
    /// backup's, if that is later.
    ///
    /// `data` is read on a thread, in pieces, and verified against the size and the checksum in
    /// `meta` before the restoration is ended. Until it ends, is given up, or another leader takes
    /// office, no member takes a snapshot, so the log keeps what it carries. If the future is
    /// dropped, the restoration is given up with its next piece, or takes place.
    ///
    /// # Errors
    /// [`RestoreError`], whose [outcome](RestoreError::outcome) says whether the backup may have
    /// become the state all the same.
    pub async fn restore(
        &self,
        meta: BackupMeta,
        data: impl Read + Send + 'static,
    ) -> Result<Restored, RestoreError> {
        self.restore_until(meta, Box::new(data), None).await
    }

    /// As [`Node::restore`], but waits at most for `deadline` for the group. A call of `data` that
    /// does not return is waited for.
    ///
    /// # Errors
    /// As [`Node::restore`], and [`RestoreError::TimedOut`].
    pub async fn restore_within(
        &self,
        meta: BackupMeta,
        data: impl Read + Send + 'static,
        deadline: Duration,
    ) -> Result<Restored, RestoreError> {
        let deadline = self.shared.clock.now() + deadline;
        self.restore_until(meta, Box::new(data), Some(deadline))
            .await
    }

    async fn restore_until(
        &self,
        meta: BackupMeta,
        data: Box<dyn Read + Send>,
        deadline: Option<Timestamp>,
    ) -> Result<Restored, RestoreError> {
        meta.check(self.identity().cluster)?;
        let turn = Turn::take(&self.shared)?;
        let (reply, answer) = oneshot::channel();
        let mut restorer = Restorer {
            node: self.clone(),
            meta: meta.snapshot,
            data,
            deadline,
        };
        let run = move || {
            let outcome = restorer.run(&reply);
            drop(turn);
            // The caller may have gone away.
            let _ = reply.send(outcome);
        };
        thread::Builder::new()
            .name(format!("raft-{}-restore", self.id()))
            .spawn(run)
            .map_err(|error| RestoreError::Data(format!("no thread to read it: {error}")))?;
        let gone = |_| Err(RestoreError::Data("the thread that read it is gone".into()));
        answer.await.unwrap_or_else(gone)
    }
}

/// The right to restore: one at a time.
struct Turn(Arc<Shared>);

impl Turn {
    fn take(shared: &Arc<Shared>) -> Result<Self, RestoreError> {
        match shared.restores.swap(true, Ordering::AcqRel) {
            true => Err(RestoreError::InProgress),
            false => Ok(Self(Arc::clone(shared))),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.restores.store(false, Ordering::Release);
    }
}

/// The largest piece, with what an entry adds to it.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// How many bytes of a backup one entry takes: it must pass every limit, and leave room.
pub(super) fn piece_bytes(config: &Config) -> usize {
    let limits = [
        config.entry_bytes_max,
        config.append_bytes_max,
        config.applying_bytes_max,
        config.unapplied_bytes_max / 8,
    ];
    let entry = limits.into_iter().fold(PIECE_BYTES_MAX, usize::min);
    entry.saturating_sub(CHUNK_HEAD_BYTES).max(1)
}

/// The thread that restores.
pub(super) struct Restorer {
    node: Node,
    pub(super) meta: SnapshotMeta,
    data: Box<dyn Read + Send>,
    deadline: Option<Timestamp>,
}

pub(super) type Answer = oneshot::Receiver<ProposeResult>;

impl Restorer {
    fn run(&mut self, reply: &oneshot::Sender<Result<Restored, RestoreError>>) -> RestoreResult {
        let begin = Restoration::Begin {
            size: self.meta.size,
            checksum: self.meta.checksum,
        };
        let begun = self.propose(&begin, None);
        let begun = match self.wait(begun) {
            Ok(Applied { id, .. }) => id,
            Err(error) => {
                if let ProposeError::TimedOut { appended: Some(id) } = error {
                    self.abort(id);
                }
                return Err(RestoreError::before_end(error));
            }
        };
        let is_given_up = || reply.is_closed();
        let check = self.node.shared.restore_check.clone();
        let sent = Pieces::new(self, begun, &is_given_up).send(check.as_ref());
        let ended = sent.and_then(|()| self.end(begun));
        if let Err(error) = &ended
            && error.outcome() == Outcome::NeverApplied
        {
            self.abort(begun);
        }
        ended
    }

    /// Not waited for: it stands in the queue before whatever is restored next, and where it cannot
    /// be appended, another leader's first entry does the same.
    fn abort(&mut self, begun: LogId) {
        self.deadline = None;
        let begin = begun.index;
        drop(self.propose(&Restoration::Abort { begin }, Some(begun.term)));
    }

    fn end(&self, begun: LogId) -> RestoreResult {
        let end = Restoration::End {
            begin: begun.index,
            time: self.meta.header.time,
        };
        let ended = self.propose(&end, Some(begun.term));
        match self.wait(ended) {
            Ok(Applied { id, response }) if response.is_empty() => Ok(Restored { id }),
            Ok(Applied { response, .. }) => Err(RestoreError::Void(text(&response))),
            Err(error) => Err(RestoreError::at_end(error)),
        }
    }

    /// The next piece after what was `read`: empty if that is all, and as announced.
    pub(super) fn read_piece(&mut self, read: &mut Kept) -> Result<Bytes, RestoreError> {
        let bytes_max = self.node.shared.piece_bytes;
        let piece = next_piece(self.data.as_mut(), &self.meta, read, bytes_max);
        piece.map_err(RestoreError::Data)
    }

    pub(super) fn propose(&self, part: &Restoration, expected_term: Option<Term>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let part = Part {
            sealed: Sealed::new(Payload::restoration(part)),
            slot: Slot {
                reply,
                deadline: self.deadline,
            },
            expected_term,
        };
        // If it cannot be sent, its slot is dropped, and the answer says so.
        let _ = self.node.shared.requests.send(Request::Restoration(part));
        answer
    }

    /// Waits for a piece.
    pub(super) fn wait_for(&self, answer: Option<Answer>) -> Result<(), RestoreError> {
        let Some(answer) = answer else { return Ok(()) };
        let applied = self.wait(answer).map_err(RestoreError::in_the_middle)?;
        match applied.response.is_empty() {
            true => Ok(()),
            false => Err(RestoreError::Void(text(&applied.response))),
        }
    }

    fn wait(&self, answer: Answer) -> ProposeResult {
        answer.blocking_recv().unwrap_or_else(|_| {
            let stopped = self.node.shared.stopped.borrow().clone();
            Err(ProposeError::Stopped {
                reason: stopped.unwrap_or(StopReason::Shutdown),
                outcome: Outcome::Unknown,
            })
        })
    }
}

type RestoreResult = Result<Restored, RestoreError>;

fn text(response: &Bytes) -> String {
    String::from_utf8_lossy(response).into_owned()
}

/// A part of a restoration on its way into the log.
#[derive(Debug)]
pub(super) struct Part {
    sealed: Sealed,
    pub(super) slot: Slot,
    /// The term in which its restoration began.
    expected_term: Option<Term>,
}

/// Begin, end and abort are smaller than this. They may take the room that ordinary proposals leave,
/// or a busy group would keep a restoration open.
const SMALL_BYTES: usize = 64;

/// The parts that wait for room, in order.
#[derive(Debug)]
pub(super) struct Restoring {
    waiting: VecDeque<Part>,
    /// Proposals may take so many bytes while a part is taken.
    room_bytes: usize,
}

impl Restoring {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            waiting: VecDeque::new(),
            room_bytes: config.unapplied_bytes_max / 2,
        }
    }

    pub(super) fn push(&mut self, part: Part) {
        self.waiting.push_back(part);
    }

    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.waiting
            .iter()
            .filter_map(|part| part.slot.deadline)
            .min()
    }

    /// Answers those whose deadline has passed: they are in no log.
    pub(super) fn expire(&mut self, now: Timestamp) {
        if self.deadline().is_none_or(|due| due > now) {
            return;
        }
        // Also behind those that may wait longer: what lacks a part is void, and never half a backup.
        for part in std::mem::take(&mut self.waiting) {
            if part.slot.deadline.is_some_and(|due| due <= now) {
                let error = ProposeError::TimedOut { appended: None };
                part.slot.answer(Err(error));
            } else {
                self.waiting.push_back(part);
            }
        }
    }

    /// The node stops.
    pub(super) fn fail_all(&mut self, reason: &StopReason) {
        for part in self.waiting.drain(..) {
            part.slot.answer(Err(ProposeError::Stopped {
                reason: reason.clone(),
                outcome: Outcome::NeverApplied,
            }));
        }
    }
}

impl EventLoop {
    /// Proposes the next part, if there is one and room for it. Whether it did.
    pub(super) fn propose_part(&mut self) -> bool {
        let Some(next) = self.restoring.waiting.front() else {
            return false;
        };
        if !self.has_room_for(next) {
            return false;
        }
        let Some(part) = self.restoring.waiting.pop_front() else {
            return false;
        };
        let conditions = Conditions {
            expected_term: part.expected_term,
            forward: false,
        };
        self.callers.waiting.propose(part.slot);
        self.step(Event::ProposedUnder(conditions, vec![part.sealed]));
        true
    }

    /// A transfer that fails ends nothing, so what was begun waits for its end. Where this node does
    /// not lead, the core says so.
    fn has_room_for(&self, part: &Part) -> bool {
        if self.raft.standing().role != RoleName::Leader {
            return true;
        }
        if self.raft.is_transferring() {
            return part.expected_term.is_none();
        }
        let room = match part.sealed.len() <= SMALL_BYTES {
            true => self.restoring.room_bytes.saturating_mul(2),
            false => self.restoring.room_bytes,
        };
        let waiting = self.raft.unapplied_bytes();
        waiting == 0 || waiting.saturating_add(part.sealed.len()) <= room
    }
}

impl fmt::Debug for Restorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restorer")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl RestoreError {
    /// Why a part before the end failed: so there will be no end.
    fn before_end(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::Transferring { to } => Self::Transferring { to },
            ProposeError::LeadershipLost { .. } | ProposeError::TermChanged { .. } => {
                Self::LeadershipLost { end: None }
            }
            ProposeError::TimedOut { .. } => Self::TimedOut { end: None },
            ProposeError::Stopped { reason, .. } => Self::Stopped {
                reason,
                outcome: Outcome::NeverApplied,
            },
            other => Self::Refused(other),
        }
    }

    /// Why a piece failed: this node led when the first part was applied.
    fn in_the_middle(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } => Self::LeadershipLost { end: None },
            other => Self::before_end(other),
        }
    }

    /// Why the end failed, which may be in the log.
    fn at_end(error: ProposeError) -> Self {
        match error {
            ProposeError::LeadershipLost { appended } => Self::LeadershipLost {
                end: Some(appended),
            },
            ProposeError::TimedOut { appended } => Self::TimedOut { end: appended },
            ProposeError::Stopped { reason, outcome } => Self::Stopped { reason, outcome },
            other => Self::in_the_middle(other),
        }
    }
}
