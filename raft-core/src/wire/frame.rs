//! The frame: where it begins and ends, and that it is whole.

use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;

use crate::codec::{self, CONTROL_BYTES_MAX, CodecError};
use crate::entry::RecordError;
use crate::id::GroupId;

/// What every frame begins with.
pub const MAGIC: [u8; 4] = *b"rft\x9e";
/// The layout that this build writes, and the only one it reads.
pub const FRAME_VERSION: u8 = 1;
/// The size of a frame's header.
pub const FRAME_HEADER_BYTES: usize = CHECK_AT + 4;

const VERSION_AT: usize = 4;
const KIND_AT: usize = VERSION_AT + 1;
const FLAGS_AT: usize = KIND_AT + 1;
const GROUP_AT: usize = FLAGS_AT + 2;
const CONTROL_AT: usize = GROUP_AT + 8;
const TAIL_AT: usize = CONTROL_AT + 4;
const CHECK_AT: usize = TAIL_AT + 4;

#[expect(clippy::cast_possible_truncation, reason = "asserted below to fit")]
const CONTROL_LENGTH_MAX: u32 = CONTROL_BYTES_MAX as u32;
const _: () = assert!(CONTROL_LENGTH_MAX as usize == CONTROL_BYTES_MAX);

/// However much a frame announces, a reader makes room for no more than this, or for as much as
/// has arrived already.
const AHEAD_BYTES_MAX: usize = 2 << 20;

/// What a frame is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FrameKind {
    /// Who speaks, and to whom: the first frame of either side ([`super::Hello`]).
    Hello = 1,
    /// Why the connection ends ([`super::Refusal`]).
    Refusal = 2,
    /// A [`crate::message::Message`].
    Message = 3,
    /// The connection is alive. Empty.
    Ping = 4,
    /// A snapshot follows ([`super::SnapshotOffer`]).
    SnapshotOffer = 5,
    /// A part of it ([`super::SnapshotChunk`]).
    SnapshotChunk = 6,
    /// All of it was sent. Empty.
    SnapshotEnd = 7,
    /// Whether it is durable at the receiver ([`super::SnapshotOutcome`]).
    SnapshotOutcome = 8,
    /// What the receiver has of it ([`crate::snapshot::Kept`]): the answer to the offer, and now and
    /// then a sign that it moves on.
    SnapshotKept = 9,
}

/// The largest frame that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of the control part.
    pub control_bytes_max: u32,
    /// Bytes of the tail.
    pub tail_bytes_max: u32,
}

/// One whole frame, its header and control part verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    kind: FrameKind,
    group: GroupId,
    /// Where the tail begins.
    control_end: usize,
    bytes: Bytes,
}

/// Bytes that are not a frame, or not the frame that was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The sender is no peer of ours.
    #[error("the bytes {found:02x?} do not begin a frame: the sender does not speak this protocol")]
    Magic {
        /// What came instead of [`MAGIC`].
        found: [u8; 4],
    },
    /// The layout is one that this build does not know.
    #[error("frame version {found} is unknown, this build speaks version {FRAME_VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The kind is unknown, or not one that may come now.
    #[error("a frame of kind {found} is not expected here")]
    Kind {
        /// The kind found.
        found: u8,
    },
    /// Flags that this build does not know.
    #[error("frame flags {found:04x} are unknown")]
    Flags {
        /// The flags found.
        found: u16,
    },
    /// A hello names a lane that this build does not know.
    #[error("lane {found} is unknown")]
    Lane {
        /// The number found.
        found: u8,
    },
    /// The address in a hello is cut off, or no text.
    #[error("the address in a hello is cut off, or no text")]
    Address,
    /// A part is over its limit. Nothing was allocated for it.
    #[error("the {part} of a frame has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Header or control part changed on the way.
    #[error("frame is damaged: checksum {found:08x}, expected {expected:08x}")]
    Damaged {
        /// Computed from the bytes.
        found: u32,
        /// Stored in the header.
        expected: u32,
    },
    /// The control part is not the value that the kind calls for.
    #[error(transparent)]
    Control(#[from] CodecError),
    /// An entry in the tail is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The tail does not have the length that the control part calls for.
    #[error("the tail of a frame has {have} bytes, its content needs {need}")]
    Tail {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the content takes.
        need: usize,
    },
}

