//! Reads one snapshot's data and verifies it on the way.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use crate::snapshot::{Kept, SnapshotMeta};
use crate::store::{SnapshotRead, StoreError};

/// Gives out the data. The last bytes come only if the checksum over all of them holds, so even
/// a caller that never asks for more than the announced size is told of damage.
pub(super) struct FileReader {
    place: String,
    file: BufReader<File>,
    id: String,
    /// Where the data begins.
    data_at: u64,
    size: u64,
    left: u64,
    checksum: u32,
    expected: u32,
}

impl FileReader {
    /// `file` stands at the first byte of the data that `meta` describes.
    pub(super) fn new(
        place: String,
        mut file: BufReader<File>,
        meta: &SnapshotMeta,
    ) -> Result<Self, StoreError> {
        let data_at = file.stream_position();
        Ok(Self {
            data_at: data_at.map_err(StoreError::io(&place, "find the data"))?,
            place,
            file,
            id: meta.to_string(),
            size: meta.size,
            left: meta.size,
            checksum: 0,
            expected: meta.checksum,
        })
    }

    fn damaged(&self, detail: &str) -> io::Error {
        let error = StoreError::damaged(&self.place, &self.id, &detail);
        io::Error::new(ErrorKind::InvalidData, error)
    }
}

impl SnapshotRead for FileReader {
    fn start_after(&mut self, kept: Kept) -> io::Result<bool> {
        let Some(left) = self.size.checked_sub(kept.size) else {
            return Err(self.damaged("more of it was kept than there is"));
        };
        self.file.seek(SeekFrom::Start(self.data_at + kept.size))?;
        self.left = left;
        self.checksum = kept.checksum;
        Ok(true)
    }
}

impl Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(out.len(), |left| left.min(out.len()));
        let out = out.get_mut(..wanted).unwrap_or_default();
        if self.left > 0 && out.is_empty() {
            return Ok(0);
        }
        let count = self.file.read(out)?;
        if count == 0 && self.left > 0 {
            return Err(self.damaged("the file is cut short"));
        }
        let got = out.get(..count).unwrap_or_default();
        self.checksum = crc32c::crc32c_append(self.checksum, got);
        self.left -= count as u64;
        if self.left == 0 && self.checksum != self.expected {
            let (found, expected) = (self.checksum, self.expected);
            return Err(self.damaged(&format!(
                "checksum {found:08x} over the data, expected {expected:08x}"
            )));
        }
        Ok(count)
    }
}
