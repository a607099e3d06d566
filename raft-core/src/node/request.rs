//! What handles ask of the event loop, and the bound on what may queue.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::administration::{ChangeResult, TransferResult};
use super::error::SnapshotError;
use super::restoring::Part;
use super::status::ReadMode;
use super::status::Status;
use super::waiting::{ReadResult, Slot};
use crate::change::MembershipChange;
use crate::consensus::{Conditions, To};
use crate::entry::Sealed;
use crate::snapshot::SnapshotMeta;

/// One call of a handle.
#[derive(Debug)]
pub(super) enum Request {
    Propose(Sealed, Slot, Conditions),
    ProposeMany(Vec<(Sealed, Slot)>, Conditions),
    Restoration(Part),
    Read(ReadMode, oneshot::Sender<ReadResult>),
    Status(oneshot::Sender<Box<Status>>),
    Snapshot(oneshot::Sender<Result<SnapshotMeta, SnapshotError>>),
    Change(MembershipChange, oneshot::Sender<ChangeResult>),
    Transfer(To, oneshot::Sender<TransferResult>),
    Campaign,
    Shutdown,
}

/// Bounds the proposals between the handles and the event loop, in count and in bytes.
///
/// One proposal always passes an empty queue, however large (RULE 5).
#[derive(Debug)]
pub(super) struct ProposalGate {
    count: AtomicUsize,
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// Proposals that may queue; thousands of writers fit, and their slots take a few MiB.
const PROPOSALS_MAX: usize = 65_536;

impl ProposalGate {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Takes room for one proposal, if there is any.
    pub(super) fn enter(&self, bytes: usize) -> bool {
        let ahead = self.count.fetch_add(1, Ordering::Relaxed);
        let bytes_ahead = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = ahead < PROPOSALS_MAX && bytes_ahead.saturating_add(bytes) <= self.bytes_max;
        if fits || ahead == 0 {
            return true;
        }
        self.leave(1, bytes);
        false
    }

    /// Gives back the room of proposals that the event loop took.
    pub(super) fn leave(&self, count: usize, bytes: usize) {
        self.count.fetch_sub(count, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_refuses_and_opens_again() {
        let gate = ProposalGate::new(100);
        assert!(gate.enter(60));
        assert!(!gate.enter(60));
        assert!(gate.enter(40));
        gate.leave(2, 100);
        assert!(gate.enter(1_000), "one passes alone, however large");
        assert!(!gate.enter(1));
    }
}
