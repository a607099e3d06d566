//! What waits for the disk (RULE 1, RULE 2): one ordered stream of writes, and what each releases.

use super::mutant::{Mutant, mutant};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::effect::Write;
use super::event::Sequence;
use crate::entry::Entry;
use crate::hard_state::HardState;
use crate::id::{ChainLink, LogIndex, Term};
use crate::message::{Body, Message};
use crate::time::Timestamp;

/// The durability stream. What one step stages becomes one [`Write`].
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    issued: Sequence,
    durable: Sequence,
    draft: Write,
    /// The end of the log after the draft, if the draft changes it.
    draft_log_end: Option<LogIndex>,
    writes: VecDeque<Issued>,
    deferred: VecDeque<(Sequence, Deferred)>,
}

/// A write that is not yet durable.
#[derive(Clone, Debug)]
struct Issued {
    sequence: Sequence,
    at: Timestamp,
    /// How far the log is on disk once this write is, if it changes that. Lowered by later
    /// truncations: entries that were overwritten meanwhile do not count as durable (the ABA of
    /// acknowledgements, RULE 1).
    log_end: Option<LogIndex>,
}

/// What happens when a write is durable.
#[derive(Clone, Debug, Hash)]
pub(super) enum Deferred {
    /// The promise in this message has become true.
    Send(Message),
    /// The candidate of this term may ask for votes, and count its own.
    SolicitVotes(Term),
}

/// What became of a report from the disk.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// How far the log is on disk now, if that changed.
    pub(super) log_end: Option<LogIndex>,
    /// What may happen now, in order.
    pub(super) deferred: Vec<Deferred>,
}

/// How many writes there were is no part of the situation: only how far each is behind the newest.
impl Hash for Pending {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            issued,
            durable,
            draft,
            draft_log_end,
            writes,
            deferred,
        } = self;
        let behind = |sequence: &Sequence| issued.0 - sequence.0;
        (behind(durable), draft, draft_log_end).hash(state);
        writes.len().hash(state);
        for Issued {
            sequence,
            at,
            log_end,
        } in writes
        {
            (behind(sequence), at, log_end).hash(state);
        }
        deferred.len().hash(state);
        for (sequence, deferred) in deferred {
            (behind(sequence), deferred).hash(state);
        }
    }
}

impl Pending {
    pub(super) fn stage_hard_state(&mut self, hard_state: HardState) {
        self.draft.hard_state = Some(hard_state);
    }

    /// Stages the removal of a conflicting suffix. What was on its way to the disk at `from` and
    /// after no longer counts.
    pub(super) fn stage_truncate(&mut self, from: LogIndex) {
        debug_assert!(
            self.draft.append.is_empty(),
            "a truncation comes before what replaces it"
        );
        if !mutant(Mutant::TruncationNotWritten) {
            self.draft.truncate_from = Some(from);
        }
        self.draft_log_end = Some(from.previous());
        if mutant(Mutant::OverwrittenCountsAsDurable) {
            return;
        }
        for write in &mut self.writes {
            write.log_end = write.log_end.map(|end| end.min(from.previous()));
        }
    }

    pub(super) fn stage_append(&mut self, entries: &[Entry]) {
        if let Some(last) = entries.last() {
            self.draft.append.extend_from_slice(entries);
            self.draft_log_end = Some(last.index());
        }
    }

    /// Stages a purge of entries that a snapshot replaces.
    pub(super) fn stage_purge(&mut self, through: ChainLink) {
        self.draft.purge_through = Some(through);
    }

    /// Stages a purge of the whole log, which continues after `base`.
    pub(super) fn stage_reset(&mut self, base: ChainLink) {
        self.draft.purge_through = Some(base);
        self.draft_log_end = Some(base.id.index);
        if mutant(Mutant::ResetKeepsOldDurability) {
            return;
        }
        for write in &mut self.writes {
            write.log_end = None;
        }
    }

    /// Stages the note that the repair is over.
    pub(super) fn stage_repaired(&mut self) {
        self.draft.repaired = true;
    }

    /// Holds `deferred` back until everything staged or issued so far is durable. Gives it back if
    /// that is the case already.
    pub(super) fn defer(&mut self, deferred: Deferred) -> Option<Deferred> {
        let sequence = if self.has_draft() {
            Sequence(self.issued.0 + 1)
        } else {
            self.issued
        };
        if sequence <= self.durable {
            return Some(deferred);
        }
        self.deferred.push_back((sequence, deferred));
        None
    }

    /// Turns what was staged into a write.
    pub(super) fn issue(&mut self, now: Timestamp) -> Option<Write> {
        if !self.has_draft() {
            return None;
        }
        self.issued.0 += 1;
        let write = Write {
            sequence: self.issued,
            ..std::mem::take(&mut self.draft)
        };
        let log_end = self.draft_log_end.take();
        self.writes.push_back(Issued {
            sequence: self.issued,
            at: now,
            log_end,
        });
        Some(write)
    }

