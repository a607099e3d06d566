//! The log entry and its record: encoded once by the leader, checked at every border.
//!
//! A record is a header of [`HEADER_BYTES`] and the payload. All numbers are little-endian:
//!
//! ```text
//!  0   1   2       4        8       16       24       32        36        40        44
//!  | v | k | zero  | length | index |  term  |  time  | previous| payload | check   | payload ...
//! ```
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | v | 1 | format version, [`RECORD_VERSION`] |
//! | k | 1 | kind: 0 blank, 1 command, 2 membership, 3 restoration |
//! | zero | 2 | must be zero |
//! | length | 4 | payload bytes |
//! | index, term | 8 + 8 | the [`LogId`] |
//! | time | 8 | [`ClusterTime`] in microseconds |
//! | previous | 4 | `check` of the entry before this one, zero for the first |
//! | payload | 4 | crc32c of the payload |
//! | check | 4 | crc32c of the 40 bytes before it |
//!
//! `check` covers the payload's checksum and the predecessor's check, so the checks form a chain:
//! two logs whose entries carry the same check at an index are the same up to there.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::codec::{self, CodecError};
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::membership::Membership;
use crate::restoration::Restoration;
use crate::time::ClusterTime;

/// The size of a record's header.
pub const HEADER_BYTES: usize = CHECK_AT + 4;
/// The version that this build writes, and the only one it reads.
pub const RECORD_VERSION: u8 = 1;

const LENGTH_AT: usize = 4;
const INDEX_AT: usize = LENGTH_AT + 4;
const TERM_AT: usize = INDEX_AT + 8;
const TIME_AT: usize = TERM_AT + 8;
const PREVIOUS_AT: usize = TIME_AT + 8;
const PAYLOAD_CHECK_AT: usize = PREVIOUS_AT + 4;
const CHECK_AT: usize = PAYLOAD_CHECK_AT + 4;

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;
const KIND_RESTORATION: u8 = 3;

/// One entry of the log. Cloning shares the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    id: LogId,
    time: ClusterTime,
    previous: u32,
    payload_check: u32,
    check: u32,
    payload: Payload,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing: a new leader's first entry, by which it commits what it inherited (thesis §6.4).
    Blank,
    /// A command for the state machine, opaque to Raft.
    Command(Bytes),
    /// A membership, in force from the moment the entry is appended (thesis §4.1).
    Membership {
        /// The decoded membership.
        membership: Arc<Membership>,
        /// Its bytes, as the leader encoded them.
        encoded: Bytes,
    },
    /// A part of a backup that is to replace the state of the group.
    Restoration {
        /// The decoded part. A chunk's data share the memory of `encoded`.
        part: Restoration,
        /// Its bytes, as the leader encoded them.
        encoded: Bytes,
    },
}

/// A payload with its checksum, computed by whoever proposes, so that the core need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    payload: Payload,
    payload_check: u32,
}

/// A record that is not what it should be. Absence is never reported by this error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There are fewer bytes than the header says.
    #[error("record is cut short: {have} bytes of {need}")]
    Short {
        /// Bytes that are there.
        have: usize,
        /// Bytes that should be there.
        need: usize,
    },
    /// The header does not match its checksum.
    #[error("record header is damaged: checksum {found:08x}, expected {expected:08x}")]
    Header {
        /// Computed from the bytes.
        found: u32,
        /// Stored in the header.
        expected: u32,
    },
    /// The payload does not match its checksum.
    #[error("payload of entry {id} is damaged: checksum {found:08x}, expected {expected:08x}")]
    Payload {
        /// Which entry, by its intact header.
        id: LogId,
        /// Computed from the bytes.
        found: u32,
        /// Stored in the header.
        expected: u32,
    },
    /// The header is intact, and of a format that this build does not know.
    #[error(
        "entry {id} has format version {version} and kind {kind}, unknown to this build: upgrade before you start it on this data"
    )]
    Unknown {
        /// Which entry.
        id: LogId,
        /// The record's version.
        version: u8,
        /// The record's kind.
        kind: u8,
    },
    /// The payload is intact, and not a membership.
    #[error("entry {id} holds no valid membership: {source}")]
    Membership {
        /// Which entry.
        id: LogId,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The payload is intact, and no part of a restoration.
    #[error("entry {id} holds no part of a restoration that this build knows")]
    Restoration {
        /// Which entry.
        id: LogId,
    },
}

