//! What comes in, as events of the core.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::applier::{Frozen, Job};
use super::completion::Completion;
use super::error::{
    ChangeMembershipError, Outcome, ProposeError, ReadError, SnapshotError, StopReason,
    TransferLeadershipError,
};
use super::event_loop::EventLoop;
use super::events::NodeEvent;
use super::replacing::Replaced;
use super::request::Request;
use super::restoring::Part;
use super::snapshots::SnapshotJob;
use super::snapshotting::SnapshotResult;
use super::status::{ReadMode, Status};
use super::waiting::{ReadResult, Slot};
use crate::consensus::{Conditions, Event};
use crate::entry::Sealed;
use crate::id::LogIndex;
use crate::message::ReadId;
use crate::snapshot::SnapshotMeta;
use crate::transport::Inbound;

/// Proposals that are stepped together.
#[derive(Default)]
struct Proposals {
    conditions: Conditions,
    batch: Vec<Sealed>,
}

/// The reads of one turn.
#[derive(Default)]
struct Reads {
    linearizable: Vec<ReadId>,
    lease: Vec<ReadId>,
    bounded: BTreeMap<Duration, Vec<ReadId>>,
    known: BTreeMap<LogIndex, Vec<ReadId>>,
}

impl EventLoop {
    /// Something that the transport delivered. A message's share of the inbox is given back once
    /// it was stepped.
    pub(super) fn on_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Message(message, _share) => self.step(Event::Received(message)),
            Inbound::Unreachable(peer) => {
                tracing::debug!(%peer, "peer unreachable");
                self.publish(NodeEvent::PeerUnreachable(peer));
                self.step(Event::Unreachable(peer));
            }
            Inbound::SnapshotReceived { from, term, meta } => {
                tracing::info!(%from, %meta, "snapshot received");
                self.snapshotting.stored(&meta);
                let received = meta.clone();
                self.publish(NodeEvent::SnapshotReceived { from, meta });
                let meta = received;
                self.step(Event::SnapshotReceived { from, term, meta });
            }
            Inbound::SnapshotProgressed { to, term } => {
                self.step(Event::SnapshotProgressed { to, term });
            }
            Inbound::SnapshotSent {
                to,
                term,
                last,
                outcome: Ok(()),
            } => {
                tracing::info!(%to, %last, "snapshot sent");
                self.publish(NodeEvent::SnapshotSent { to, last });
                self.step(Event::SnapshotSent { to, term, last });
            }
            Inbound::SnapshotSent {
                to,
                term,
                last: _,
                outcome: Err(detail),
            } => {
                tracing::warn!(%to, detail, "snapshot not sent");
                self.publish(NodeEvent::SnapshotNotSent { to, detail });
                self.step(Event::SnapshotNotSent { to, term });
            }
        }
    }

    /// Something that a thread has done, or that was done in place.
    pub(super) fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Persisted(persisted) => {
                self.counters.log_syncs += persisted.log_syncs;
                self.step(Event::Persisted(persisted.through));
            }
            Completion::Fetched {
                reader,
                from,
                entries,
            } => self.step(Event::Fetched {
                reader,
                from,
                entries,
            }),
            Completion::FetchPurged { reader } => self.step(Event::FetchPurged { reader }),
            // Another leader has removed them since they were wanted.
            Completion::FetchMissing {
                reader, removals, ..
            } if removals < self.removals => self.step(Event::FetchPurged { reader }),
            Completion::FetchMissing { error, .. } => {
                self.stop_for(StopReason::Store(Arc::new(error)));
            }
            Completion::Applied(progress) => self.on_progress(progress),
            Completion::Performed(applier, progress) => {
                self.applier.give_back(applier);
                self.on_progress(progress);
            }
            Completion::SnapshotWritten(result) => {
                self.on_snapshot_ended(&result.map_err(SnapshotError::Failed));
            }
            Completion::SnapshotUnreadable { to, term, detail } => {
                tracing::error!(%to, detail, "the snapshot that is to be sent cannot be read");
                self.publish(NodeEvent::SnapshotUnreadable { to, detail });
                self.step(Event::SnapshotUnreadable { to, term });
            }
            Completion::Failed(reason) => self.stop_for(reason),
        }
    }

    /// Everything that the handles asked for: all proposals are one event, and all reads another.
    pub(super) fn on_requests(&mut self, requests: &mut Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut proposals = Proposals::default();
        let mut reads = Reads::default();
        for request in requests.drain(..) {
            match request {
                Request::Propose(sealed, slot, conditions) => {
                    self.step_unless(conditions, &mut proposals);
                    self.take_proposal(sealed, slot, &mut proposals);
                }
                Request::ProposeMany(many, conditions) => {
                    self.step_unless(conditions, &mut proposals);
                    for (sealed, slot) in many {
                        self.take_proposal(sealed, slot, &mut proposals);
                    }
                }
                Request::Restoration(part) => self.restoring.push(part),
                Request::Read(mode, reply) => self.take_read(mode, reply, &mut reads),
                Request::Status(reply) => {
                    // The caller may have gone away.
                    let _ = reply.send(Box::new(self.status()));
                }
                Request::Snapshot(reply) => self.snapshot_asked(reply),
                Request::Change(change, reply) => self.change_asked(change, reply),
                Request::Transfer(to, reply) => self.transfer_asked(to, reply),
                Request::Campaign => self.step(Event::CampaignRequested),
                Request::Shutdown => self.shut_down(),
            }
        }
        self.step_proposals(&mut proposals);
        self.step_reads(reads);
    }

    /// Reads are asked for together with the others of their kind.
    fn take_read(&mut self, mode: ReadMode, reply: oneshot::Sender<ReadResult>, reads: &mut Reads) {
        let group = match mode {
            ReadMode::Linearizable => &mut reads.linearizable,
            ReadMode::Lease => &mut reads.lease,
            ReadMode::Bounded { lag } => reads.bounded.entry(lag).or_default(),
            ReadMode::AtLeast(index) => reads.known.entry(index).or_default(),
            ReadMode::Local => {
                // The caller may have gone away.
                let _ = reply.send(Ok(self.applied));
                return;
            }
        };
        group.push(self.callers.waiting.read(reply));
    }

    fn step_reads(&mut self, reads: Reads) {
        if !reads.linearizable.is_empty() {
            self.step(Event::ReadsRequested(reads.linearizable));
        }
        if !reads.lease.is_empty() {
            self.step(Event::LeaseReadsRequested(reads.lease));
        }
        for (lag, reads) in reads.bounded {
            self.step(Event::BoundedReadsRequested(reads, lag));
        }
        for (index, reads) in reads.known {
            self.step(Event::AppliedAwaited(reads, index));
        }
    }

    /// A view was frozen, or there is nothing to freeze.
    pub(super) fn on_frozen(&mut self, frozen: Option<Frozen>) {
        match frozen {
            Some(frozen) => self.give_snapshot_job(SnapshotJob::Write(frozen)),
            None => self.on_snapshot_ended(&Err(SnapshotError::NothingApplied)),
        }
    }

    /// Answers everybody who waits, and lets go of everything.
    pub(super) fn finish(mut self, reason: StopReason) -> StopReason {
        match &reason {
            StopReason::Shutdown => tracing::info!("node shuts down"),
            reason => tracing::error!(%reason, "node stops"),
        }
        self.stopping
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.transport.stop();
        self.callers.fail_all(&reason);
        self.restoring.fail_all(&reason);
        self.snapshotting.fail_all(&reason);
        // Closed first: whatever is not in here now was never accepted into it.
        self.sources.requests.close();
        while let Ok(request) = self.sources.requests.try_recv() {
            request.fail(&reason);
        }
        reason
    }

    /// What was proposed under other conditions goes first.
    fn step_unless(&mut self, conditions: Conditions, proposals: &mut Proposals) {
        if proposals.conditions != conditions {
            self.step_proposals(proposals);
            proposals.conditions = conditions;
        }
    }

    fn step_proposals(&mut self, proposals: &mut Proposals) {
        let batch = std::mem::take(&mut proposals.batch);
        if !batch.is_empty() {
            self.step(Event::ProposedUnder(proposals.conditions, batch));
        }
    }

    fn take_proposal(&mut self, sealed: Sealed, slot: Slot, proposals: &mut Proposals) {
        self.gate.leave(1, sealed.len());
        if slot.deadline.is_some_and(|deadline| deadline <= self.now) {
            slot.answer(Err(ProposeError::TimedOut { appended: None }));
        } else if slot.reply.is_closed() {
            // The caller gave up while the proposal was queued: nobody is misled if it is dropped.
        } else {
            self.callers.waiting.propose(slot);
            proposals.batch.push(sealed);
        }
    }

    fn status(&self) -> Status {
        Status {
            identity: self.identity,
            raft: self.raft.status(),
            counters: self.counters,
            proposals_waiting: self.callers.proposals(),
        }
    }

    fn snapshot_asked(&mut self, reply: oneshot::Sender<SnapshotResult>) {
        if self.snapshotting.caller_asks(self.applied, reply) {
            self.applier.push(Job::TakeSnapshot);
        }
    }

    fn on_snapshot_ended(&mut self, result: &SnapshotResult) {
        let ended = self.snapshotting.ended(result);
        match result {
            Ok(meta) => self.on_snapshot_taken(meta.clone()),
            Err(error) => {
                let detail = error.to_string();
                tracing::warn!(detail, "no snapshot was taken");
                self.publish(NodeEvent::SnapshotFailed { detail });
                if ended.for_core {
                    self.step(Event::SnapshotNotTaken);
                }
            }
        }
        if ended.again {
            self.applier.push(Job::TakeSnapshot);
        }
    }

    /// A backup has become the state, and a snapshot.
    pub(super) fn on_replaced(&mut self, replaced: Replaced) {
        let Replaced { meta, ends_delay } = replaced;
        tracing::info!(%meta, "a backup has replaced the state");
        self.publish(NodeEvent::BackupRestored { at: meta.id() });
        if ends_delay {
            self.on_snapshot_ended(&Ok(meta));
        } else {
            self.snapshotting.stored(&meta);
            self.on_snapshot_taken(meta);
        }
    }

    fn on_snapshot_taken(&mut self, meta: SnapshotMeta) {
        tracing::info!(%meta, "snapshot taken");
        self.retain_snapshots();
        self.publish(NodeEvent::SnapshotTaken(meta.clone()));
        self.step(Event::SnapshotTaken(meta));
    }
}

impl Request {
    /// Answers a request that the node did not get to.
    fn fail(self, reason: &StopReason) {
        let stopped = || {
            let reason = reason.clone();
            let outcome = Outcome::NeverApplied;
            Err(ProposeError::Stopped { reason, outcome })
        };
        match self {
            Self::Propose(_, slot, _) | Self::Restoration(Part { slot, .. }) => {
                slot.answer(stopped());
            }
            Self::ProposeMany(many, _) => {
                for (_, slot) in many {
                    slot.answer(stopped());
                }
            }
            Self::Read(_, reply) => {
                let _ = reply.send(Err(ReadError::Stopped(reason.clone())));
            }
            Self::Snapshot(reply) => {
                let _ = reply.send(Err(SnapshotError::Stopped(reason.clone())));
            }
            Self::Change(_, reply) => {
                let _ = reply.send(Err(ChangeMembershipError::Stopped(reason.clone())));
            }
            Self::Transfer(_, reply) => {
                let _ = reply.send(Err(TransferLeadershipError::Stopped(reason.clone())));
            }
            // Whoever waits for these waits for the stop itself.
            Self::Status(_) | Self::Campaign | Self::Shutdown => {}
        }
    }
}
