//! Frames on their way out: small parts gathered, large payloads passed on as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;

use super::frame::{self, FRAME_HEADER_BYTES, FrameError, FrameKind};
use crate::codec;
use crate::entry::{Entry, Sealed};
use crate::id::GroupId;

/// A payload up to this size is copied behind its header; a larger one becomes a piece of its own
/// in a vectored write. A piece costs about as much as copying this many bytes.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// Encoded frames that wait to be written. Read it as a [`Buf`], best with vectored writes.
#[derive(Debug, Default)]
pub struct OutBuffer {
    /// Finished pieces, the oldest first.
    pieces: VecDeque<Bytes>,
    /// What follows them.
    open: BytesMut,
    piece_bytes: usize,
}

/// What a frame carries behind its control part.
pub(super) enum Tail<'a> {
    Nothing,
    Entries(&'a [Entry]),
    Commands(&'a [Sealed]),
    Raw(Bytes),
}

impl OutBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an empty frame that says that the connection is alive.
    pub fn put_ping(&mut self, group: GroupId) {
        // An empty frame is below every limit.
        let _ = self.put(FrameKind::Ping, group, &Tail::Nothing, |_| Ok(()));
    }

    /// Appends an empty frame that says that a snapshot was sent to its end.
    pub fn put_snapshot_end(&mut self, group: GroupId) {
        let _ = self.put(FrameKind::SnapshotEnd, group, &Tail::Nothing, |_| Ok(()));
    }

    /// Appends a frame whose control part is `value`.
    pub(super) fn put_value<T: Serialize>(
        &mut self,
        (kind, group): (FrameKind, GroupId),
        what: &'static str,
        value: &T,
        tail: &Tail<'_>,
    ) -> Result<(), FrameError> {
        self.put(kind, group, tail, |open| {
            Ok(codec::encode_into(what, value, open)?)
        })
    }

    /// Appends a frame whose control part `write` appends. On an error the buffer is unchanged.
    pub(super) fn put(
        &mut self,
        kind: FrameKind,
        group: GroupId,
        tail: &Tail<'_>,
        write: impl FnOnce(&mut BytesMut) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        let start = self.open.len();
        self.open.resize(start + FRAME_HEADER_BYTES, 0);
        let sealed = write(&mut self.open).and_then(|()| {
            let (_, frame) = self.open.split_at_mut(start);
            frame::seal(frame, kind, group, tail.bytes())
        });
        if sealed.is_err() {
            self.open.truncate(start);
            return sealed;
        }
        match tail {
            Tail::Nothing => {}
            Tail::Raw(bytes) => self.put_bytes(bytes),
            Tail::Commands(commands) => {
                for command in *commands {
                    self.put_bytes(&command.shared_bytes());
                }
            }
            Tail::Entries(entries) => {
                for entry in *entries {
                    self.open.extend_from_slice(&entry.header());
                    self.put_bytes(&entry.payload().shared_bytes());
                }
            }
        }
        Ok(())
    }

    fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            self.open.extend_from_slice(bytes);
            return;
        }
        let before = self.open.split().freeze();
        for piece in [before, bytes.clone()] {
            self.piece_bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Tail<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Raw(bytes) => bytes.len(),
            Self::Entries(entries) => entries.iter().map(Entry::record_bytes).sum(),
            Self::Commands(commands) => commands.iter().map(Sealed::len).sum(),
        }
    }
}

impl Buf for OutBuffer {
    fn remaining(&self) -> usize {
        self.piece_bytes + self.open.len()
    }

    fn chunk(&self) -> &[u8] {
        match self.pieces.front() {
            Some(piece) => piece,
            None => &self.open,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.pieces.iter().map(|piece| &**piece);
        let open = std::iter::once(&*self.open).filter(|open| !open.is_empty());
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces.chain(open)) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                self.piece_bytes -= count;
                return;
            }
            count -= piece.len();
            self.piece_bytes -= piece.len();
            self.pieces.pop_front();
        }
        self.open.advance(count);
    }
}
