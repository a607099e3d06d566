//! The marks beside the part of a snapshot that has arrived, and what is believed by them.
//!
//! They know no file: the layout is told in `partial`, which keeps it in files, and the simulator
//! keeps the same in memory.

use std::io::{self, ErrorKind, Read};

use crate::codec::{self, CONTROL_BYTES_MAX};
use crate::snapshot::{Kept, SnapshotMeta};

pub(crate) const MARK_BYTES: usize = 16;
const BUFFER_BYTES: usize = 256 << 10;

/// What was found and agrees with its marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kept: Kept,
    /// Marks through there.
    pub(crate) marks: u64,
}

impl Found {
    /// Reads marks and data, each after what it should begin with. `None` if they do not begin so.
    ///
    /// # Errors
    /// Of the medium. A file that ends early is none.
    pub(crate) fn read(
        (marks, marks_head): (&mut impl Read, &[u8]),
        (data, head): (&mut impl Read, &[u8]),
    ) -> io::Result<Option<Self>> {
        if !begins_with(marks, marks_head)? || !begins_with(data, head)? {
            return Ok(None);
        }
        let mut found = Self::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut so_far, mut count) = (Kept::NOTHING, 0);
        let mut mark = [0; MARK_BYTES];
        while fill(marks, &mut mark)? {
            let Some(wanted) = decode_mark(mark) else {
                return Ok(Some(found));
            };
            count += 1;
            while so_far.size < wanted.size {
                let most = (wanted.size - so_far.size).min(BUFFER_BYTES as u64);
                let part = buffer.get_mut(..usize::try_from(most).unwrap_or(BUFFER_BYTES));
                let part = part.unwrap_or_default();
                if !fill(data, part)? {
                    return Ok(Some(found));
                }
                so_far.add(part);
            }
            if so_far != wanted {
                return Ok(Some(found));
            }
            found = Self {
                kept: so_far,
                marks: count,
            };
        }
        Ok(Some(found))
    }
}

/// Whose marks they are: what stands before the first of them.
///
/// # Errors
/// If the description of the snapshot is too large to be encoded.
pub(crate) fn marks_head(meta: &SnapshotMeta) -> Result<Vec<u8>, codec::CodecError> {
    let encoded = codec::encode("snapshot", meta)?;
    // The codec's limit is far below 4 GiB.
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let mut head = length.to_le_bytes().to_vec();
    head.extend_from_slice(&encoded);
    head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    Ok(head)
}

/// One mark: so much of the data, and its checksum.
pub(crate) fn encode_mark(kept: Kept) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    let (value, check) = mark.split_at_mut(MARK_BYTES - 4);
    let (size, checksum) = value.split_at_mut(8);
    size.copy_from_slice(&kept.size.to_le_bytes());
    checksum.copy_from_slice(&kept.checksum.to_le_bytes());
    check.copy_from_slice(&crc32c::crc32c(value).to_le_bytes());
    mark
}

fn decode_mark(mark: [u8; MARK_BYTES]) -> Option<Kept> {
    let (value, check) = mark.split_at(MARK_BYTES - 4);
    let (size, checksum) = value.split_at(8);
    let kept = Kept {
        size: u64::from_le_bytes(size.try_into().ok()?),
        checksum: u32::from_le_bytes(checksum.try_into().ok()?),
    };
    (crc32c::crc32c(value).to_le_bytes() == check).then_some(kept)
}

/// Whether the next bytes are these.
fn begins_with(file: &mut impl Read, expected: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; expected.len()];
    Ok(fill(file, &mut found)? && found == expected)
}

/// Fills `out`, or says that the file ends before.
fn fill(file: &mut impl Read, out: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(out) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

const _: () = assert!(
    CONTROL_BYTES_MAX < u32::MAX as usize,
    "a length has four bytes"
);
