//! What a leader knows of one follower, and how much it sends before it hears back. Knows no Raft.

use super::mutant::{Mutant, mutant};
use std::collections::VecDeque;
use std::time::Duration;

use crate::id::{Incarnation, LogIndex};
use crate::message::Round;
use crate::time::Timestamp;

/// One follower, seen from its leader.
#[derive(Clone, Debug, Hash)]
pub(super) struct Progress {
    /// Which life of the follower all this is about. `None` before it was met.
    pub(super) life: Option<Incarnation>,
    /// It has answered a round after this one: so that life is no memory.
    asked: Round,
    /// It has.
    pub(super) is_alive: bool,
    /// Nothing else is believed of it before it has.
    pub(super) must_answer: bool,
    /// How entries are sent.
    pub(super) state: Replication,
    /// The follower's log equals ours through here, durably. Never falls.
    pub(super) matched: LogIndex,
    /// The next entry to send.
    pub(super) next: LogIndex,
    /// When it was last heard of.
    pub(super) heard: Timestamp,
    /// The latest round of heartbeats it answered.
    pub(super) round: Round,
    /// It has verified our log through here, as its answers to heartbeats say.
    pub(super) verified: LogIndex,
    /// When it last told of entries that were news.
    pub(super) moved: Timestamp,
    /// Entries for it are being read from disk.
    pub(super) fetching: bool,
    /// Snapshots for it that failed, one after the other, and when the next may go.
    snapshot_failures: u32,
    snapshot_at: Timestamp,
    /// Since when it belongs to the group no more.
    pub(super) left: Option<Timestamp>,
}

/// How entries are sent to a follower.
#[derive(Clone, Debug, Hash)]
pub(super) enum Replication {
    /// Where the logs agree is unknown: one message at a time.
    Probe {
        /// One is on its way; the next goes after the reply, or with the next heartbeat.
        awaiting_reply: bool,
    },
    /// The logs agree through `matched`: send without waiting.
    Replicate(InFlight),
    /// What it needs is purged: it gets a snapshot, and nothing else meanwhile.
    Snapshot {
        /// The last entry of the snapshot. Entries after it are kept until the receiver has it.
        through: LogIndex,
    },
}

/// The appends on their way to one follower.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct InFlight {
    messages: VecDeque<Sent>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Sent {
    last: LogIndex,
    bytes: usize,
    at: Timestamp,
}

/// With the default heartbeat of 50 ms, snapshots that fail are tried every 12.8 s in the end.
const SNAPSHOT_DOUBLINGS_MAX: u32 = 8;

impl Progress {
    /// A follower of which nothing is known yet. It counts as heard, so that a new leader, or a
    /// new member, is not taken for lost at once.
    pub(super) fn new(next: LogIndex, now: Timestamp) -> Self {
        Self {
            life: None,
            asked: Round::default(),
            is_alive: false,
            must_answer: false,
            state: Replication::Probe {
                awaiting_reply: false,
            },
            matched: LogIndex::ZERO,
            next,
            heard: now,
            round: Round::default(),
            verified: LogIndex::ZERO,
            moved: Timestamp::ZERO,
            fetching: false,
            snapshot_failures: 0,
            snapshot_at: now,
            left: None,
        }
    }

    /// The same, about one life of the follower. A leader in round `round` waits for an answer to a
    /// later one before it believes that this is the latest life.
    pub(super) fn about(self, life: Option<Incarnation>, round: Round) -> Self {
        Self {
            life,
            asked: round,
            is_alive: false,
            ..self
        }
    }

    /// A follower that was away, and of which nothing is believed but an answer to a round after
    /// this one.
    pub(super) fn returning(self, life: Option<Incarnation>, round: Round) -> Self {
        Self {
            must_answer: life.is_some(),
            ..self.about(life, round)
        }
    }

    /// It has said something in this term. If it was not forgotten since the term began, that
    /// proves it alive.
    pub(super) fn was_heard(&mut self) {
        self.is_alive |= self.asked == Round::default();
    }

    /// Whether an answer to `round` is later than all that is known.
    pub(super) fn is_later(&self, round: Round) -> bool {
        round > self.asked.max(self.round)
    }

    /// Nothing is known of this life yet, but that it is the latest.
    pub(super) fn renewed(&self, life: Incarnation, next: LogIndex, now: Timestamp) -> Self {
        Self {
            left: self.left,
            ..Self::new(next, now).about(Some(life), self.asked.max(self.round))
        }
    }

    /// It was heard now, in answer to `round`. Says whether that proves it alive for the first time.
    pub(super) fn answered(&mut self, round: Round, now: Timestamp) -> bool {
        self.heard = now;
        self.round = self.round.max(round);
        let is_news = !self.is_alive && round > self.asked;
        self.is_alive |= is_news;
        is_news
    }

    /// What was in flight may be lost: start over from what is known.
    pub(super) fn become_probe(&mut self, next: LogIndex) {
        self.next = next.max(self.matched.next());
        self.state = Replication::Probe {
            awaiting_reply: false,
        };
    }

    /// The follower stores everything through `matched`. Says whether that is news.
    pub(super) fn accepted(&mut self, matched: LogIndex) -> bool {
        let is_news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        match &mut self.state {
            Replication::Replicate(_) if mutant(Mutant::WindowNeverFreed) => {}
            Replication::Replicate(in_flight) => in_flight.free_through(matched),
            Replication::Probe { .. } => self.state = Replication::Replicate(InFlight::default()),
            Replication::Snapshot { through } if self.matched >= *through => {
                self.state = Replication::Replicate(InFlight::default());
            }
            Replication::Snapshot { .. } => {}
        }
        is_news
    }

