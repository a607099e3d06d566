//! Leases: reads without messages, for groups that trust their clocks (thesis §6.4.1).
//!
//! Whoever hears a leader promises it not to help another one for an election timeout. The leader
//! counts from when it *sent* the heartbeat that a quorum answered, so its lease ends before the
//! first of their promises does, if no clock drifts more than is configured. A promise must not be
//! forgotten: a restarted node keeps silent for as long as one lasts.

use std::time::Duration;

use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::shared::Shared;
use crate::id::NodeId;
use crate::time::Timestamp;

/// What a node has promised: to help nobody but this leader, until then.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Promise {
    pub(super) to: Option<NodeId>,
    pub(super) until: Timestamp,
}

impl Shared {
    /// Hearing a leader is a promise to it, if the group reads by lease.
    pub(super) fn promise(&mut self, leader: Option<NodeId>) {
        if self.config.lease_reads {
            self.promise = Some(Promise {
                to: leader,
                until: self.now + self.config.election_timeout,
            });
        }
    }

    /// Whether a promise to another node still binds this one.
    pub(super) fn is_bound_against(&self, candidate: NodeId) -> bool {
        self.promise
            .is_some_and(|promise| self.now < promise.until && promise.to != Some(candidate))
    }
}

impl Leader {
    /// Whether no other node can lead by now: so what is committed here is all that is committed
    /// anywhere.
    pub(super) fn has_lease(&self, shared: &Shared) -> bool {
        self.has_lease_at(shared, shared.now)
    }

    /// Whether it would have one at `now`, if it heard of nothing until then.
    pub(super) fn has_lease_at(&self, shared: &Shared, now: Timestamp) -> bool {
        shared.config.lease_reads
            && (!self.has_given_up_lease || mutant(Mutant::LeaseKeptOnTransfer))
            && shared.committed >= self.first
            && self.lease_end(shared).is_some_and(|end| now < end)
    }

    fn lease_end(&self, shared: &Shared) -> Option<Timestamp> {
        if mutant(Mutant::LeaseFromReply) {
            return Some(self.quorum_heard(shared)? + lease_length(shared));
        }
        let answered = self.answered_round(shared)?;
        let sent = self.sent_rounds.iter().rev();
        let (_, sent) = sent.into_iter().find(|(round, _)| *round <= answered)?;
        Some(*sent + lease_length(shared))
    }

    /// Remembers when a round was sent, for as long as that can matter.
    pub(super) fn note_round(&mut self, shared: &Shared) {
        if !shared.config.lease_reads {
            return;
        }
        self.sent_rounds.push_back((self.round, shared.now));
        let oldest = shared.now.before(shared.config.election_timeout);
        while self
            .sent_rounds
            .pop_front_if(|(_, sent)| *sent < oldest)
            .is_some()
        {}
    }
}

/// One clock may be fast by the bound while another is slow by it.
fn lease_length(shared: &Shared) -> Duration {
    if mutant(Mutant::LeaseIgnoresDrift) {
        return shared.config.election_timeout;
    }
    let kept = 100 - 2 * shared.config.clock_drift_max_percent.min(40);
    shared.config.election_timeout * kept / 100
}
