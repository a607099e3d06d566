//! What the log carries to replace the state of a running group by a backup.
//!
//! A restoration is a row of entries of one term: where it begins, the backup's bytes in pieces, and
//! where it ends. Nothing happens to a state machine before the end is applied; what counts as a whole
//! one is decided by [`Gathering`](crate::consensus::Gathering), on every member alike. The parts are
//! payloads of one kind. All numbers are little-endian:
//!
//! | part | bytes |
//! |---|---|
//! | begin | 0, size of the backup (8), its crc32c (4) |
//! | chunk | 1, index of the begin (8), offset of the data (8), data |
//! | end | 2, index of the begin (8), the backup's time in microseconds (8) |
//! | abort | 3, index of the begin (8) |

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::id::LogIndex;
use crate::time::ClusterTime;

/// One entry's part in a restoration.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restoration {
    /// From here on a backup is gathered. One that was not ended before is given up.
    Begin {
        /// The backup's size in bytes.
        size: u64,
        /// crc32c of its bytes.
        checksum: u32,
    },
    /// A piece of the backup.
    Chunk {
        /// The entry with which its restoration began.
        begin: LogIndex,
        /// How many bytes come before.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// Here the backup takes the place of the state.
    End {
        /// The entry with which its restoration began.
        begin: LogIndex,
        /// The time of the state: the group's time goes on from there, if it is not beyond it.
        time: ClusterTime,
    },
    /// It is given up.
    Abort {
        /// The entry with which its restoration began.
        begin: LogIndex,
    },
}

const BEGIN: u8 = 0;
const CHUNK: u8 = 1;
const END: u8 = 2;
const ABORT: u8 = 3;

/// What a chunk takes besides its data.
pub const CHUNK_HEAD_BYTES: usize = 1 + 8 + 8;

impl Restoration {
    /// The bytes that travel and are stored.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(CHUNK_HEAD_BYTES + self.data().len());
        match self {
            Self::Begin { size, checksum } => {
                out.put_u8(BEGIN);
                out.put_u64_le(*size);
                out.put_u32_le(*checksum);
            }
            Self::Chunk {
                begin,
                offset,
                data,
            } => {
                out.put_u8(CHUNK);
                out.put_u64_le(begin.get());
                out.put_u64_le(*offset);
                out.put_slice(data);
            }
            Self::End { begin, time } => {
                out.put_u8(END);
                out.put_u64_le(begin.get());
                out.put_u64_le(time.as_micros());
            }
            Self::Abort { begin } => {
                out.put_u8(ABORT);
                out.put_u64_le(begin.get());
            }
        }
        out.freeze()
    }

    /// Reads what [`Restoration::encode`] wrote; `None` for any other bytes. A chunk's data share
    /// the memory of `encoded`.
    pub fn decode(encoded: &Bytes) -> Option<Self> {
        let (part, rest) = encoded.split_first()?;
        match *part {
            BEGIN => {
                let (size, rest) = take_u64(rest)?;
                let checksum = u32::from_le_bytes(rest.try_into().ok()?);
                Some(Self::Begin { size, checksum })
            }
            CHUNK => {
                let (begin, rest) = take_u64(rest)?;
                let (offset, data) = take_u64(rest)?;
                Some(Self::Chunk {
                    begin: LogIndex::new(begin),
                    offset,
                    data: encoded.slice_ref(data),
                })
            }
            END => {
                let (begin, rest) = take_u64(rest)?;
                let (time, rest) = take_u64(rest)?;
                rest.is_empty().then_some(Self::End {
                    begin: LogIndex::new(begin),
                    time: ClusterTime::from_micros(time),
                })
            }
            ABORT => {
                let (begin, rest) = take_u64(rest)?;
                rest.is_empty().then_some(Self::Abort {
                    begin: LogIndex::new(begin),
                })
            }
            _ => None,
        }
    }

    /// The bytes of the backup in it.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Chunk { data, .. } => data,
            Self::Begin { .. } | Self::End { .. } | Self::Abort { .. } => &[],
        }
    }
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

impl fmt::Debug for Restoration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { size, .. } => write!(f, "restoration of {size} bytes begins"),
            Self::Chunk {
                begin,
                offset,
                data,
            } => write!(
                f,
                "{} bytes from {offset} on, of restoration {begin}",
                data.len()
            ),
            Self::End { begin, .. } => write!(f, "restoration {begin} ends"),
            Self::Abort { begin } => write!(f, "restoration {begin} is given up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> [Restoration; 5] {
        let begin = LogIndex::new(7);
        let chunk = |data: &'static [u8]| Restoration::Chunk {
            begin,
            offset: 1 << 40,
            data: Bytes::from_static(data),
        };
        [
            Restoration::Begin {
                size: 5,
                checksum: 6,
            },
            chunk(b"state"),
            chunk(b""),
            Restoration::End {
                begin,
                time: ClusterTime::from_micros(9),
            },
            Restoration::Abort { begin },
        ]
    }

    #[test]
    fn every_part_is_read_as_it_was_written() {
        for part in parts() {
            assert_eq!(Restoration::decode(&part.encode()), Some(part));
        }
    }

    #[test]
    fn bytes_that_are_no_part_are_refused() {
        for part in parts() {
            let bytes = part.encode();
            let head = bytes.len() - part.data().len();
            for short in 0..head {
                assert_eq!(Restoration::decode(&bytes.slice(..short)), None);
            }
            if !matches!(part, Restoration::Chunk { .. }) {
                let long = [bytes.as_ref(), b"x"].concat();
                assert_eq!(Restoration::decode(&long.into()), None);
            }
        }
        assert_eq!(Restoration::decode(&Bytes::from_static(&[4; 17])), None);
    }
}
