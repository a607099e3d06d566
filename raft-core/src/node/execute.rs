//! What the core wants done, done. One line an effect.

use std::collections::VecDeque;
use std::sync::Arc;

use super::applier::{Job, Progress};
use super::completion::Completion;
use super::error::StopReason;
use super::event_loop::EventLoop;
use super::events::NodeEvent;
use super::log_reader::{self, Fetch};
use super::snapshots::SnapshotJob;
use crate::consensus::{Effect, Event, Nonsense, Standing, Write};
use crate::entry::Entry;
use crate::id::{Incarnation, LogId, LogIndex, NodeId, Term};
use crate::membership::Membership;
use crate::message::Message;

impl EventLoop {
    /// Executes one effect, or queues it for the end of the turn. Never steps the core.
    pub(super) fn execute(&mut self, effect: Effect) {
        self.callers.hear(&effect, self.now);
        match effect {
            Effect::Persist(write) => self.persist(write),
            Effect::Send(message) => self.send(message),
            Effect::SendSnapshot { to, term, reaches } => self.send_snapshot(to, term, reaches),
            Effect::Fetch {
                reader,
                range,
                bytes_max,
            } => self.reader.push(Fetch {
                reader,
                range,
                bytes_max,
                removals: self.removals,
            }),
            Effect::Apply(entries) => self.give_to_machine(entries),
            Effect::Restore(meta) => {
                self.restores += 1;
                self.applier.push(Job::Restore(meta));
            }
            Effect::TakeSnapshot => self.take_snapshot(),
            Effect::Accepted { indexes, .. } => {
                self.counters.proposals_accepted += indexes.end.distance_from(indexes.start);
            }
            Effect::Refused { count, .. } => self.counters.proposals_refused += count as u64,
            Effect::Forwarded { count, .. } => self.counters.proposals_forwarded += count as u64,
            // All that there is to do is to answer.
            Effect::ForwardAnswered { .. }
            | Effect::ForwardLost { .. }
            | Effect::ReadReady { .. }
            | Effect::ReadFailed { .. }
            | Effect::LeadershipLost { .. }
            | Effect::ChangeAnswered(_)
            | Effect::MembershipSettled { .. } => {}
            Effect::TransferEnded(outcome) => self.transfer_ended(outcome),
            Effect::StatusChanged(standing) => self.standing_changed(standing),
            Effect::MembershipChanged { at, membership } => {
                self.membership_changed(at, membership);
            }
            Effect::Displaced { by } => self.displaced(by),
            Effect::Repairing { reason } => self.repairing(reason),
            Effect::Repaired => self.repaired(),
            Effect::Dropped(nonsense) => self.dropped(nonsense),
            Effect::Halt(fault) => self.stop_for(StopReason::Fault(fault)),
        }
    }

    /// Writes the log in place. Whether there was something to do.
    pub(super) fn write_log(&mut self) -> bool {
        let Some((writer, queue)) = self.log.work() else {
            return false;
        };
        let done = writer.perform(queue.make_contiguous());
        queue.clear();
        match done {
            Ok(persisted) => self.on_completion(Completion::Persisted(persisted)),
            Err(error) => self.stop_for(StopReason::Store(Arc::new(error))),
        }
        true
    }

    /// Reads the log in place. Whether there was something to do.
    pub(super) fn read_log(&mut self) -> bool {
        let Some((reader, queue)) = self.reader.work() else {
            return false;
        };
        let wanted = queue.pop_front();
        let done = wanted.map(|fetch| log_reader::fetch(reader.as_mut(), fetch));
        if let Some(completion) = done {
            self.on_completion(completion);
        }
        true
    }

    /// Feeds the state machine in place. Whether there was something to do.
    pub(super) fn apply(&mut self) -> bool {
        let Some((applier, queue)) = self.applier.work() else {
            return false;
        };
        let jobs = until_blocking(queue);
        match applier.perform(jobs) {
            Ok(progress) => self.on_progress(progress),
            Err(reason) => self.stop_for(reason),
        }
        self.lend_if_blocking();
        true
    }

    /// What the state machine has done: first the answers, then the core, which may let reads go.
    pub(super) fn on_progress(&mut self, mut progress: Progress) {
        self.callers.progressed(&mut progress);
        if let Some(through) = progress.through {
            self.applied = through.index;
            self.step(Event::Applied(through.index));
        }
        if progress.restored > 0 {
            self.restores = self.restores.saturating_sub(progress.restored);
            self.retain_snapshots();
        }
        if progress.is_delayed {
            self.snapshotting.delayed();
        }
        for replaced in progress.replaced {
            self.on_replaced(replaced);
        }
        for frozen in progress.frozen {
            self.on_frozen(frozen);
        }
    }