    /// Everything through `sequence` is durable.
    pub(super) fn persisted(&mut self, sequence: Sequence) -> Released {
        assert!(
            sequence <= self.issued,
            "write {} was reported durable, but only {} were issued",
            sequence.0,
            self.issued.0
        );
        self.durable = self.durable.max(sequence);
        let mut released = Released::default();
        while let Some(write) = self.writes.pop_front_if(|write| write.sequence <= sequence) {
            released.log_end = write.log_end.or(released.log_end);
        }
        while let Some((_, deferred)) = self.deferred.pop_front_if(|(at, _)| *at <= sequence) {
            if !merge(&mut released.deferred, &deferred) {
                released.deferred.push(deferred);
            }
        }
        released
    }

    /// Since when the oldest write has been waiting.
    pub(super) fn waiting_since(&self) -> Option<Timestamp> {
        self.writes.front().map(|write| write.at)
    }

    fn has_draft(&self) -> bool {
        let Write {
            sequence: _,
            hard_state,
            truncate_from,
            purge_through,
            append,
            repaired,
        } = &self.draft;
        hard_state.is_some()
            || truncate_from.is_some()
            || purge_through.is_some()
            || !append.is_empty()
            || *repaired
    }

    /// Nothing that was staged may outlive its step.
    pub(super) fn check(&self) {
        assert!(
            !self.has_draft(),
            "a step ended with a staged write: {:?}",
            self.draft
        );
        assert!(self.durable <= self.issued);
        let oldest = self.writes.front().map(|write| write.sequence);
        assert!(
            oldest.is_none_or(|oldest| oldest > self.durable),
            "a durable write still waits"
        );
    }
}

/// Several acknowledgements that one sync releases become one: the last covers the others.
fn merge(released: &mut [Deferred], next: &Deferred) -> bool {
    let Some(Deferred::Send(last)) = released.last_mut() else {
        return false;
    };
    let Deferred::Send(next) = next else {
        return false;
    };
    if (last.to, last.term) != (next.to, next.term) {
        return false;
    }
    match (&mut last.body, &next.body) {
        (Body::AppendAccepted { matched: earlier }, Body::AppendAccepted { matched: later }) => {
            *earlier = (*earlier).max(*later);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{GroupId, Incarnation, NodeId};

    fn accepted(term: u64, matched: u64) -> Deferred {
        Deferred::Send(Message {
            group: GroupId::default(),
            from: NodeId::new(2),
            incarnation: Incarnation::new(2),
            to: NodeId::new(1),
            term: Term::new(term),
            body: Body::AppendAccepted {
                matched: LogIndex::new(matched),
            },
        })
    }

    fn staged(pending: &mut Pending, term: u64) -> Sequence {
        pending.stage_hard_state(HardState {
            term: Term::new(term),
            vote: None,
        });
        Sequence(pending.issued.0 + 1)
    }

    #[test]
    fn what_is_deferred_waits_for_the_write_it_was_staged_with() {
        let mut pending = Pending::default();
        let first = staged(&mut pending, 1);
        assert!(pending.defer(accepted(1, 5)).is_none());
        assert_eq!(pending.issue(Timestamp::ZERO).unwrap().sequence, first);
        // Nothing staged: what is on its way decides.
        assert!(pending.defer(accepted(2, 6)).is_none());
        assert_eq!(pending.persisted(first).deferred.len(), 2);
        assert!(pending.defer(accepted(2, 7)).is_some());
    }

    #[test]
    fn one_sync_acknowledges_once_to_each_leader_and_term() {
        let mut pending = Pending::default();
        let write = staged(&mut pending, 1);
        for deferred in [
            accepted(1, 5),
            accepted(1, 9),
            accepted(2, 3),
            accepted(2, 4),
        ] {
            assert!(pending.defer(deferred).is_none());
        }
        pending.issue(Timestamp::ZERO);
        let matched: Vec<u64> = pending
            .persisted(write)
            .deferred
            .iter()
            .map(|deferred| match deferred {
                Deferred::Send(Message {
                    body: Body::AppendAccepted { matched },
                    ..
                }) => matched.get(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(matched, [9, 4]);
    }

    #[test]
    fn an_overwritten_tail_never_counts_as_durable() {
        let mut pending = Pending {
            issued: Sequence(1),
            writes: VecDeque::from([Issued {
                sequence: Sequence(1),
                at: Timestamp::ZERO,
                log_end: Some(LogIndex::new(10)),
            }]),
            ..Pending::default()
        };
        pending.stage_truncate(LogIndex::new(6));
        pending.issue(Timestamp::ZERO);
        assert_eq!(
            pending.persisted(Sequence(1)).log_end,
            Some(LogIndex::new(5))
        );
    }
}
