//! The part of a snapshot that has arrived: its bytes, and marks to verify them by.
//!
//! The bytes are laid out as in a finished snapshot, without the trailer. Beside them stands a file
//! of marks. All numbers are little-endian.
//!
//! ```text
//!  0        4         4+n     8+n                   each 16 bytes
//!  | n      | meta    | check | mark | mark | ...
//!
//!  mark: | size (8) | crc32c of the data so far (4) | check (4) |
//! ```
//!
//! A mark is written when so much of the data was handed to the system, which may put either file on
//! the disk first, in any order. So nothing is believed: going on after a restart reads the data
//! once, and keeps it through the last mark that it agrees with. Both are synced now and then, so
//! that a loss of power costs a bounded amount.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::marks::{Found, MARK_BYTES, encode_mark, marks_head};
use super::{Directory, format, parse_stem, remove, stem};
use crate::codec;
use crate::id::LogId;
use crate::snapshot::{Kept, SnapshotMeta};
use crate::store::StoreError;
use crate::store::directory::sync_directory;

/// What is there of one snapshot.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) meta: SnapshotMeta,
    pub(super) kept: Kept,
    /// The sink that may write. Numbers are never used twice.
    pub(super) owner: u64,
    paths: Paths,
    data: BufWriter<File>,
    marks: File,
    head_check: u32,
    marked: u64,
    synced: u64,
    /// A write failed, so the files may lack what was counted.
    has_failed: bool,
}

#[derive(Debug)]
struct Paths {
    data: PathBuf,
    marks: PathBuf,
}

const DATA: &str = ".part";
const MARKS: &str = ".marks";
const BUFFER_BYTES: usize = 256 << 10;
/// After so many bytes there is a mark.
const MARK_EVERY_BYTES: u64 = 1 << 20;
/// After so many bytes the data and the marks are synced.
const SYNC_EVERY_BYTES: u64 = 32 << 20;

