//! What the transport counts.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::distrust::{Distrust, HandshakeFailed};
use raft_core::wire::{Refusal, RefusalReason};

/// What a [`crate::StreamTransport`] has done since it was made, and what is open now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Connections from others that are open now.
    pub inbound_open: u64,
    /// Connections to others that are open now.
    pub outbound_open: u64,
    /// Handshakes with callers that succeeded.
    pub accepted: u64,
    /// Callers whose stream never came to be, for instance for want of a certificate.
    pub handshakes_failed: u64,
    /// Handshakes with called nodes that succeeded. Above one a peer and lane, these are
    /// reconnections.
    pub dialed: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Connections to others that were closed only to be made anew, because certificates were read
    /// anew on one of the ends.
    pub renewed: u64,
    /// Messages written to a connection.
    pub messages_sent: u64,
    /// Messages given to the node.
    pub messages_received: u64,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// Messages dropped because a queue was full.
    pub dropped_full: u64,
    /// Messages dropped because the peer could not be reached, or the connection broke.
    pub dropped_unreachable: u64,
    /// Messages dropped because they are over `frame_max`.
    pub dropped_too_large: u64,
    /// Snapshots that their receiver has durably.
    pub snapshots_sent: u64,
    /// Snapshots that were received, and are durable.
    pub snapshots_received: u64,
    /// Snapshots that were begun again behind what their receiver had kept, sent or received.
    pub snapshots_resumed: u64,
    /// Connections that we refused, by reason.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// Connections that others refused us, by reason.
    pub refused_by_peers: BTreeMap<RefusalReason, u64>,
    /// Secure streams that did not come to be because we did not trust the other end, by reason.
    pub distrusted: BTreeMap<Distrust, u64>,
    /// Secure streams that did not come to be because the other end did not trust us, by reason.
    pub distrusted_by_peers: BTreeMap<Distrust, u64>,
    /// How often certificates, authorities and revocations were read anew.
    pub reloads: u64,
    /// How often that failed, and the former ones stayed.
    pub reloads_failed: u64,
}

/// The live form of [`TransportStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) inbound_open: Counter,
    pub(crate) outbound_open: Counter,
    pub(crate) accepted: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) dialed: Counter,
    pub(crate) dials_failed: Counter,
    pub(crate) renewed: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) dropped_full: Counter,
    pub(crate) dropped_unreachable: Counter,
    pub(crate) dropped_too_large: Counter,
    pub(crate) snapshots_sent: Counter,
    pub(crate) snapshots_received: Counter,
    pub(crate) snapshots_resumed: Counter,
    refusals: Mutex<Refusals>,
    distrust: Mutex<DistrustCounts>,
}

/// A number that tasks of one node raise. Exact, and in no order with other memory.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// Holds a counter one higher while it lives.
#[derive(Debug)]
pub(crate) struct Raised<'a>(&'a Counter);

#[derive(Debug, Default)]
struct Refusals {
    ours: BTreeMap<RefusalReason, u64>,
    theirs: BTreeMap<RefusalReason, u64>,
}

#[derive(Debug, Default)]
struct DistrustCounts {
    ours: BTreeMap<Distrust, u64>,
    theirs: BTreeMap<Distrust, u64>,
}

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn raise(&self) -> Raised<'_> {
        self.add(1);
        Raised(self)
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.ours.entry(refusal.reason).or_default() += 1;
    }

    pub(crate) fn refused_by_peer(&self, refusal: &Refusal) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        // Reasons that this build does not know are one, or a hostile peer could fill the map.
        let reason = match refusal.reason {
            RefusalReason::Other(_) => RefusalReason::Other(0),
            known => known,
        };
        *refusals.theirs.entry(reason).or_default() += 1;
    }

    /// Counts an error of a stream if it is one of trust.
    pub(crate) fn distrust(&self, error: &io::Error) {
        let Some(failed) = HandshakeFailed::within(error) else {
            return;
        };
        let mut counts = self.distrust.lock().unwrap_or_else(PoisonError::into_inner);
        let side = if failed.by_peer {
            &mut counts.theirs
        } else {
            &mut counts.ours
        };
        *side.entry(failed.reason).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> TransportStats {
        let distrust = self.distrust.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        TransportStats {
            inbound_open: self.inbound_open.value(),
            outbound_open: self.outbound_open.value(),
            accepted: self.accepted.value(),
            handshakes_failed: self.handshakes_failed.value(),
            dialed: self.dialed.value(),
            dials_failed: self.dials_failed.value(),
            renewed: self.renewed.value(),
            messages_sent: self.messages_sent.value(),
            messages_received: self.messages_received.value(),
            bytes_sent: self.bytes_sent.value(),
            bytes_received: self.bytes_received.value(),
            dropped_full: self.dropped_full.value(),
            dropped_unreachable: self.dropped_unreachable.value(),
            dropped_too_large: self.dropped_too_large.value(),
            snapshots_sent: self.snapshots_sent.value(),
            snapshots_received: self.snapshots_received.value(),
            snapshots_resumed: self.snapshots_resumed.value(),
            refused: refusals.ours.clone(),
            refused_by_peers: refusals.theirs.clone(),
            distrusted: distrust.ours.clone(),
            distrusted_by_peers: distrust.theirs.clone(),
            reloads: 0,
            reloads_failed: 0,
        }
    }
}