impl Payload {
    /// A membership with its encoding.
    ///
    /// # Errors
    /// [`CodecError::Unencodable`] if it is too large.
    pub fn membership(membership: Membership) -> Result<Self, CodecError> {
        let encoded = codec::encode("membership", &membership)?.into();
        Ok(Self::Membership {
            membership: Arc::new(membership),
            encoded,
        })
    }

    /// A part of a restoration with its encoding.
    pub fn restoration(part: &Restoration) -> Self {
        let encoded = part.encode();
        // What was encoded can be decoded; so the bytes are there once.
        let shared = Restoration::decode(&encoded);
        let part = shared.unwrap_or_else(|| part.clone());
        Self::Restoration { part, encoded }
    }

    /// The bytes that travel and are stored.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Blank => &[],
            Self::Command(bytes) => bytes,
            Self::Membership { encoded, .. } | Self::Restoration { encoded, .. } => encoded,
        }
    }

    /// The same bytes, shared.
    pub fn shared_bytes(&self) -> Bytes {
        match self {
            Self::Blank => Bytes::new(),
            Self::Command(bytes) => bytes.clone(),
            Self::Membership { encoded, .. } | Self::Restoration { encoded, .. } => encoded.clone(),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Blank => KIND_BLANK,
            Self::Command(_) => KIND_COMMAND,
            Self::Membership { .. } => KIND_MEMBERSHIP,
            Self::Restoration { .. } => KIND_RESTORATION,
        }
    }
}

impl Sealed {
    /// Computes the checksum of `payload`.
    pub fn new(payload: Payload) -> Self {
        let payload_check = crc32c::crc32c(payload.bytes());
        Self {
            payload,
            payload_check,
        }
    }

    /// Seals a command.
    pub fn command(bytes: impl Into<Bytes>) -> Self {
        Self::new(Payload::Command(bytes.into()))
    }

    /// A command that travelled with its checksum.
    ///
    /// # Errors
    /// The checksum that its bytes have, if it is another one.
    pub fn from_parts(bytes: Bytes, check: u32) -> Result<Self, u32> {
        let sealed = Self::command(bytes);
        match sealed.payload_check == check {
            true => Ok(sealed),
            false => Err(sealed.payload_check),
        }
    }

    /// The entry's time must not be before this one.
    pub fn not_before(&self) -> Option<ClusterTime> {
        match &self.payload {
            Payload::Restoration {
                part: Restoration::End { time, .. },
                ..
            } => Some(*time),
            Payload::Restoration { .. }
            | Payload::Blank
            | Payload::Command(_)
            | Payload::Membership { .. } => None,
        }
    }

    /// The checksum.
    pub fn check(&self) -> u32 {
        self.payload_check
    }

    /// The payload's bytes, shared.
    pub fn shared_bytes(&self) -> Bytes {
        self.payload.shared_bytes()
    }

    /// The payload's size in bytes.
    pub fn len(&self) -> usize {
        self.payload.bytes().len()
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The checksum covers the payload.
impl Hash for Sealed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.payload_check, self.len()).hash(state);
    }
}

/// The checksum covers everything else.
impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.link().hash(state);
    }
}

impl Entry {
    /// Places a payload in the log, right after `previous`. Only a leader does this.
    pub fn new(previous: ChainLink, term: Term, time: ClusterTime, sealed: Sealed) -> Self {
        let Sealed {
            payload,
            payload_check,
        } = sealed;
        let id = LogId::new(term, previous.id.index.next());
        let previous = previous.checksum;
        let mut entry = Self {
            id,
            time,
            previous,
            payload_check,
            check: 0,
            payload,
        };
        entry.check = crc32c::crc32c(entry.unchecked_header().as_slice());
        entry
    }