impl Partial {
    /// Goes on with what an earlier process has left of `meta`, or begins.
    pub(super) fn open(
        directory: &Directory,
        meta: &SnapshotMeta,
        owner: u64,
    ) -> Result<Self, StoreError> {
        let paths = Paths::of(directory, meta.id());
        let place = paths.data.display().to_string();
        let misuse = |error: codec::CodecError| StoreError::Misuse {
            place: place.clone(),
            detail: error.to_string(),
        };
        let (head, head_check) = format::head(&meta.header).map_err(misuse)?;
        let marks_head = marks_head(meta).map_err(misuse)?;
        let found = paths.found(&head, &marks_head);
        let found = found.map_err(StoreError::io(&place, "verify what has arrived"))?;
        for other in leftovers(directory)? {
            if other != meta.id() || found.is_none() {
                Paths::of(directory, other).remove()?;
            }
        }
        let kept = found.unwrap_or_default();
        let opened = paths.open_at(&head, &marks_head, kept);
        let (data, marks) = opened.map_err(StoreError::io(&place, "open"))?;
        sync_directory(&directory.path)?;
        Ok(Self {
            meta: meta.clone(),
            kept: kept.kept,
            owner,
            paths,
            data: BufWriter::with_capacity(BUFFER_BYTES, data),
            marks,
            head_check,
            marked: kept.kept.size,
            synced: kept.kept.size,
            has_failed: false,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        let written = self.data.write_all(bytes).and_then(|()| {
            self.kept.add(bytes);
            if self.kept.size - self.marked >= MARK_EVERY_BYTES {
                self.mark(SYNC_EVERY_BYTES)
            } else {
                Ok(())
            }
        });
        self.has_failed = written.is_err();
        written
    }

    /// The stream was cut off: what has arrived is made durable.
    pub(super) fn pause(&mut self) {
        if !self.has_failed {
            // What is not on the disk is received again.
            self.has_failed = self.mark(1).is_err();
        }
    }

    /// All is there: writes what stands after the data.
    pub(super) fn complete(&mut self) -> Result<PathBuf, StoreError> {
        let place = self.paths.data.display().to_string();
        if self.has_failed || !self.kept.is_all_of(&self.meta) {
            return Err(StoreError::Misuse {
                place,
                detail: format!("{} is not all there", self.meta),
            });
        }
        let trailer = format::trailer(self.head_check, self.kept.size, self.kept.checksum);
        self.data
            .write_all(&trailer)
            .and_then(|()| self.data.flush())
            .map_err(StoreError::io(place, "write"))?;
        Ok(self.paths.data.clone())
    }

    /// The data has become a finished snapshot.
    pub(super) fn remove_marks(&self) {
        // What stays behind if this fails is removed at the next open.
        let _ = fs::remove_file(&self.paths.marks);
    }

    /// Nobody will go on with it.
    pub(super) fn discard(self) {
        // As above.
        let _ = fs::remove_file(&self.paths.data);
        self.remove_marks();
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.has_failed
    }

    fn mark(&mut self, sync_every: u64) -> io::Result<()> {
        self.data.flush()?;
        self.marks.write_all(&encode_mark(self.kept))?;
        self.marked = self.kept.size;
        if self.marked - self.synced >= sync_every {
            self.data.get_ref().sync_data()?;
            self.marks.sync_data()?;
            self.synced = self.marked;
        }
        Ok(())
    }
}

/// Leaves one part at most, and none that a finished snapshot has overtaken.
pub(super) fn remove_all_but_newest(directory: &Directory) -> Result<(), StoreError> {
    let mut found = leftovers(directory)?;
    found.sort_by_key(|id| (id.index, id.term));
    let newest = found.pop();
    for id in found {
        Paths::of(directory, id).remove()?;
    }
    if let Some(id) = newest
        && directory
            .newest_finished()?
            .is_some_and(|finished| finished.index >= id.index)
    {
        Paths::of(directory, id).remove()?;
    }
    Ok(())
}

/// The parts in the directory, by their names.
fn leftovers(directory: &Directory) -> Result<Vec<LogId>, StoreError> {
    let mut found = Vec::new();
    for name in directory.names()? {
        let stem = name.strip_suffix(DATA).or(name.strip_suffix(MARKS));
        found.extend(stem.and_then(parse_stem));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

impl Paths {
    fn of(directory: &Directory, id: LogId) -> Self {
        let named = |suffix| directory.path.join(format!("{}{suffix}", stem(id)));
        Self {
            data: named(DATA),
            marks: named(MARKS),
        }
    }

    /// What is there and agrees with its marks. `None` if it is nothing, or not of this snapshot.
    fn found(&self, head: &[u8], marks_head: &[u8]) -> io::Result<Option<Found>> {
        let (Some(mut marks), Some(mut data)) = (self.existing_marks()?, self.existing_data()?)
        else {
            return Ok(None);
        };
        Found::read((&mut marks, marks_head), (&mut data, head))
    }

    fn existing_data(&self) -> io::Result<Option<File>> {
        existing(File::open(&self.data))
    }

    fn existing_marks(&self) -> io::Result<Option<io::BufReader<File>>> {
        Ok(existing(File::open(&self.marks))?.map(io::BufReader::new))
    }

    /// Both files, cut off behind what was found, ready to go on.
    fn open_at(&self, head: &[u8], marks_head: &[u8], found: Found) -> io::Result<(File, File)> {
        let open = |path: &PathBuf, head: &[u8], rest: u64| {
            let mut options = File::options();
            let options = options.create(true).truncate(false).write(true);
            let mut file = options.open(path)?;
            if rest == 0 {
                file.set_len(0)?;
                file.write_all(head)?;
            } else {
                file.set_len(head.len() as u64 + rest)?;
                file.seek(SeekFrom::End(0))?;
            }
            Ok::<File, io::Error>(file)
        };
        let data = open(&self.data, head, found.kept.size)?;
        let marks = open(&self.marks, marks_head, found.marks * MARK_BYTES as u64)?;
        Ok((data, marks))
    }

    fn remove(&self) -> Result<(), StoreError> {
        for path in [&self.data, &self.marks] {
            if path.exists() {
                remove(path)?;
            }
        }
        Ok(())
    }
}

fn existing(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
