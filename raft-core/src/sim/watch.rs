//! Watches each step of a core: what it took in, what it knew, and what it remembers of its own
//! promises. From this the checkers judge the rules that no history of clients shows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::check::{Held, covered, rejects};
use super::cluster::Cluster;
use super::rounds::{Heard, Rounds};
use crate::config::Config;
use crate::consensus::{Belief, Brief, Effect, Event, Raft, RoleName, Sequence};
use crate::id::{GroupId, Incarnation, LogId, LogIndex, NodeId, Term};
use crate::membership::Membership;
use crate::message::{Body, Message};
use crate::time::Timestamp;

/// One step of one node, as the checkers see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) node: NodeId,
    /// The core after the step.
    pub(super) raft: &'a Raft,
    pub(super) config: &'a Config,
    pub(super) moment: &'a Moment,
    pub(super) after: &'a Brief,
    pub(super) effects: &'a [Effect],
}

/// What was known when a step began.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// By the node's own clock.
    pub(super) local: Timestamp,
    pub(super) before: Brief,
    pub(super) took: Took,
    /// Whom it followed.
    pub(super) leader: Option<NodeId>,
    /// What it believed of who sent the message, if it led.
    pub(super) belief: Option<Belief>,
    pub(super) membership: Arc<Membership>,
    pub(super) membership_at: LogId,
    pub(super) election_deadline: Option<Timestamp>,
    /// Whom it had voted for in this term.
    pub(super) vote: Option<NodeId>,
    /// The last index of the append that came.
    pub(super) covers: Option<LogIndex>,
    /// What came of rounds.
    pub(super) heard: Option<Heard>,
    /// Which former life the sender says is over.
    pub(super) claims_over: Option<Incarnation>,
    /// The last index of the snapshot that came.
    snapshot: Option<LogIndex>,
    is_message: bool,
}

/// What a step took in, as far as a checker asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    TimePassed,
    Message {
        from: NodeId,
        term: Term,
        says: Says,
    },
    /// A message of another group.
    Foreign,
    /// The receiver of a snapshot has more of it, or all.
    Receives(NodeId),
    Unreachable(NodeId),
    /// The snapshot that a follower needs cannot be read.
    Unreadable,
    Persisted(Sequence),
    Other,
}

/// What a message says, as far as a checker asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    PreVote {
        last: LogId,
    },
    PreVoteReply,
    Vote {
        last: LogId,
        transfer: bool,
    },
    /// What only a leader says to its followers.
    Leads,
    /// What a follower answers to its leader.
    Follows,
    Rejects {
        previous: LogIndex,
    },
    TimeoutNow,
    Other,
}

/// What is remembered of one life of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// The leader that it followed in the last message, and when that came.
    pub(super) leader_heard: Option<(NodeId, Timestamp)>,
    /// When it, as leader, last had an answer from whom.
    pub(super) heard: BTreeMap<NodeId, Timestamp>,
    /// Since when it leads this membership without a pause.
    pub(super) steady_since: Timestamp,
    /// Since when it leads without a vote, with nothing left to do.
    pub(super) voteless_since: Option<Timestamp>,
    pub(super) transferring_since: Option<Timestamp>,
    /// The writes that are not durable.
    pub(super) writes: VecDeque<(Sequence, Timestamp)>,
    /// What this leader's appends, and snapshots, have shown to be the same in both logs.
    pub(super) verified: LogIndex,
    /// The state machine was given everything through here.
    pub(super) fed: LogIndex,
    pub(super) rounds: Rounds,
    /// It keeps what an earlier life may have promised, until then or until it hears a leader.
    pub(super) silent_until: Option<Timestamp>,
    pub(super) last_step: Timestamp,
    /// The last step that only a node takes that is not paused.
    pub(super) last_sign: Timestamp,
}

impl Moment {
    pub(super) fn new(raft: &Raft, local: Timestamp, event: &Event) -> Self {
        let took = Took::of(event);
        let from = match took {
            Took::Message { from, .. } => Some(from),
            _ => None,
        };
        Self {
            local,
            before: raft.status_brief(),
            took,
            leader: raft.standing().leader,
            belief: from.and_then(|from| raft.belief(from)),
            membership: raft.membership(),
            membership_at: raft.membership_at(),
            election_deadline: raft.election_deadline(),
            vote: raft.vote(),
            covers: match event {
                Event::Received(message) => covered(&message.body),
                _ => None,
            },
            heard: Heard::of(event),
            claims_over: match event {
                Event::Received(Message {
                    body: Body::HeartbeatReply { supersedes, .. },
                    ..
                }) => *supersedes,
                _ => None,
            },
            snapshot: match event {
                Event::SnapshotReceived { meta, .. } => Some(meta.id().index),
                _ => None,
            },
            is_message: matches!(event, Event::Received(_)),
        }
    }

