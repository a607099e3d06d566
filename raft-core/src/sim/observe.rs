//! Notices the situations that a run meets.

use super::cluster::Cluster;
use super::disk::Lost;
use super::situation::Situation;
use crate::consensus::{Brief, Effect, Event, Reader, Refusal, RoleName, Write};
use crate::id::{NodeId, Term};
use crate::message::Body;
use crate::node::ProposeError;

/// What is remembered of an event that a step takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    TimePassed,
    Vote,
    Message,
    Snapshot,
    Other,
}

impl Cluster {
    pub(super) fn meet(&mut self, situation: Situation) {
        self.report.situations.meet(situation);
    }

    fn meet_if(&mut self, is_met: bool, situation: Situation) {
        if is_met {
            self.meet(situation);
        }
    }

    /// An event is about to be taken in by a node in the state `before`.
    pub(super) fn observe_event(&mut self, before: &Brief, event: &Event) -> Seen {
        match event {
            Event::TimePassed => Seen::TimePassed,
            Event::Received(message) => {
                let is_old = message.term < before.term;
                let sender = self.nodes.get(&message.from);
                let is_orphan = sender.is_some_and(|node| node.raft.is_none());
                self.meet_if(is_orphan, Situation::MessageOutlivedSender);
                self.meet_if(!before.is_member, Situation::MessageToStranger);
                match &message.body {
                    Body::Append { .. } => self.meet_if(is_old, Situation::OldAppend),
                    Body::AppendAccepted { .. } => {
                        self.meet_if(is_old, Situation::OldAcknowledgement);
                    }
                    Body::VoteReply { granted: true } => {
                        self.meet_if(is_old, Situation::OldVoteReply);
                    }
                    Body::TimeoutNow => self.meet_if(is_old, Situation::OldTimeoutNow),
                    Body::Vote { .. } => return Seen::Vote,
                    _ => {}
                }
                Seen::Message
            }
            Event::SnapshotReceived { term, .. } => {
                self.meet_if(*term < before.term, Situation::SnapshotOfOldTerm);
                Seen::Snapshot
            }
            Event::FetchPurged { .. } => {
                self.meet(Situation::FetchPurged);
                Seen::Other
            }
            Event::SnapshotTaken(_) => {
                self.meet_if(before.is_joint, Situation::SnapshotTakenInJoint);
                Seen::Other
            }
            _ => Seen::Other,
        }
    }

    /// A step has led from `before` to `after`.
    pub(super) fn observe_step(
        &mut self,
        id: NodeId,
        seen: Seen,
        (before, after): (&Brief, &Brief),
        effects: &[Effect],
    ) {
        if before.role != after.role || before.term != after.term {
            self.observe_role(id, seen, before, after);
        }
        if after.is_leader && after.committed > before.committed {
            self.meet_if(after.is_joint, Situation::CommittedInJoint);
            let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
            let first = raft.and_then(|raft| raft.link_at(before.committed.next()));
            let is_inherited = first.is_some_and(|first| first.id.term < after.term);
            self.meet_if(is_inherited, Situation::InheritanceCommitted);
        }
        if seen == Seen::Vote && effects.is_empty() && before.is_member {
            self.meet(Situation::VoteIgnored);
        }
        let restores = |effect: &Effect| matches!(effect, Effect::Restore(_));
        if seen == Seen::Snapshot && !effects.iter().any(restores) {
            self.meet(Situation::SnapshotUnneeded);
        }
        for effect in effects {
            self.observe_effect(id, before, effect);
        }
    }

    fn observe_role(&mut self, id: NodeId, seen: Seen, before: &Brief, after: &Brief) {
        let is_later = after.term > before.term;
        match (before.role, after.role) {
            (_, RoleName::Leader) if !before.is_leader => self.observe_election(id, after),
            (RoleName::Leader, RoleName::Follower) if is_later => {
                self.meet(Situation::DeposedByTerm);
            }
            (RoleName::Leader, RoleName::Follower) => {
                self.meet_if(!before.is_voter, Situation::LeaderVotedOut);
                self.meet_if(before.is_voter, Situation::SteppedDownAlone);
                let is_stalled = seen == Seen::TimePassed && after.is_stalled;
                self.meet_if(is_stalled, Situation::DiskStalledLeader);
            }
            (RoleName::Candidate, RoleName::Follower) => self.meet(Situation::CandidateDefeated),
            (RoleName::Candidate, RoleName::PreCandidate) => {
                self.meet(Situation::CandidateTimedOut);
            }
            (RoleName::PreCandidate, RoleName::Follower) => {
                self.meet(Situation::PreCandidateDefeated);
            }
            _ => {}
        }
        let campaigns = after.role != RoleName::Follower && before.role == RoleName::Follower;
        self.meet_if(campaigns && !after.is_voter, Situation::VotedOutCampaigned);
    }

