//! The bytes of a snapshot file. All numbers are little-endian.
//!
//! ```text
//!  0        8         12       16       16+n    20+n      20+n+size        36+n+size
//!  | magic  | version | n      | header | check | data ...| trailer        |
//!
//!  trailer: | size (8) | crc32c of the data (4) | check (4) |
//! ```
//!
//! The first `check` is the crc32c of everything before it, the second that of the first check,
//! the size and the data's checksum: so a header and a trailer of different snapshots do not fit
//! together. The part up to the first check keeps its shape in every version, so that an unknown
//! version is told from damage.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use crate::codec::{self, CONTROL_BYTES_MAX};
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::StoreError;

const MAGIC: [u8; 8] = *b"raftsnap";
const VERSION: u32 = 1;
const PREFIX_BYTES: usize = MAGIC.len() + 4 + 4;
const CHECK_BYTES: usize = 4;
const TRAILER_BYTES: u64 = 8 + 4 + 4;

/// What stands before the data, with its checksum.
pub(super) fn head(header: &SnapshotHeader) -> Result<(Vec<u8>, u32), codec::CodecError> {
    let encoded = codec::encode("snapshot header", header)?;
    // The codec's limit is far below 4 GiB.
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(PREFIX_BYTES + encoded.len() + CHECK_BYTES);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&encoded);
    let check = crc32c::crc32c(&head);
    head.extend_from_slice(&check.to_le_bytes());
    Ok((head, check))
}

/// What stands after the data. `head_check` is the checksum that [`head`] returned.
pub(super) fn trailer(head_check: u32, size: u64, checksum: u32) -> Vec<u8> {
    let mut trailer = size.to_le_bytes().to_vec();
    trailer.extend_from_slice(&checksum.to_le_bytes());
    let check = crc32c::crc32c_append(crc32c::crc32c(&head_check.to_le_bytes()), &trailer);
    trailer.extend_from_slice(&check.to_le_bytes());
    trailer
}

/// Opens a finished snapshot and verifies all but its data. The file stands at the first byte of
/// the data.
pub(super) fn open(path: &Path) -> Result<(SnapshotMeta, BufReader<File>), StoreError> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(StoreError::io(&place, "open"))?;
    read_description(BufReader::with_capacity(BUFFER_BYTES, file)).map_err(|error| match error {
        Unreadable::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            StoreError::damaged(&place, DESCRIPTION, &"the file is cut short")
        }
        Unreadable::Io(error) => StoreError::io(&place, "read")(error),
        Unreadable::Damaged(detail) => StoreError::damaged(&place, DESCRIPTION, &detail),
        Unreadable::Version(version) => StoreError::Format {
            place: place.clone(),
            found: version.to_string(),
            known: VERSION.to_string(),
        },
    })
}

const DESCRIPTION: &str = "the snapshot's description";
const BUFFER_BYTES: usize = 256 << 10;

enum Unreadable {
    Io(io::Error),
    Damaged(String),
    Version(u32),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_description(
    mut file: BufReader<File>,
) -> Result<(SnapshotMeta, BufReader<File>), Unreadable> {
    let (header, head_check) = read_head(&mut file)?;
    let data_at = file.stream_position()?;
    let (size, checksum) = read_trailer(&mut file, data_at, head_check)?;
    file.seek(SeekFrom::Start(data_at))?;
    let meta = SnapshotMeta {
        header,
        size,
        checksum,
    };
    Ok((meta, file))
}

fn read_head(file: &mut impl Read) -> Result<(SnapshotHeader, u32), Unreadable> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(Unreadable::Damaged("it does not begin as one".to_owned()));
    }
    let version = read_u32(file)?;
    let length = read_u32(file)?;
    if length as usize > CONTROL_BYTES_MAX {
        let detail = format!("it claims {length} bytes, at most {CONTROL_BYTES_MAX} are possible");
        return Err(Unreadable::Damaged(detail));
    }
    let mut encoded = vec![0; length as usize];
    file.read_exact(&mut encoded)?;
    let expected = read_u32(file)?;
    let parts: [&[u8]; 4] = [
        &magic,
        &version.to_le_bytes(),
        &length.to_le_bytes(),
        &encoded,
    ];
    let found = parts
        .iter()
        .fold(0, |check, part| crc32c::crc32c_append(check, part));
    check_equal(found, expected)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let header = codec::decode("snapshot header", &encoded)
        .map_err(|error| Unreadable::Damaged(error.to_string()))?;
    Ok((header, expected))
}

fn read_trailer(
    file: &mut (impl Read + Seek),
    data_at: u64,
    head_check: u32,
) -> Result<(u64, u32), Unreadable> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(size) = length.checked_sub(data_at + TRAILER_BYTES) else {
        return Err(Unreadable::Damaged("the file is cut short".to_owned()));
    };
    file.seek(SeekFrom::Start(data_at + size))?;
    let mut written = [0; 8];
    file.read_exact(&mut written)?;
    let written = u64::from_le_bytes(written);
    let checksum = read_u32(file)?;
    let expected = read_u32(file)?;
    let mut found = crc32c::crc32c(&head_check.to_le_bytes());
    found = crc32c::crc32c_append(found, &written.to_le_bytes());
    found = crc32c::crc32c_append(found, &checksum.to_le_bytes());
    check_equal(found, expected)?;
    if written != size {
        let detail = format!("the file has {size} bytes of data, {written} were written");
        return Err(Unreadable::Damaged(detail));
    }
    Ok((size, checksum))
}

fn check_equal(found: u32, expected: u32) -> Result<(), Unreadable> {
    if found == expected {
        return Ok(());
    }
    let detail = format!("checksum {found:08x}, expected {expected:08x}");
    Err(Unreadable::Damaged(detail))
}

fn read_u32(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

const _: () = assert!(
    PREFIX_BYTES == 16,
    "the prefix is the same in every version"
);