    /// Whether it took a message of this term.
    pub(super) fn is_of(&self, wanted: Term) -> bool {
        matches!(self.took, Took::Message { term, .. } if term == wanted)
    }
}

impl Took {
    fn of(event: &Event) -> Self {
        match event {
            Event::TimePassed => Self::TimePassed,
            Event::Received(message) if message.group != GroupId::default() => Self::Foreign,
            Event::Received(Message {
                from, term, body, ..
            }) => Self::Message {
                from: *from,
                term: *term,
                says: Says::of(body),
            },
            Event::SnapshotReceived { from, term, .. } => Self::Message {
                from: *from,
                term: *term,
                says: Says::Leads,
            },
            Event::SnapshotSent { to, .. } | Event::SnapshotProgressed { to, .. } => {
                Self::Receives(*to)
            }
            Event::Unreachable(peer) => Self::Unreachable(*peer),
            Event::SnapshotUnreadable { .. } => Self::Unreadable,
            Event::Persisted(sequence) => Self::Persisted(*sequence),
            _ => Self::Other,
        }
    }
}

impl Says {
    fn of(body: &Body) -> Self {
        match body {
            Body::PreVote { last } => Self::PreVote { last: *last },
            Body::PreVoteReply { .. } => Self::PreVoteReply,
            Body::Vote { last, transfer } => Self::Vote {
                last: *last,
                transfer: *transfer,
            },
            Body::Append { .. } | Body::Heartbeat { .. } => Self::Leads,
            Body::AppendAccepted { .. }
            | Body::HeartbeatReply { .. }
            | Body::SnapshotInstalled { .. } => Self::Follows,
            Body::AppendRejected { previous, .. } => Self::Rejects {
                previous: *previous,
            },
            Body::TimeoutNow => Self::TimeoutNow,
            _ => Self::Other,
        }
    }
}

impl Step<'_> {
    /// Whether the node took office in this step.
    pub(super) fn is_elected(&self) -> bool {
        self.after.is_leader && !self.moment.before.is_leader
    }

    /// Whether it began to campaign in this step.
    pub(super) fn campaigns(&self) -> bool {
        let (before, after) = (&self.moment.before, self.after);
        match after.role {
            RoleName::PreCandidate => before.role == RoleName::Follower,
            RoleName::Candidate => before.role != after.role || before.term != after.term,
            RoleName::Follower | RoleName::Leader => false,
        }
    }
}

impl Watched {
    /// Remembers what this step showed.
    pub(super) fn note(&mut self, step: &Step<'_>) {
        self.note_leader(step);
        self.note_office(step);
        self.note_writes(step);
        self.note_verified(step);
        self.rounds.note(step);
        let (after, local) = (step.after, step.moment.local);
        self.transferring_since = after
            .is_transferring
            .then(|| self.transferring_since.unwrap_or(local));
        self.last_step = local;
        // A request may reach a node that is paused, which is no sign of life.
        if !matches!(step.moment.took, Took::Other) {
            self.last_sign = local;
        }
    }

    fn note_leader(&mut self, step: &Step<'_>) {
        let Step { moment, after, .. } = step;
        let is_new_term = after.term != moment.before.term;
        if is_new_term || after.role != RoleName::Follower {
            self.leader_heard = None;
        }
        match moment.took {
            Took::Message {
                from,
                term,
                says: Says::Leads,
            } if term == after.term && step.raft.standing().leader == Some(from) => {
                self.leader_heard = Some((from, moment.local));
                self.silent_until = None;
            }
            Took::Unreachable(peer) => {
                self.leader_heard = self.leader_heard.filter(|(leader, _)| *leader != peer);
            }
            _ => {}
        }
    }