    fn observe_election(&mut self, id: NodeId, after: &Brief) {
        self.meet(Situation::LeaderElected);
        let nodes = self.nodes.iter();
        let has_rival = nodes
            .filter(|(other, _)| **other != id)
            .filter_map(|(_, node)| node.raft.as_ref())
            .any(|raft| raft.standing().role == RoleName::Leader);
        self.meet_if(has_rival, Situation::TwoLeaders);
        // The last entry is its own.
        let has_heritage = after.last.index.previous() > after.committed;
        self.meet_if(has_heritage, Situation::ElectedWithInheritance);
        self.meet_if(after.is_joint, Situation::ElectedInJoint);
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        let voters = raft.map_or(0, |raft| raft.membership().voters().len());
        self.meet_if(voters == 1, Situation::ElectedAlone);
    }

    fn observe_effect(&mut self, id: NodeId, before: &Brief, effect: &Effect) {
        match effect {
            Effect::Send(message) => match &message.body {
                Body::PreVoteReply { granted: false } => self.meet(Situation::PreVoteRefused),
                Body::VoteReply { granted: false } => self.meet(Situation::VoteRefused),
                Body::AppendRejected { .. } => self.meet(Situation::AppendRejected),
                Body::Append { entries, .. } => {
                    self.meet_if(entries.len() > 1, Situation::AppendOfMany);
                }
                _ => {}
            },
            Effect::Persist(write) => self.observe_truncation(id, write),
            Effect::Fetch { reader, .. } => self.meet(match reader {
                Reader::Peer(_) => Situation::FetchedForPeer,
                Reader::StateMachine => Situation::FetchedForMachine,
            }),
            Effect::SendSnapshot { .. } => self.meet(Situation::SnapshotSent),
            Effect::Restore(meta) => {
                self.meet(Situation::SnapshotInstalled);
                let overshoots = before.last.index > meta.id().index;
                self.meet_if(overshoots, Situation::SnapshotReplacedConflict);
            }
            Effect::Refused { reason, .. } => match reason {
                Refusal::Overloaded => self.meet(Situation::WriteOverloaded),
                Refusal::Transferring(_) => self.meet(Situation::WriteInTransfer),
                _ => {}
            },
            Effect::ReadFailed { .. } => self.meet(Situation::ReadFailed),
            Effect::ChangeAnswered(Err(_)) => self.meet(Situation::ChangeRefused),
            Effect::ChangeAnswered(Ok(_)) => self.changed_by = Some(id),
            Effect::MembershipSettled { .. } => {
                self.meet(Situation::ChangeSettled);
                let is_heir = self.changed_by.take().is_some_and(|begun| begun != id);
                self.meet_if(is_heir, Situation::ChangeInherited);
            }
            Effect::MembershipChanged { membership, .. } if membership.is_joint() => {
                self.meet(Situation::JointEntered);
                let (new, old) = (membership.voters(), membership.outgoing());
                let replaced = new.symmetric_difference(old).count();
                self.meet_if(replaced > 2, Situation::SeveralReplaced);
                let is_old = before.is_leader && !new.contains(&id);
                self.meet_if(is_old, Situation::LeaderInOldHalfOnly);
            }
            Effect::TransferEnded(Ok(_)) => self.meet(Situation::TransferSucceeded),
            Effect::TransferEnded(Err(_)) => self.meet(Situation::TransferFailed),
            _ => {}
        }
    }

    fn observe_truncation(&mut self, id: NodeId, write: &Write) {
        let Some((from, node)) = write.truncate_from.zip(self.nodes.get(&id)) else {
            return;
        };
        let suffix = node.disk.suffix(from);
        self.meet(Situation::SuffixTruncated);
        self.meet_if(suffix.spans_terms, Situation::SuffixOfTermsTruncated);
        self.meet_if(suffix.has_membership, Situation::MembershipTruncated);
        self.meet_if(suffix.is_unsynced, Situation::UnsyncedSuffixTruncated);
    }

