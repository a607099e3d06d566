//! Everybody who waits for what the core decides and the state machine answers.
//!
//! The event loop gives every effect of the core, and all that the state machine has done, to this one
//! place; so does the simulator, which reads the answers as a caller would.

use super::administration::Administration;
use super::applier::Progress;
use super::error::StopReason;
use super::forwarding::Forwarding;
use super::waiting::Waiting;
use crate::config::Config;
use crate::consensus::Effect;
use crate::id::LogIndex;
use crate::time::Timestamp;

/// How long a forwarded proposal waits for a leader, in election timeouts.
const FORWARD_PATIENCE: u32 = 10;

/// The callers of one life of a node. Each is answered, whatever happens to the node (RULE 6).
#[derive(Debug)]
pub(crate) struct Callers {
    pub(crate) waiting: Waiting,
    pub(crate) forwarding: Forwarding,
    pub(crate) administration: Administration,
}

impl Callers {
    /// The state machine has applied everything through `applied`.
    pub(crate) fn new(config: &Config, applied: LogIndex) -> Self {
        let patience = FORWARD_PATIENCE * config.election_timeout;
        Self {
            waiting: Waiting::default(),
            forwarding: Forwarding::new(patience, applied),
            administration: Administration::default(),
        }
    }

    /// The core says something, some of it to callers. The ends of transfers are left to whoever
    /// knows for whom they were ([`Administration::transfer_ended`]).
    pub(crate) fn hear(&mut self, said: &Effect, now: Timestamp) {
        match said {
            Effect::Apply(entries) => {
                if let Some(last) = entries.last() {
                    self.waiting.applying(last.index());
                }
            }
            Effect::Accepted { term, indexes } => self.waiting.accepted(*term, indexes),
            Effect::Refused { count, reason } => self.waiting.refused(*count, reason),
            Effect::Forwarded { forward, count } => {
                let slots = self.waiting.take_proposed(*count);
                self.forwarding.sent(*forward, slots);
            }
            Effect::ForwardAnswered {
                forward,
                term,
                indexes,
                refused,
            } => self
                .forwarding
                .answered(*forward, *term, indexes, refused.as_ref()),
            Effect::ForwardLost { forward } => self.forwarding.lost(*forward),
            Effect::ReadReady { reads, index } => self.waiting.reads_ready(reads, *index),
            Effect::ReadFailed { reads, reason } => self.waiting.reads_failed(reads, reason),
            Effect::LeadershipLost { term } => {
                self.waiting.leadership_lost(*term);
                self.administration.leadership_lost();
            }
            Effect::ChangeAnswered(answer) => self.administration.change_answered(answer.clone()),
            Effect::MembershipSettled { at } => self.administration.settled(*at),
            Effect::StatusChanged(standing) => {
                self.forwarding.leader_known(standing.leader.is_some(), now);
            }
            _ => {} // Everything else is for no caller.
        }
    }

    /// The state machine has done something. The core hears of it afterwards: it may let reads go.
    pub(crate) fn progressed(&mut self, progress: &mut Progress) {
        for (id, response) in progress.responses.drain(..) {
            self.forwarding.applied(id, &response);
            self.waiting.applied(id, response);
        }
        if let Some(through) = progress.through {
            self.forwarding
                .applied_through(through, progress.restored > 0);
        }
    }

    /// Proposals that wait to be applied.
    pub(crate) fn proposals(&self) -> usize {
        self.waiting.proposals() + self.forwarding.count()
    }

    /// When [`Callers::expire`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let deadlines = [self.waiting.deadline(), self.forwarding.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Answers whoever has waited for long enough.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.waiting.expire(now);
        self.forwarding.expire(now);
    }

    /// The node stops: answers everybody.
    pub(crate) fn fail_all(&mut self, reason: &StopReason) {
        self.waiting.fail_all(reason);
        self.forwarding.fail_all(reason);
        self.administration.fail_all(reason);
    }
}
