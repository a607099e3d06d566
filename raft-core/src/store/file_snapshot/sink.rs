//! Writes one snapshot aside, and puts it in place when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Directory, format};
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotSink, StoreError};

/// An unfinished snapshot. Dropped, it removes its file.
pub(super) struct FileSink {
    directory: Arc<Directory>,
    path: PathBuf,
    file: BufWriter<File>,
    header: SnapshotHeader,
    head_check: u32,
    size: u64,
    checksum: u32,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Writing,
    /// A write failed, so the file may lack bytes that a checksum over it would not miss.
    Failed,
    Finished,
}

impl FileSink {
    pub(super) fn create(
        directory: Arc<Directory>,
        header: &SnapshotHeader,
    ) -> Result<Self, StoreError> {
        let path = directory.unfinished_path(header.last.id);
        let place = path.display().to_string();
        let (head, head_check) = format::head(header).map_err(|error| StoreError::Misuse {
            place: place.clone(),
            detail: error.to_string(),
        })?;
        let file = File::create_new(&path).map_err(StoreError::io(&place, "create"))?;
        let mut sink = Self {
            directory,
            path,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            header: header.clone(),
            head_check,
            size: 0,
            checksum: 0,
            state: State::Writing,
        };
        sink.file
            .write_all(&head)
            .map_err(StoreError::io(place, "write"))?;
        Ok(sink)
    }

    fn complete(&mut self) -> Result<SnapshotMeta, StoreError> {
        let place = self.path.display().to_string();
        if self.state != State::Writing {
            let source = io::Error::other("an earlier write failed");
            return Err(StoreError::io(place, "finish")(source));
        }
        let trailer = format::trailer(self.head_check, self.size, self.checksum);
        self.file
            .write_all(&trailer)
            .and_then(|()| self.file.flush())
            .map_err(StoreError::io(&place, "write"))?;
        self.directory.publish(&self.path, self.header.last.id)?;
        self.state = State::Finished;
        Ok(SnapshotMeta {
            header: self.header.clone(),
            size: self.size,
            checksum: self.checksum,
        })
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.state = State::Failed;
            }
        })?;
        let taken = bytes.get(..written).unwrap_or_default();
        self.checksum = crc32c::crc32c_append(self.checksum, taken);
        self.size += taken.len() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file
            .flush()
            .inspect_err(|_| self.state = State::Failed)
    }
}

impl SnapshotSink for FileSink {
    fn finish(mut self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        self.complete()
    }

    fn discard(self: Box<Self>) {}
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if self.state != State::Finished {
            // What stays behind if this fails is removed at the next open.
            let _ = fs::remove_file(&self.path);
        }
    }
}

const BUFFER_BYTES: usize = 256 << 10;