    /// Term and index.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The index.
    pub fn index(&self) -> LogIndex {
        self.id.index
    }

    /// The term of the leader that created the entry.
    pub fn term(&self) -> Term {
        self.id.term
    }

    /// When the leader created the entry, in the group's own time.
    pub fn time(&self) -> ClusterTime {
        self.time
    }

    /// What the entry carries.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Identity and checksum: what the next entry must name as its predecessor.
    pub fn link(&self) -> ChainLink {
        ChainLink {
            id: self.id,
            checksum: self.check,
        }
    }

    /// The checksum of the predecessor's record.
    pub fn previous_checksum(&self) -> u32 {
        self.previous
    }

    /// Whether the entry may stand right after `previous`: next index, no lower term, no earlier
    /// time is checked by the log, and the predecessor's checksum.
    pub fn follows(&self, previous: ChainLink) -> bool {
        self.id.index == previous.id.index.next()
            && self.id.term >= previous.id.term
            && self.previous == previous.checksum
    }

    /// Bytes of the record: header and payload.
    pub fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.bytes().len()
    }

    /// The header as it travels and is stored.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let (head, check) = header.split_at_mut(CHECK_AT);
        head.copy_from_slice(&self.unchecked_header());
        check.copy_from_slice(&self.check.to_le_bytes());
        header
    }

    /// Appends the whole record to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header());
        out.extend_from_slice(self.payload.bytes());
    }

    /// Reads one record that fills `record`, and verifies both checksums. The payload shares
    /// `record`'s memory.
    ///
    /// # Errors
    /// [`RecordError`], for any bytes that are not an intact record of a known format.
    pub fn decode(record: &Bytes) -> Result<Self, RecordError> {
        let header = record
            .first_chunk::<HEADER_BYTES>()
            .ok_or(RecordError::Short {
                have: record.len(),
                need: HEADER_BYTES,
            })?;
        let payload = record.slice(HEADER_BYTES..);
        Self::from_parts(header, payload)
    }

    /// Takes the record at the front of `records`, and verifies both checksums. The payload shares
    /// the memory of `records`.
    ///
    /// # Errors
    /// As [`Entry::decode`]; how much of `records` is left is then unspecified.
    pub fn take(records: &mut Bytes) -> Result<Self, RecordError> {
        let have = records.len();
        let short = |need| RecordError::Short { have, need };
        let header = records
            .first_chunk::<HEADER_BYTES>()
            .ok_or(short(HEADER_BYTES))?;
        let fields = Fields::verified(header)?;
        if have - HEADER_BYTES < fields.length {
            return Err(short(HEADER_BYTES + fields.length));
        }
        records.advance(HEADER_BYTES);
        let payload = records.split_to(fields.length);
        Self::from_fields(&fields, payload)
    }

    /// Puts a record together from its header and its payload, and verifies both checksums.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub fn from_parts(header: &[u8; HEADER_BYTES], payload: Bytes) -> Result<Self, RecordError> {
        let fields = Fields::verified(header)?;
        if payload.len() != fields.length {
            return Err(RecordError::Short {
                have: HEADER_BYTES + payload.len(),
                need: HEADER_BYTES + fields.length,
            });
        }
        Self::from_fields(&fields, payload)
    }

    /// `payload` has the length that the fields call for.
    fn from_fields(fields: &Fields, payload: Bytes) -> Result<Self, RecordError> {
        let found = crc32c::crc32c(&payload);
        if found != fields.payload_check {
            return Err(RecordError::Payload {
                id: fields.id,
                found,
                expected: fields.payload_check,
            });
        }
        Ok(Self {
            id: fields.id,
            time: fields.time,
            previous: fields.previous,
            payload_check: fields.payload_check,
            check: fields.check,
            payload: fields.payload(payload)?,
        })
    }

    /// The payload length that an intact header announces.
    ///
    /// # Errors
    /// [`RecordError::Header`] if the header is damaged.
    pub fn payload_length(header: &[u8; HEADER_BYTES]) -> Result<usize, RecordError> {
        Fields::verified(header).map(|fields| fields.length)
    }

    fn unchecked_header(&self) -> [u8; CHECK_AT] {
        let mut header = [0; CHECK_AT];
        // The length fits: configuration bounds an entry far below 4 GiB, and `Sealed` payloads
        // over that bound are refused before they get here.
        let length = u32::try_from(self.payload.bytes().len()).unwrap_or(u32::MAX);
        let fields: [(usize, &[u8]); 8] = [
            (0, &[RECORD_VERSION, self.payload.kind(), 0, 0]),
            (LENGTH_AT, &length.to_le_bytes()),
            (INDEX_AT, &self.id.index.get().to_le_bytes()),
            (TERM_AT, &self.id.term.get().to_le_bytes()),
            (TIME_AT, &self.time.as_micros().to_le_bytes()),
            (PREVIOUS_AT, &self.previous.to_le_bytes()),
            (PAYLOAD_CHECK_AT, &self.payload_check.to_le_bytes()),
            (CHECK_AT, &[]),
        ];
        for (at, bytes) in fields {
            #[expect(
                clippy::indexing_slicing,
                reason = "the offsets are constants in range"
            )]
            header[at..at + bytes.len()].copy_from_slice(bytes);
        }
        header
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.payload {
            Payload::Blank => write!(f, "{} blank", self.id),
            Payload::Command(bytes) => write!(f, "{} command of {} bytes", self.id, bytes.len()),
            Payload::Membership { membership, .. } => write!(f, "{} {membership}", self.id),
            Payload::Restoration { part, .. } => write!(f, "{} {part:?}", self.id),
        }
    }
}

