//! The file's format: a header, then frames.
//!
//! ```text
//! header: | "raftfile" (8) | commits before the first frame (8) | crc32c (4) |
//! frame:  | length of the body (4) | number of the commit (8) | crc32c (4) | body |
//! body:   | 1 | purged link (20) | last link (20) | records of the new entries |
//!         | 2 | all stable records, by raft_core::codec |
//! link:   | index (8) | term (8) | checksum (4) |
//! ```
//!
//! All numbers are little-endian. A frame's checksum covers everything else in it.

use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::store::LogBounds;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 20;
/// Bytes of a frame before its body.
pub(super) const PREFIX_BYTES: usize = 16;
/// Bytes of a log commit's body before its records.
pub(super) const BOUNDS_BYTES: usize = 1 + 2 * LINK_BYTES;

const MAGIC: [u8; 8] = *b"raftfile";
const LINK_BYTES: usize = 20;
const KIND_LOG: u8 = 1;
const KIND_STABLE: u8 = 2;

/// What a body holds.
pub(super) enum Body<'a> {
    /// The log's bounds after the commit, and the records of its new entries.
    Log(LogBounds, &'a [u8]),
    /// All stable records, encoded.
    Stable(&'a [u8]),
}

pub(super) fn header(commits: u64) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&commits.to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

/// The commits before the first frame, or nothing if this is no intact header.
pub(super) fn read_header(bytes: &[u8]) -> Option<u64> {
    let (checked, check) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
    let (magic, commits) = checked.split_first_chunk::<8>()?;
    let is_intact = *magic == MAGIC && crc32c::crc32c(checked) == u32::from_le_bytes(*check);
    is_intact.then_some(u64::from_le_bytes(*commits.first_chunk()?))
}

/// Begins a frame with a log commit; its records are to be added, then it is to be [sealed](seal).
pub(super) fn begin_log(bounds: LogBounds) -> Vec<u8> {
    let mut frame = vec![0; PREFIX_BYTES];
    frame.push(KIND_LOG);
    for link in [bounds.purged, bounds.last] {
        frame.extend_from_slice(&link.id.index.get().to_le_bytes());
        frame.extend_from_slice(&link.id.term.get().to_le_bytes());
        frame.extend_from_slice(&link.checksum.to_le_bytes());
    }
    frame
}

/// A frame with the stable records, to be [sealed](seal).
pub(super) fn begin_stable(encoded: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; PREFIX_BYTES];
    frame.push(KIND_STABLE);
    frame.extend_from_slice(encoded);
    frame
}

/// Completes a frame as this commit. `None` if it is larger than a frame can be.
pub(super) fn seal(mut frame: Vec<u8>, commit: u64) -> Option<Vec<u8>> {
    let length = u32::try_from(frame.len().checked_sub(PREFIX_BYTES)?).ok()?;
    let (prefix, body) = frame.split_first_chunk_mut::<PREFIX_BYTES>()?;
    let (sized, check) = prefix.split_at_mut(12);
    let (length_at, commit_at) = sized.split_at_mut(4);
    length_at.copy_from_slice(&length.to_le_bytes());
    commit_at.copy_from_slice(&commit.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(sized), body);
    check.copy_from_slice(&sum.to_le_bytes());
    Some(frame)
}

/// The body of the frame at the front of `bytes`, if that is this commit, intact.
pub(super) fn read_frame(bytes: &[u8], commit: u64) -> Option<&[u8]> {
    let (found, body) = read_any(bytes)?;
    (found == commit).then_some(body)
}

/// Whether an intact frame of a later commit begins anywhere in `bytes`.
pub(super) fn has_later_frame(bytes: &[u8], commit: u64) -> bool {
    let later = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        // Most places are ruled out by the number alone, before anything is summed up.
        let number = rest.get(4..12).and_then(|number| number.first_chunk());
        let number = number.map_or(0, |number| u64::from_le_bytes(*number));
        number > commit && number - commit < LATER_MAX && read_any(rest).is_some()
    };
    (0..bytes.len().saturating_sub(PREFIX_BYTES)).any(later)
}

/// No file holds more commits than this behind a torn one.
const LATER_MAX: u64 = 1 << 32;

fn read_any(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
    let (sized, check) = prefix.split_last_chunk::<4>()?;
    let (length, commit) = sized.split_first_chunk::<4>()?;
    let body = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(sized), body);
    let is_intact = sum == u32::from_le_bytes(*check);
    is_intact.then_some((u64::from_le_bytes(*commit.first_chunk()?), body))
}

/// What an intact body says; nothing if this build does not know it.
pub(super) fn read_body(body: &[u8]) -> Option<Body<'_>> {
    match body.split_first()? {
        (&KIND_LOG, rest) => {
            let (purged, rest) = read_link(rest)?;
            let (last, records) = read_link(rest)?;
            Some(Body::Log(LogBounds { purged, last }, records))
        }
        (&KIND_STABLE, encoded) => Some(Body::Stable(encoded)),
        _ => None,
    }
}

fn read_link(bytes: &[u8]) -> Option<(ChainLink, &[u8])> {
    let (index, rest) = bytes.split_first_chunk::<8>()?;
    let (term, rest) = rest.split_first_chunk::<8>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let id = LogId::new(
        Term::new(u64::from_le_bytes(*term)),
        LogIndex::new(u64::from_le_bytes(*index)),
    );
    let checksum = u32::from_le_bytes(*checksum);
    Some((ChainLink { id, checksum }, rest))
}