    /// A node in the state `last` crashes; its disk has lost something.
    pub(super) fn observe_crash(&mut self, last: &Brief, lost: Lost) {
        let is_leader = last.is_leader;
        let has_uncommitted = last.last.index > last.committed;
        self.meet_if(
            is_leader && has_uncommitted,
            Situation::LeaderCrashedWithUncommitted,
        );
        self.meet_if(
            is_leader && lost.had_entries,
            Situation::LeaderCrashedUnsynced,
        );
        self.meet_if(
            !is_leader && lost.had_entries,
            Situation::FollowerCrashedUnsynced,
        );
        self.meet_if(is_leader && last.is_joint, Situation::LeaderCrashedInJoint);
        self.meet_if(
            is_leader && last.is_transferring,
            Situation::LeaderCrashedInTransfer,
        );
        let is_candidate = last.role == RoleName::Candidate;
        self.meet_if(is_candidate, Situation::CandidateCrashed);
        self.meet_if(lost.had_vote, Situation::CrashedBetweenVoteAndSync);
        self.meet_if(lost.is_torn, Situation::WriteTorn);
        self.meet_if(lost.kept_writes > 0, Situation::UnsyncedWriteSurvived);
        self.meet_if(lost.lost_writes > 0, Situation::UnsyncedWriteLost);
        self.meet_if(
            lost.has_early_hard_state,
            Situation::HardStateAheadOfEntries,
        );
        let nodes = self.nodes.len();
        let down = self
            .nodes
            .values()
            .filter(|node| node.raft.is_none())
            .count();
        self.meet_if(down * 2 > nodes, Situation::MajorityDown);
        self.meet_if(down == nodes, Situation::EveryoneDown);
    }

    /// A proposal was not applied, as far as its caller is told.
    pub(super) fn observe_refusal(&mut self, error: &ProposeError) {
        match error {
            ProposeError::TermChanged { .. } => self.meet(Situation::WriteInAnotherTerm),
            ProposeError::Overwritten { .. } => self.meet(Situation::ForwardOverwritten),
            ProposeError::ResponseLost { .. } => self.meet(Situation::ForwardLeftToSnapshot),
            ProposeError::TimedOut { .. } => self.meet(Situation::DeadlinePassed),
            ProposeError::LeadershipLost { .. } => self.meet(Situation::WriteLostItsLeader),
            _ => {} // Told by other situations.
        }
    }

    /// A node answers a read that began when `began` was the newest term.
    pub(super) fn observe_read(&mut self, id: NodeId, began: Term) {
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        let Some(brief) = raft.map(crate::consensus::Raft::status_brief) else {
            return;
        };
        self.meet(match (brief.is_leader, brief.is_voter) {
            (true, _) => Situation::LeaderRead,
            (false, true) => Situation::FollowerRead,
            (false, false) => Situation::LearnerRead,
        });
        self.meet_if(brief.term > began, Situation::ReadAcrossLeaders);
    }

    pub(super) fn observe_pause(&mut self, id: NodeId) {
        let now = self.now;
        let paused = self.nodes.values().filter(|node| node.paused_until > now);
        let several = paused.count() > 1;
        self.meet_if(several, Situation::SeveralPaused);
        let raft = self.nodes.get(&id).and_then(|node| node.raft.as_ref());
        let leads = raft.is_some_and(|raft| raft.standing().role == RoleName::Leader);
        self.meet_if(leads, Situation::LeaderPaused);
    }

    pub(super) fn observe_cut(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let is_cut = |from: &NodeId, to: &NodeId| self.network.is_cut(*from, *to);
        let one_way = ids.iter().any(|from| {
            let others = ids.iter();
            let mut others = others.filter(|to| is_cut(from, to));
            others.any(|to| !is_cut(to, from))
        });
        let leader = self.any_leader();
        let reached = leader.map(|leader| {
            let others = ids.iter().filter(|id| **id != leader);
            others
                .filter(|id| !is_cut(&leader, id) && !is_cut(id, &leader))
                .count()
        });
        let is_cut_off = reached.is_some_and(|reached| (reached + 1) * 2 <= ids.len());
        self.meet_if(one_way, Situation::OneWayCut);
        self.meet_if(is_cut_off, Situation::LeaderCutOff);
    }
}