/// A header that was looked at, before the rest has arrived.
struct Header {
    kind: FrameKind,
    group: GroupId,
    control_bytes: usize,
    tail_bytes: usize,
    check: u32,
}

impl Frame {
    /// Takes the next frame off the front of `buffer`. `None` means that it is not all there yet;
    /// `buffer` then has room to read more of it. The frame shares the buffer's memory.
    ///
    /// # Errors
    /// [`FrameError`]; what follows cannot be told apart any more, so the connection must end.
    pub fn take(buffer: &mut BytesMut, limits: FrameLimits) -> Result<Option<Self>, FrameError> {
        let Some(bytes) = buffer.first_chunk::<FRAME_HEADER_BYTES>() else {
            // A stranger is told apart by its first bytes, however few it sends.
            check_magic(buffer)?;
            return Ok(want(buffer, FRAME_HEADER_BYTES));
        };
        let header = Header::parse(bytes, limits)?;
        let control_end = FRAME_HEADER_BYTES + header.control_bytes;
        let Some(covered) = buffer.get(..control_end) else {
            return Ok(want(buffer, control_end));
        };
        let found = checksum(covered);
        if found != header.check {
            return Err(FrameError::Damaged {
                found,
                expected: header.check,
            });
        }
        let end = control_end + header.tail_bytes;
        if buffer.len() < end {
            return Ok(want(buffer, end));
        }
        Ok(Some(Self {
            kind: header.kind,
            group: header.group,
            control_end,
            bytes: buffer.split_to(end).freeze(),
        }))
    }

    /// Reads one frame that fills `bytes`.
    ///
    /// # Errors
    /// [`FrameError`] if it does not, or is no frame.
    pub fn decode(bytes: &[u8], limits: FrameLimits) -> Result<Self, FrameError> {
        let mut buffer = BytesMut::from(bytes);
        match Self::take(&mut buffer, limits)? {
            Some(frame) if buffer.is_empty() => Ok(frame),
            taken => Err(FrameError::Tail {
                have: bytes.len(),
                need: if taken.is_some() {
                    bytes.len() - buffer.len()
                } else {
                    bytes.len() + 1
                },
            }),
        }
    }

    /// What the frame is.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The group that it concerns.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// The control part.
    pub fn control(&self) -> &[u8] {
        let control = self.bytes.get(FRAME_HEADER_BYTES..self.control_end);
        control.unwrap_or_default()
    }

    /// The tail. It shares the frame's memory.
    pub fn tail(&self) -> Bytes {
        self.bytes.slice(self.control_end..)
    }

    /// The frame's size on the wire.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The control part as a value, if the frame is of that kind.
    pub(super) fn control_as<T: DeserializeOwned>(
        &self,
        kind: FrameKind,
        what: &'static str,
    ) -> Result<T, FrameError> {
        self.expect_kind(kind)?;
        Ok(codec::decode(what, self.control())?)
    }

    pub(super) fn expect_kind(&self, kind: FrameKind) -> Result<(), FrameError> {
        if self.kind == kind {
            Ok(())
        } else {
            let found = self.kind as u8;
            Err(FrameError::Kind { found })
        }
    }

    pub(super) fn expect_no_tail(&self) -> Result<(), FrameError> {
        match self.bytes.len() - self.control_end {
            0 => Ok(()),
            have => Err(FrameError::Tail { have, need: 0 }),
        }
    }
}

impl FrameLimits {
    /// The usual control part, and tails up to `tail_bytes_max`.
    pub const fn of_tail(tail_bytes_max: u32) -> Self {
        Self {
            control_bytes_max: CONTROL_LENGTH_MAX,
            tail_bytes_max,
        }
    }
}

impl FrameKind {
    fn from_number(number: u8) -> Option<Self> {
        [
            Self::Hello,
            Self::Refusal,
            Self::Message,
            Self::Ping,
            Self::SnapshotOffer,
            Self::SnapshotChunk,
            Self::SnapshotEnd,
            Self::SnapshotOutcome,
            Self::SnapshotKept,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == number)
    }
}