    fn note_office(&mut self, step: &Step<'_>) {
        let Step { moment, after, .. } = step;
        let local = moment.local;
        if !after.is_leader {
            self.heard.clear();
            self.voteless_since = None;
            return;
        }
        let was_paused = local.since(self.last_sign) > 2 * step.config.heartbeat_interval;
        let has_changed = step.raft.membership_at() != moment.membership_at;
        if step.is_elected() || was_paused || has_changed {
            self.steady_since = local;
        }
        match moment.took {
            Took::Message {
                from,
                term,
                says: Says::Follows | Says::Rejects { .. },
            } if term == after.term => {
                self.heard.insert(from, local);
            }
            Took::Receives(to) => {
                self.heard.insert(to, local);
            }
            _ => {}
        }
        let membership = step.raft.membership();
        let is_done = membership.goal().is_none()
            && step.raft.membership_at().index <= after.committed
            && step.raft.term_at(after.committed) == Some(after.term);
        let is_voteless = !after.is_voter && is_done;
        self.voteless_since = is_voteless.then(|| self.voteless_since.unwrap_or(local));
    }

    fn note_verified(&mut self, step: &Step<'_>) {
        let Step { moment, after, .. } = step;
        if after.term != moment.before.term || after.role != RoleName::Follower {
            self.verified = LogIndex::ZERO;
        }
        let Took::Message { from, .. } = moment.took else {
            return;
        };
        if !moment.is_of(after.term) || rejects(step.effects, from) {
            return;
        }
        self.verified = self.verified.max(moment.covers.unwrap_or_default());
        for effect in step.effects {
            if let Effect::Restore(meta) = effect {
                self.verified = meta.id().index;
            }
        }
        if let Some(last) = moment.snapshot {
            self.verified = self.verified.max(last);
        }
    }

    fn note_writes(&mut self, step: &Step<'_>) {
        if let Took::Persisted(through) = step.moment.took {
            self.writes.retain(|(sequence, _)| *sequence > through);
        }
        for effect in step.effects {
            if let Effect::Persist(write) = effect {
                self.writes.push_back((write.sequence, step.moment.local));
            }
        }
    }
}

impl Cluster {
    /// Judges a step by the rules that clients cannot see.
    pub(super) fn judge(
        &mut self,
        id: NodeId,
        moment: &Moment,
        after: &Brief,
        effects: &[Effect],
    ) -> Held {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let mut watched = std::mem::take(&mut node.watched);
        let held = self.judge_with(&mut watched, id, (moment, after, effects));
        if let Some(node) = self.nodes.get_mut(&id) {
            node.watched = watched;
        }
        held
    }

    fn judge_with(
        &self,
        watched: &mut Watched,
        id: NodeId,
        (moment, after, effects): (&Moment, &Brief, &[Effect]),
    ) -> Held {
        let Some(node) = self.nodes.get(&id) else {
            return Ok(());
        };
        let Some(raft) = node.raft.as_ref() else {
            return Ok(());
        };
        let step = Step {
            node: id,
            raft,
            config: &self.plan.config,
            moment,
            after,
            effects,
        };
        step.takes_nothing_from_the_past()?;
        step.is_not_disrupted(watched)?;
        step.does_not_go_back_without_cause()?;
        watched.note(&step);
        step.tells_who_is_behind(moment.is_message)?;
        step.votes_for_complete_logs()?;
        step.commits_what_it_verified(watched)?;
        step.feeds_its_machine(watched)?;
        step.only_appends_as_leader()?;
        step.sends_its_own_log()?;
        step.confirms_rightly(watched)?;
        step.has_no_long_lease(watched)?;
        step.campaigns_rightly(watched, node.restores > 0)?;
        step.campaigns_when_due()?;
        step.replaces_what_it_cannot_read(node)?;
        step.votes_as_who_it_is(node)?;
        step.claims_what_it_knows(node)?;
        step.strikes_off_who_is_over(&self.nodes)?;
        step.leads_rightly(watched)?;
        step.hands_over_rightly(watched)?;
        step.keeps_bounds()?;
        step.commits_rightly()?;
        step.knows_its_disk(node.disk.durable())?;
        step.knows_its_followers(&self.nodes)?;
        step.orders_only_who_has_all(&self.nodes)?;
        self.checks.memberships_agree(&step)?;
        self.checks.changes_rightly(&step, self.now, &self.nodes)?;
        if step.is_elected() {
            self.checks.has_votes(&step, node.incarnation(id))?;
            step.is_not_excluded_by_a_lease(self.now, &self.nodes)?;
        }
        if self.calm.contains(&id) {
            step.is_calm()?;
        }
        Ok(())
    }
}