/// A header whose checksum holds, taken apart.
struct Fields {
    version: u8,
    kind: u8,
    length: usize,
    id: LogId,
    time: ClusterTime,
    previous: u32,
    payload_check: u32,
    check: u32,
}

impl Fields {
    fn verified(header: &[u8; HEADER_BYTES]) -> Result<Self, RecordError> {
        let u32_at = |at: usize| u32::from_le_bytes(array_at(header, at));
        let u64_at = |at: usize| u64::from_le_bytes(array_at(header, at));
        let (checked, _) = header.split_at(CHECK_AT);
        let (found, expected) = (crc32c::crc32c(checked), u32_at(CHECK_AT));
        if found != expected {
            return Err(RecordError::Header { found, expected });
        }
        let [version, kind, zero @ ..]: [u8; 4] = array_at(header, 0);
        let id = LogId::new(Term::new(u64_at(TERM_AT)), LogIndex::new(u64_at(INDEX_AT)));
        if version != RECORD_VERSION || kind > KIND_RESTORATION || zero != [0; 2] {
            return Err(RecordError::Unknown { id, version, kind });
        }
        Ok(Self {
            version,
            kind,
            length: u32_at(LENGTH_AT) as usize,
            id,
            time: ClusterTime::from_micros(u64_at(TIME_AT)),
            previous: u32_at(PREVIOUS_AT),
            payload_check: u32_at(PAYLOAD_CHECK_AT),
            check: expected,
        })
    }

    fn payload(&self, payload: Bytes) -> Result<Payload, RecordError> {
        match self.kind {
            KIND_BLANK if payload.is_empty() => Ok(Payload::Blank),
            KIND_COMMAND => Ok(Payload::Command(payload)),
            KIND_MEMBERSHIP => {
                let membership =
                    Membership::decode(&payload).map_err(|source| RecordError::Membership {
                        id: self.id,
                        source,
                    })?;
                Ok(Payload::Membership {
                    membership: Arc::new(membership),
                    encoded: payload,
                })
            }
            KIND_RESTORATION => {
                let part = Restoration::decode(&payload);
                let part = part.ok_or(RecordError::Restoration { id: self.id })?;
                Ok(Payload::Restoration {
                    part,
                    encoded: payload,
                })
            }
            kind => Err(RecordError::Unknown {
                id: self.id,
                version: self.version,
                kind,
            }),
        }
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "called with constant offsets inside the header"
)]
fn array_at<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

const _: () = assert!(
    HEADER_BYTES == 44,
    "the header's size is part of the format"
);