impl Header {
    fn parse(bytes: &[u8; FRAME_HEADER_BYTES], limits: FrameLimits) -> Result<Self, FrameError> {
        check_magic(bytes)?;
        let [version] = array_at(bytes, VERSION_AT);
        if version != FRAME_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let [number] = array_at(bytes, KIND_AT);
        let kind = FrameKind::from_number(number).ok_or(FrameError::Kind { found: number })?;
        let flags = u16::from_le_bytes(array_at(bytes, FLAGS_AT));
        if flags != 0 {
            return Err(FrameError::Flags { found: flags });
        }
        let length_at = |at: usize, part: &'static str, bytes_max: u32| {
            let length = u32::from_le_bytes(array_at(bytes, at));
            if length > bytes_max {
                return Err(too_large(part, length as usize, bytes_max));
            }
            Ok(length as usize)
        };
        Ok(Self {
            kind,
            group: GroupId::new(u64::from_le_bytes(array_at(bytes, GROUP_AT))),
            control_bytes: length_at(CONTROL_AT, "control part", limits.control_bytes_max)?,
            tail_bytes: length_at(TAIL_AT, "tail", limits.tail_bytes_max)?,
            check: u32::from_le_bytes(array_at(bytes, CHECK_AT)),
        })
    }
}

/// Fills in the header of a frame that begins at the front of `frame` and whose control part is
/// everything behind the room for the header.
pub(super) fn seal(
    frame: &mut [u8],
    kind: FrameKind,
    group: GroupId,
    tail_bytes: usize,
) -> Result<(), FrameError> {
    let control_bytes = frame.len().saturating_sub(FRAME_HEADER_BYTES);
    let control_length = length("control part", control_bytes, CONTROL_LENGTH_MAX)?;
    let tail_length = length("tail", tail_bytes, u32::MAX)?;
    let fields: [(usize, &[u8]); 5] = [
        (0, &MAGIC),
        (VERSION_AT, &[FRAME_VERSION, kind as u8, 0, 0]),
        (GROUP_AT, &group.get().to_le_bytes()),
        (CONTROL_AT, &control_length.to_le_bytes()),
        (TAIL_AT, &tail_length.to_le_bytes()),
    ];
    for (at, bytes) in fields {
        put(frame, at, bytes);
    }
    let check = checksum(frame);
    put(frame, CHECK_AT, &check.to_le_bytes());
    Ok(())
}

/// Of a header and its control part, without the checksum between them.
fn checksum(covered: &[u8]) -> u32 {
    let (head, rest) = covered.split_at(CHECK_AT.min(covered.len()));
    let control = rest.get(FRAME_HEADER_BYTES - CHECK_AT..);
    crc32c::crc32c_append(crc32c::crc32c(head), control.unwrap_or_default())
}

fn check_magic(bytes: &[u8]) -> Result<(), FrameError> {
    let mut found = [0; MAGIC.len()];
    let seen = bytes.len().min(found.len());
    for (into, byte) in found.iter_mut().zip(bytes) {
        *into = *byte;
    }
    if found.get(..seen) == MAGIC.get(..seen) {
        Ok(())
    } else {
        Err(FrameError::Magic { found })
    }
}

fn want(buffer: &mut BytesMut, frame_bytes: usize) -> Option<Frame> {
    let missing = frame_bytes.saturating_sub(buffer.len());
    buffer.reserve(missing.min(AHEAD_BYTES_MAX.max(buffer.len())));
    None
}

fn length(part: &'static str, bytes: usize, bytes_max: u32) -> Result<u32, FrameError> {
    match u32::try_from(bytes) {
        Ok(length) if length <= bytes_max => Ok(length),
        _ => Err(too_large(part, bytes, bytes_max)),
    }
}

fn too_large(part: &'static str, bytes: usize, bytes_max: u32) -> FrameError {
    FrameError::TooLarge {
        part,
        bytes: bytes as u64,
        bytes_max: u64::from(bytes_max),
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "called with constant offsets inside the header"
)]
fn array_at<const N: usize>(header: &[u8; FRAME_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

#[expect(
    clippy::indexing_slicing,
    reason = "called with constant offsets inside the header, for which there is room"
)]
fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

const _: () = assert!(
    FRAME_HEADER_BYTES == 28,
    "the header's size is part of the format"
);
