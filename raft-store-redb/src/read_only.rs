//! Opens a directory to look into it, and leaves every byte as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use raft_core::entry::Entry;
use raft_core::id::LogIndex;
use raft_core::store::{
    DirectoryLock, FloorMark, LogReader, ReadOnlySnapshots, ReadOnlyStores, StableKey, StoreError,
};
use redb::ReadableDatabase;

use crate::config::RedbConfig;
use crate::database;
use crate::error::guarded;
use crate::open::{Paths, exists, missing_floor};
use crate::reader::read_range;

pub(crate) use self::overlay::Overlay;

/// Opens the stores in `directory` for reading. They must not be open elsewhere, and no node can open
/// them before the value is dropped; several may look at once.
///
/// Verifies the whole database, like every opening, and shows what a start would find.
///
/// # Errors
/// [`StoreError::InUse`] if a node has the directory open, [`StoreError::Damaged`] if anything in it is
/// not what was written or is missing, [`StoreError::Io`], also if there is no database.
pub fn open_read_only(
    directory: impl AsRef<Path>,
    config: &RedbConfig,
) -> Result<ReadOnlyStores, StoreError> {
    let directory = directory.as_ref();
    let lock = DirectoryLock::share(directory)?;
    let paths = Paths::new(directory);
    let place = paths.database.display().to_string();
    let file = File::open(&paths.database);
    let overlay = file
        .and_then(Overlay::new)
        .map_err(StoreError::io(&place, "open"))?;
    let (redb, commits, bounds) = database::open_checked(&place, overlay, config)?;
    let last = bounds.last;
    let found = FloorMark { commits, last };
    match exists(&paths.floor)? {
        true => FloorMark::read(&paths.floor)?.check(&place, found)?,
        false if commits > 0 => return Err(missing_floor(&paths.floor, commits)),
        false => {}
    }
    let looking = Looking {
        place,
        redb,
        _lock: lock,
    };
    let records = looking.records()?;
    let snapshots = Arc::new(ReadOnlySnapshots::open(&paths.snapshots)?);
    Ok(ReadOnlyStores::new(
        bounds,
        Box::new(looking),
        records,
        snapshots,
    ))
}

/// The database as it was found. Nothing commits to it.
struct Looking {
    place: String,
    redb: redb::Database,
    _lock: DirectoryLock,
}

impl Looking {
    fn records(&self) -> Result<BTreeMap<StableKey, Vec<u8>>, StoreError> {
        let mut named = guarded(&self.place, "read the stable records", || {
            database::stable_records(&self.redb.begin_read()?, &self.place)
        })?;
        let known = StableKey::ALL.into_iter();
        Ok(known
            .filter_map(|key| Some((key, named.remove(key.name())?)))
            .collect())
    }
}

impl LogReader for Looking {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        guarded(&self.place, "read entries", || {
            read_range(&self.redb.begin_read()?, &self.place, range, bytes_max)
        })
    }
}

/// A file that is only read, under everything that is written to it.
mod overlay {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use redb::StorageBackend;

    /// Takes redb's writes into memory: a database has to be written to while it is opened, and the file
    /// must stay as it is. What is written is little, for nothing is committed: a mark that the database is
    /// open, and after a crash what redb rebuilds.
    #[derive(Debug)]
    pub(crate) struct Overlay(Mutex<Image>);

    #[derive(Debug)]
    struct Image {
        file: File,
        /// How much of the file is seen; beyond it, up to the length, are zeros.
        seen: u64,
        length: u64,
        /// Blocks that were written, each whole.
        written: BTreeMap<u64, Vec<u8>>,
    }

    const BLOCK: u64 = 4096;

    impl Overlay {
        /// Lays it over a file that is open for reading.
        pub(crate) fn new(file: File) -> io::Result<Self> {
            let length = file.metadata()?.len();
            Ok(Self(Mutex::new(Image {
                file,
                seen: length,
                length,
                written: BTreeMap::new(),
            })))
        }

        fn image(&self) -> MutexGuard<'_, Image> {
            // A panic leaves at worst a block written in part, and the database is then not used any more.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Image {
        /// The bytes from `offset` on, of one block.
        fn read_block(&mut self, block: u64) -> io::Result<Vec<u8>> {
            if let Some(written) = self.written.get(&block) {
                return Ok(written.clone());
            }
            let mut bytes = vec![0; to_memory(BLOCK)];
            let start = block * BLOCK;
            let there = self.seen.saturating_sub(start).min(BLOCK);
            self.file.seek(SeekFrom::Start(start))?;
            let part = bytes.get_mut(..to_memory(there)).unwrap_or_default();
            self.file.read_exact(part)?;
            Ok(bytes)
        }

