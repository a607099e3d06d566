//! A snapshot on its way out, part by part.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use bytes::Bytes;

use crate::id::Term;
use crate::snapshot::{Kept, SnapshotMeta};
use crate::store::SnapshotRead;

/// A snapshot on its way out.
pub struct OutboundSnapshot {
    /// The leader's term.
    pub term: Term,
    /// What is sent.
    pub meta: SnapshotMeta,
    /// Its bytes, `meta.size` of them.
    pub data: Box<dyn SnapshotRead>,
}

/// Some of a snapshot's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Where they begin.
    pub offset: u64,
    /// The bytes, at least one.
    pub data: Bytes,
}

/// The parts of a snapshot that its receiver lacks, in order. May block.
///
/// If what the receiver has kept turns out not to fit to the rest, the parts begin again at offset
/// zero: one of the two is damaged, and only a reading of the whole tells which.
pub struct SnapshotParts {
    data: Box<dyn SnapshotRead>,
    bytes_max: u32,
    began_at: u64,
    offset: u64,
    is_over: bool,
}

impl OutboundSnapshot {
    /// What a receiver that has `kept` still needs, in parts of up to `bytes_max`.
    ///
    /// # Errors
    /// Of the medium.
    pub fn parts(self, kept: Kept, bytes_max: u32) -> io::Result<SnapshotParts> {
        let mut data = self.data;
        let goes_on = kept.size > 0 && data.start_after(kept)?;
        let offset = if goes_on { kept.size } else { 0 };
        Ok(SnapshotParts {
            data,
            bytes_max: bytes_max.max(1),
            began_at: offset,
            offset,
            is_over: false,
        })
    }
}

impl SnapshotParts {
    /// Where the next part begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn read(&mut self) -> io::Result<Bytes> {
        let mut part = Vec::with_capacity(self.bytes_max as usize);
        let mut some = self.data.by_ref().take(self.bytes_max.into());
        some.read_to_end(&mut part)?;
        Ok(part.into())
    }

    fn next_part(&mut self) -> io::Result<Option<SnapshotPart>> {
        let data = match self.read() {
            Err(error) if error.kind() == ErrorKind::InvalidData && self.began_at > 0 => {
                if !self.data.start_after(Kept::NOTHING)? {
                    return Err(error);
                }
                (self.began_at, self.offset) = (0, 0);
                self.read()?
            }
            read => read?,
        };
        if data.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += data.len() as u64;
        Ok(Some(SnapshotPart { offset, data }))
    }
}

impl Iterator for SnapshotParts {
    type Item = io::Result<SnapshotPart>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.next_part().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl fmt::Debug for OutboundSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSnapshot")
            .field("term", &self.term)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SnapshotParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotParts")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::sync::Arc;

    use crate::id::{ChainLink, LogId};
    use crate::membership::Membership;
    use crate::snapshot::SnapshotHeader;
    use crate::time::ClusterTime;

    const DATA: &[u8] = b"the whole state";

    /// Finds out at its end that what the receiver has kept is not the beginning of this.
    struct Verified {
        rest: Cursor<Bytes>,
        began_at: u64,
        can_start_over: bool,
    }

    impl Read for Verified {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.rest.read(out)? {
                0 if self.began_at > 0 => Err(ErrorKind::InvalidData.into()),
                count => Ok(count),
            }
        }
    }

    impl SnapshotRead for Verified {
        fn start_after(&mut self, kept: Kept) -> io::Result<bool> {
            self.began_at = kept.size;
            let moves = kept.size > 0 || self.can_start_over;
            if moves {
                self.rest.set_position(kept.size);
            }
            Ok(moves)
        }
    }

    fn outbound(data: impl SnapshotRead + 'static) -> OutboundSnapshot {
        let header = SnapshotHeader {
            last: ChainLink::ORIGIN,
            time: ClusterTime::ZERO,
            membership: Arc::new(Membership::nobody()),
            membership_at: LogId::ORIGIN,
        };
        OutboundSnapshot {
            term: Term::new(1),
            meta: SnapshotMeta {
                header,
                size: DATA.len() as u64,
                checksum: crc32c::crc32c(DATA),
            },
            data: Box::new(data),
        }
    }

    fn kept(bytes: &[u8]) -> Kept {
        let mut kept = Kept::NOTHING;
        kept.add(bytes);
        kept
    }

    fn parts(outbound: OutboundSnapshot, kept: Kept) -> Vec<Option<(u64, Bytes)>> {
        let parts = outbound.parts(kept, 6).unwrap();
        let told = |part: io::Result<SnapshotPart>| part.ok().map(|part| (part.offset, part.data));
        parts.map(told).collect()
    }

    #[test]
    fn only_what_the_receiver_lacks_is_read() {
        let data = Cursor::new(Bytes::from_static(DATA));
        let parts = parts(outbound(data), kept(b"the "));
        let expected = [(4, "whole "), (10, "state")];
        let expected = expected.map(|(offset, text)| Some((offset, Bytes::from(text))));
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_kept_part_that_does_not_fit_makes_the_sender_start_over() {
        for can_start_over in [true, false] {
            let data = Verified {
                rest: Cursor::new(Bytes::from_static(DATA)),
                began_at: 0,
                can_start_over,
            };
            let parts = parts(outbound(data), kept(b"the wrong"));
            let offsets: Vec<_> = parts
                .iter()
                .map(|part| part.as_ref().map(|p| p.0))
                .collect();
            if can_start_over {
                assert_eq!(offsets, [Some(9), Some(0), Some(6), Some(12)]);
            } else {
                assert_eq!(offsets, [Some(9), None]);
            }
        }
    }
}