    /// Stores may block, so a machine that lives here goes to the snapshot thread for what needs
    /// them. What is to be applied after it waits.
    fn lend_if_blocking(&mut self) {
        let Some((_, queue)) = self.applier.work() else {
            return;
        };
        if let Some(job) = queue.pop_front_if(|job| job.may_block())
            && let Some(applier) = self.applier.lend()
        {
            self.give_snapshot_job(SnapshotJob::Perform(applier, job));
        }
    }

    /// Removes old snapshots, but not while one of them may still have to be restored. By the time
    /// that this is done another may be about to be, so what is beyond the machine is left alone.
    pub(super) fn retain_snapshots(&mut self) {
        if self.restores == 0 {
            let through = self.applied;
            self.give_snapshot_job(SnapshotJob::Retain { through });
        }
    }

    pub(super) fn give_snapshot_job(&mut self, job: SnapshotJob) {
        // A thread that has failed says so through the completions.
        let _ = self.snapshots.send(job);
    }

    fn persist(&mut self, write: Write) {
        self.counters.writes += 1;
        if write.truncate_from.is_some() || write.purge_through.is_some() {
            self.removals += 1;
        }
        self.log.push(write);
    }

    fn send(&mut self, message: Message) {
        self.counters.messages_sent += 1;
        let transport = &self.transport;
        self.peers
            .with(message.to, |peer| transport.send(peer, message));
    }

    fn send_snapshot(&mut self, to: NodeId, term: Term, reaches: LogIndex) {
        let to = self.peers.with(to, Clone::clone);
        self.give_snapshot_job(SnapshotJob::Send { to, term, reaches });
    }

    fn give_to_machine(&mut self, entries: Vec<Entry>) {
        self.counters.entries_applied += entries.len() as u64;
        Job::apply(entries, |job| self.applier.push(job));
    }

    fn take_snapshot(&mut self) {
        if self.snapshotting.core_asks() {
            self.applier.push(Job::TakeSnapshot);
        }
    }

    fn standing_changed(&mut self, standing: Standing) {
        tracing::info!(
            role = standing.role.as_str(),
            term = standing.term.get(),
            leader = standing.leader.map(NodeId::get),
            "standing changed"
        );
        self.standing.send_replace(standing);
        self.publish(NodeEvent::StandingChanged(standing));
    }

    fn membership_changed(&mut self, at: LogId, membership: Arc<Membership>) {
        tracing::info!(%at, %membership, "membership changed");
        self.peers.learn(&membership);
        self.publish(NodeEvent::MembershipChanged { at, membership });
    }

    fn displaced(&mut self, by: Incarnation) {
        let node = self.identity.node;
        tracing::warn!(
            %node,
            own = %self.identity.incarnation,
            voting = %by,
            "the group knows another life of this node: it was started with empty stores under the \
             name of a member, so it abstains and counts for nothing; remove it from the group and \
             add it again (MembershipChange::remove, then add_voter)"
        );
        self.publish(NodeEvent::Displaced { by });
    }

    fn repairing(&mut self, reason: String) {
        tracing::warn!(
            node = %self.identity.node,
            own = %self.identity.incarnation,
            reason,
            "this node's stores were damaged and have begun anew: it gets what it lost from the leader, \
             abstains meanwhile, and is a voter again without an operator"
        );
        self.publish(NodeEvent::Repairing { reason });
    }

    fn repaired(&mut self) {
        tracing::info!(node = %self.identity.node, "repaired: the group counts this node again");
        self.publish(NodeEvent::Repaired);
    }

    fn dropped(&mut self, nonsense: Nonsense) {
        tracing::warn!(?nonsense, "a peer's nonsense was dropped");
        self.publish(NodeEvent::NonsenseDropped(nonsense));
    }
}

/// The jobs before the next one that may block.
fn until_blocking(queue: &mut VecDeque<Job>) -> VecDeque<Job> {
    let blocking = queue.iter().position(Job::may_block);
    let rest = queue.split_off(blocking.unwrap_or(queue.len()));
    std::mem::replace(queue, rest)
}