    /// Notes that entries through `last` were sent.
    pub(super) fn sent(&mut self, last: LogIndex, bytes: usize, at: Timestamp) {
        match &mut self.state {
            Replication::Probe { awaiting_reply } => *awaiting_reply = true,
            Replication::Replicate(in_flight) => {
                self.next = last.next();
                in_flight.add(Sent { last, bytes, at });
            }
            Replication::Snapshot { .. } => {}
        }
    }

    /// The last index of the oldest append in flight, if that was sent before `before`. What was
    /// sent and is in flight no more, and was never acknowledged, is overdue too: an old
    /// acknowledgement has ended the probe that was to ask for it.
    pub(super) fn overdue(&self, before: Timestamp) -> Option<LogIndex> {
        match &self.state {
            Replication::Replicate(in_flight) if in_flight.messages.is_empty() => {
                let last = self.next.previous();
                (last > self.matched).then_some(last)
            }
            Replication::Replicate(in_flight) => {
                let oldest = in_flight
                    .messages
                    .front()
                    .filter(|oldest| oldest.at < before);
                oldest.map(|oldest| oldest.last)
            }
            Replication::Probe { .. } | Replication::Snapshot { .. } => None,
        }
    }

    /// Whether another snapshot may be tried.
    pub(super) fn may_have_snapshot(&self, now: Timestamp) -> bool {
        now >= self.snapshot_at
    }

    /// A snapshot did not get there. The next waits twice as long as the last, up to a bound: a
    /// full disk at the receiver is not emptied by streaming to it again and again.
    pub(super) fn snapshot_failed(&mut self, now: Timestamp, least: Duration) {
        let times = 1 << self.snapshot_failures.min(SNAPSHOT_DOUBLINGS_MAX);
        self.snapshot_failures = self.snapshot_failures.saturating_add(1);
        self.snapshot_at = now + least * times;
        self.become_probe(self.matched.next());
        self.state = Replication::Probe {
            awaiting_reply: true,
        };
    }

    /// A snapshot got there, or more of it: what failed before fails no longer.
    pub(super) fn snapshot_moves(&mut self) {
        self.snapshot_failures = 0;
    }

    /// Messages and bytes in flight.
    pub(super) fn in_flight(&self) -> (usize, usize) {
        match &self.state {
            Replication::Replicate(in_flight) => (in_flight.messages.len(), in_flight.bytes),
            Replication::Probe { .. } | Replication::Snapshot { .. } => (0, 0),
        }
    }
}

impl Replication {
    /// For people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Probe { .. } => "probe",
            Self::Replicate(_) => "replicate",
            Self::Snapshot { .. } => "snapshot",
        }
    }
}

impl InFlight {
    /// Whether another append has to wait. A single one always passes, however large.
    pub(super) fn is_full(&self, messages_max: usize, bytes_max: usize) -> bool {
        !mutant(Mutant::WindowUnlimited)
            && !self.messages.is_empty()
            && (self.messages.len() >= messages_max || self.bytes >= bytes_max)
    }

    fn add(&mut self, sent: Sent) {
        self.bytes += sent.bytes;
        self.messages.push_back(sent);
    }

    /// Acknowledgements are cumulative.
    fn free_through(&mut self, matched: LogIndex) {
        while let Some(sent) = self.messages.pop_front_if(|sent| sent.last <= matched) {
            self.bytes -= sent.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    #[test]
    fn an_acknowledgement_frees_everything_up_to_it() {
        let mut progress = Progress::new(index(1), Timestamp::ZERO);
        assert!(progress.accepted(index(0)) || progress.matched == index(0));
        for last in [3, 6, 9] {
            progress.sent(index(last), 100, Timestamp::ZERO);
        }
        assert_eq!(progress.in_flight(), (3, 300));
        assert!(progress.accepted(index(6)));
        assert_eq!(progress.in_flight(), (1, 100));
        assert!(
            !progress.accepted(index(4)),
            "an older acknowledgement is no news"
        );
        assert_eq!((progress.matched, progress.next), (index(6), index(10)));
    }

    #[test]
    fn one_append_passes_every_limit_alone() {
        let mut in_flight = InFlight::default();
        assert!(!in_flight.is_full(1, 1));
        in_flight.add(Sent {
            last: index(1),
            bytes: 1_000,
            at: Timestamp::ZERO,
        });
        assert!(in_flight.is_full(8, 1_000));
    }

    #[test]
    fn an_append_is_overdue_when_it_was_sent_too_long_ago() {
        let mut progress = Progress::new(index(1), Timestamp::ZERO);
        progress.accepted(index(0));
        progress.sent(index(3), 100, Timestamp::from_millis(10));
        assert_eq!(progress.overdue(Timestamp::from_millis(10)), None);
        assert_eq!(progress.overdue(Timestamp::from_millis(11)), Some(index(3)));
    }

    #[test]
    fn a_receiver_that_has_taken_more_is_not_kept_waiting_longer_and_longer() {
        let least = Duration::from_millis(50);
        let mut progress = Progress::new(index(1), Timestamp::ZERO);
        for _ in 0..5 {
            progress.snapshot_failed(Timestamp::ZERO, least);
        }
        assert!(!progress.may_have_snapshot(Timestamp::from_millis(799)));
        progress.snapshot_moves();
        progress.snapshot_failed(Timestamp::ZERO, least);
        assert!(progress.may_have_snapshot(Timestamp::from_millis(50)));
    }
}
