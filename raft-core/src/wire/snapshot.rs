//! A snapshot as a stream of frames: offer, chunks, end; then the receiver's outcome.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, FrameError, FrameKind};
use super::handshake::printable;
use super::out::{OutBuffer, Tail};
use crate::id::{GroupId, Term};
use crate::snapshot::SnapshotMeta;

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
    offset: u64,
    check: u32,
}

impl OutBuffer {
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
