//! A snapshot as a stream of frames.
//!
//! ```text
//! sender                          receiver
//! SnapshotOffer  ------------->
//!                <-------------   SnapshotKept: what it has already, verified
//! SnapshotChunk  ------------->   the first right after that, or at offset zero to start over
//! SnapshotChunk  ------------->
//!                <-------------   SnapshotKept, now and then: it moves
//! SnapshotEnd    ------------->
//!                <-------------   SnapshotOutcome
//! ```
//!
//! The outcome may come at any time, also instead of the first answer: the snapshot is not needed, or
//! refused. Both ends then close the connection, which carries one snapshot only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, FrameError, FrameKind};
use super::handshake::printable;
use super::out::{OutBuffer, Tail};
use crate::codec;
use crate::id::{GroupId, Term};
use crate::snapshot::{Kept, SnapshotMeta};

/// Begins a stream: what will be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOffer {
    /// The leader's term.
    pub term: Term,
    /// The snapshot.
    pub meta: SnapshotMeta,
}

/// A part of a snapshot's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// The [mark](SnapshotOffer::mark) of the offer that it belongs to.
    pub offer: u32,
    /// Where in the snapshot it begins.
    pub offset: u64,
    /// The bytes, verified.
    pub data: Bytes,
}

/// Ends a stream: `Ok` if the receiver has the snapshot durably, or why it has not.
pub type SnapshotOutcome = Result<(), String>;

/// The control part of a chunk.
#[derive(Serialize, Deserialize)]
struct ChunkControl {
    offer: u32,
    offset: u64,
    check: u32,
}

impl SnapshotOffer {
    /// Ties each chunk to this offer: to the snapshot in all its fields, and to the leader's term.
    pub fn mark(&self) -> u32 {
        // What cannot be encoded cannot be offered either.
        let encoded = codec::encode("snapshot offer", self).unwrap_or_default();
        crc32c::crc32c(&encoded)
    }
}

impl OutBuffer {
    /// Appends what the receiver has.
    ///
    /// # Errors
    /// None in practice: its size is below every limit.
    pub fn put_snapshot_kept(&mut self, group: GroupId, kept: Kept) -> Result<(), FrameError> {
        let kind = (FrameKind::SnapshotKept, group);
        self.put_value(kind, "kept part of a snapshot", &kept, &Tail::Nothing)
    }

    /// Appends an offer.
    ///
    /// # Errors
    /// [`FrameError`] if the membership in it is too large to be encoded.
    pub fn put_snapshot_offer(
        &mut self,
        group: GroupId,
        offer: &SnapshotOffer,
    ) -> Result<(), FrameError> {
        let kind = (FrameKind::SnapshotOffer, group);
        self.put_value(kind, "snapshot offer", offer, &Tail::Nothing)
    }

    /// Appends a chunk. Its data is shared, not copied.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] if it has 4 GiB or more.
    pub fn put_snapshot_chunk(
        &mut self,
        group: GroupId,
        chunk: SnapshotChunk,
    ) -> Result<(), FrameError> {
        let control = ChunkControl {
            offer: chunk.offer,
            offset: chunk.offset,
            check: crc32c::crc32c(&chunk.data),
        };
        let kind = (FrameKind::SnapshotChunk, group);
        self.put_value(kind, "snapshot chunk", &control, &Tail::Raw(chunk.data))
    }

    /// Appends the receiver's outcome.
    ///
    /// # Errors
    /// None in practice: the reason is capped.
    pub fn put_snapshot_outcome(
        &mut self,
        group: GroupId,
        outcome: &SnapshotOutcome,
    ) -> Result<(), FrameError> {
        let outcome = outcome.as_ref().map_err(|reason| printable(reason));
        let kind = (FrameKind::SnapshotOutcome, group);
        self.put_value(kind, "snapshot outcome", &outcome, &Tail::Nothing)
    }
}

impl Frame {
    /// The offer that the frame holds.
    ///
    /// # Errors
    /// [`FrameError`] if it holds none.
    pub fn snapshot_offer(&self) -> Result<SnapshotOffer, FrameError> {
        self.expect_no_tail()?;
        self.control_as(FrameKind::SnapshotOffer, "snapshot offer")
    }

    /// What the receiver has, as the frame says.
    ///
    /// # Errors
    /// [`FrameError`] if it says nothing of the kind.
    pub fn snapshot_kept(&self) -> Result<Kept, FrameError> {
        self.expect_no_tail()?;
        self.control_as(FrameKind::SnapshotKept, "kept part of a snapshot")
    }

    /// The chunk that the frame holds, verified.
    ///
    /// # Errors
    /// [`FrameError`] if it holds none, or a damaged one.
    pub fn snapshot_chunk(&self) -> Result<SnapshotChunk, FrameError> {
        let control: ChunkControl = self.control_as(FrameKind::SnapshotChunk, "snapshot chunk")?;
        let data = self.tail();
        let (found, expected) = (crc32c::crc32c(&data), control.check);
        if found != expected {
            return Err(FrameError::Damaged { found, expected });
        }
        Ok(SnapshotChunk {
            offer: control.offer,
            offset: control.offset,
            data,
        })
    }

    /// The outcome that the frame holds; the reason is safe to print.
    ///
    /// # Errors
    /// [`FrameError`] if it holds none.
    pub fn snapshot_outcome(&self) -> Result<SnapshotOutcome, FrameError> {
        self.expect_no_tail()?;
        let outcome: SnapshotOutcome =
            self.control_as(FrameKind::SnapshotOutcome, "snapshot outcome")?;
        Ok(outcome.map_err(|reason| printable(&reason)))
    }
}
