//! The rounds in which a leader asks who follows it: when each was sent, who answered it, and which
//! forwarded reads wait for a later one.

use std::collections::{BTreeMap, BTreeSet};

use super::watch::Step;
use crate::consensus::{Effect, Event};
use crate::id::NodeId;
use crate::message::{Body, ReadId, Round};
use crate::time::Timestamp;

/// What a step was told of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A follower answers this round.
    Answer(NodeId, Round),
    /// A follower asks for a read, without a lease.
    Read(NodeId, ReadId),
}

/// The rounds of one leadership.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    /// When each was sent first, by the leader's clock.
    pub(super) sent: BTreeMap<Round, Timestamp>,
    /// The newest that was sent when a read was asked for first.
    pub(super) asked: BTreeMap<(NodeId, ReadId), Round>,
    answered: BTreeMap<NodeId, Round>,
}

/// So many rounds are remembered: far more than a lease lasts.
const ROUNDS_MAX: usize = 2_000;

impl Heard {
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Event::Received(message) = event else {
            return None;
        };
        match message.body {
            Body::HeartbeatReply { round, .. } => Some(Self::Answer(message.from, round)),
            Body::ReadIndex { read, lease: false } => Some(Self::Read(message.from, read)),
            _ => None,
        }
    }
}

impl Rounds {
    /// Remembers what this step showed.
    pub(super) fn note(&mut self, step: &Step<'_>) {
        if !step.after.is_leader || step.is_elected() {
            *self = Self::default();
        }
        if !step.after.is_leader {
            return;
        }
        let newest = self.sent.last_key_value();
        let newest = newest.map_or(Round::default(), |(round, _)| *round);
        match step.moment.heard {
            Some(Heard::Answer(from, round)) if step.moment.is_of(step.after.term) => {
                let answered = self.answered.entry(from).or_default();
                *answered = round.max(*answered);
            }
            Some(Heard::Read(from, read)) => {
                self.asked.entry((from, read)).or_insert(newest);
            }
            _ => {}
        }
        for effect in step.effects {
            if let Effect::Send(message) = effect
                && let Body::Heartbeat { round, .. } = message.body
            {
                self.sent.entry(round).or_insert(step.moment.local);
            }
        }
        if self.sent.len() > ROUNDS_MAX {
            self.sent.pop_first();
        }
    }

    /// The newest round that a majority answered, of each half; nothing if the leader is one alone.
    pub(super) fn answered_by_quorum(&self, step: &Step<'_>) -> Option<Round> {
        let membership = step.raft.membership();
        let own = Round(u64::MAX);
        let answered = |voter: &NodeId| {
            if *voter == step.node {
                return own;
            }
            self.answered.get(voter).copied().unwrap_or_default()
        };
        let answered_of = |half: &BTreeSet<NodeId>| {
            let mut rounds: Vec<Round> = half.iter().map(answered).collect();
            rounds.sort_unstable_by(|a, b| b.cmp(a));
            rounds.get(half.len() / 2).copied()
        };
        let halves = [membership.voters(), membership.outgoing()];
        let rounds = halves.into_iter().filter_map(answered_of);
        rounds.min().filter(|round| *round != own)
    }
}