        fn check_range(&self, offset: u64, length: usize) -> io::Result<()> {
            match offset.checked_add(length as u64) {
                Some(end) if end <= self.length => Ok(()),
                Some(_) | None => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            }
        }
    }

    /// The blocks that a range touches: each with where it begins in the block, where in the range, and how
    /// far it goes.
    fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
        let end = offset + length as u64;
        let mut at = offset;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (block, within) = (at / BLOCK, at % BLOCK);
            let count = (BLOCK - within).min(end - at);
            let piece = (
                block,
                to_memory(within),
                to_memory(at - offset),
                to_memory(count),
            );
            at += count;
            Some(piece)
        })
    }

    /// Of numbers that are at most a block, or the length of a slice.
    fn to_memory(number: u64) -> usize {
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    impl StorageBackend for Overlay {
        fn len(&self) -> io::Result<u64> {
            Ok(self.image().length)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let mut image = self.image();
            image.check_range(offset, out.len())?;
            for (block, within, from, count) in pieces(offset, out.len()) {
                let bytes = image.read_block(block)?;
                let source = bytes.get(within..within + count).unwrap_or_default();
                if let Some(target) = out.get_mut(from..from + count) {
                    target.copy_from_slice(source);
                }
            }
            Ok(())
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            let mut image = self.image();
            if length < image.length {
                // Cut and extended again, there are zeros.
                image.seen = image.seen.min(length);
                let (last, rest) = (length / BLOCK, to_memory(length % BLOCK));
                image.written.split_off(&length.div_ceil(BLOCK));
                if let Some(bytes) = image.written.get_mut(&last) {
                    bytes.get_mut(rest..).unwrap_or_default().fill(0);
                }
            }
            image.length = length;
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let mut image = self.image();
            image.check_range(offset, data.len())?;
            for (block, within, from, count) in pieces(offset, data.len()) {
                let mut bytes = image.read_block(block)?;
                let source = data.get(from..from + count).unwrap_or_default();
                if let Some(target) = bytes.get_mut(within..within + count) {
                    target.copy_from_slice(source);
                }
                image.written.insert(block, bytes);
            }
            Ok(())
        }
    }

    #[cfg(test)]
    mod overlay_tests {
        use std::io::Write;

        use super::*;

        /// An overlay over 10,000 bytes that all differ from their neighbours.
        fn over_a_file() -> (Vec<u8>, Overlay) {
            let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            (bytes, Overlay::new(file).unwrap())
        }

        fn read(overlay: &Overlay, offset: usize, length: usize) -> Vec<u8> {
            let mut out = vec![0; length];
            overlay.read(offset as u64, &mut out).unwrap();
            out
        }

        #[test]
        fn writes_are_read_back_over_what_lies_below() {
            let (mut expected, overlay) = over_a_file();
            for (offset, length) in [
                (0, 3),
                (4_090, 20),
                (4_096, 4_096),
                (9_990, 10),
                (100, 9_000),
            ] {
                let data = vec![0xee; length];
                overlay.write(offset as u64, &data).unwrap();
                expected[offset..offset + length].copy_from_slice(&data);
                assert_eq!(read(&overlay, 0, 10_000), expected, "{offset} {length}");
                assert_eq!(read(&overlay, offset + 1, length - 2), data[2..]);
            }
            let mut below = vec![0; 10_000];
            let image = overlay.0.into_inner().unwrap();
            let mut file = image.file;
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_exact(&mut below).unwrap();
            assert_eq!(below, over_a_file().0, "the file is as it was");
        }

        #[test]
        fn what_was_cut_off_comes_back_as_zeros() {
            let (expected, overlay) = over_a_file();
            overlay.write(8_000, &[0xee; 500]).unwrap();
            overlay.set_len(8_100).unwrap();
            assert!(
                overlay.read(8_000, &mut [0; 101]).is_err(),
                "beyond the end"
            );
            assert!(overlay.write(8_000, &[0; 101]).is_err(), "beyond the end");
            overlay.set_len(20_000).unwrap();
            assert_eq!(overlay.len().unwrap(), 20_000);
            assert_eq!(read(&overlay, 0, 8_000), expected[..8_000]);
            assert_eq!(read(&overlay, 8_000, 100), [0xee; 100]);
            assert_eq!(read(&overlay, 8_100, 11_900), vec![0; 11_900]);
        }
    }
}
