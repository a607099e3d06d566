//! The log of writes and the list of tables, verified and trimmed before RocksDB reads them.
//!
//! RocksDB's modes of replay either refuse an end that a crash tore, or take a bit that flipped
//! for such an end, and drop what follows in silence. Here the two are told apart: each commit is
//! one record, and is synced before the next is written, so a crash tears the last one alone. If a
//! whole record stands anywhere behind a broken one, the broken one was once acknowledged: that is
//! damage. Otherwise the broken end is cut off, and RocksDB replays in its strictest mode.
//!
//! The list of tables (the manifest) has the same form, and the same is done with it: RocksDB 11.8 reads
//! some of those in which a bit has flipped for ever. What its end loses is missed by the floor.
//!
//! ```text
//!  a file is blocks of 32 KiB, a block is fragments and fewer than 7 bytes of padding
//!
//!  | crc32c, masked (4) | length (2) | kind (1) | length bytes |
//!
//!  kind: 1 a whole record, 2 its beginning, 3 its middle, 4 its end; 0 not written yet
//! ```

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use raft_core::store::{StoreError, create_directory, publish};

use crate::open::remove_directory;

/// Checks the list of tables and the logs of writes of the database in `directory`, and cuts off what a
/// crash tore.
///
/// # Errors
/// [`StoreError::Damaged`] if a record is broken and a whole one follows, [`StoreError::Io`].
pub(crate) fn verify(directory: &Path) -> Result<(), StoreError> {
    let tables = manifest(directory).into_iter();
    let mut torn = verify_files(tables, "read the list of tables")?;
    torn.extend(verify_files(logs(directory)?, "read the log of writes")?);
    cut_off(directory, &torn)
}

/// The broken ends of files that were written one after the other.
fn verify_files(
    paths: impl IntoIterator<Item = PathBuf>,
    operation: &'static str,
) -> Result<Vec<Broken>, StoreError> {
    let mut scan = Scan::default();
    for path in paths {
        let place = path.display().to_string();
        scan.file(&path).map_err(StoreError::io(place, operation))?;
    }
    if let (true, Some(first)) = (scan.whole_behind, scan.broken.first()) {
        let place = first.path.display().to_string();
        let what = format!("byte {}", first.at);
        let detail = "the record there is broken, and whole ones follow";
        return Err(StoreError::damaged(place, what, &detail));
    }
    Ok(scan.broken)
}

/// Whether an end was torn, or acknowledged once, is known when the database is open, by its floor. So
/// the ends are kept for who has to look into that.
fn cut_off(database: &Path, ends: &[Broken]) -> Result<(), StoreError> {
    if ends.is_empty() {
        return Ok(());
    }
    let kept = database.with_file_name(TORN);
    let aside = database.with_file_name("torn.tmp");
    remove_directory(&aside)?;
    create_directory(&aside)?;
    for torn in ends {
        let place = torn.path.display().to_string();
        keep(torn, &aside).map_err(StoreError::io(place, "keep a torn end"))?;
    }
    remove_directory(&kept)?;
    publish(&aside, &kept)?;
    for torn in ends {
        let place = torn.path.display().to_string();
        cut(torn).map_err(StoreError::io(place, "cut off a torn end"))?;
    }
    Ok(())
}

/// Where the ends go that were cut off, beside the database: those of the last time.
pub(crate) const TORN: &str = "torn";

/// Leaves only what is whole in the logs of writes of a damaged database, or rather of a copy of one.
/// RocksDB, in every mode of replay, skips the rest of the block in which it finds a broken record.
///
/// # Errors
/// [`StoreError::Io`].
pub(crate) fn leave_whole_records(directory: &Path) -> Result<(), StoreError> {
    for path in logs(directory)? {
        let place = path.display().to_string();
        let bytes = fs::read(&path).map_err(StoreError::io(&place, "read the log of writes"))?;
        fs::write(&path, whole_records(&bytes)).map_err(StoreError::io(&place, "write"))?;
    }
    Ok(())
}

/// A log of writes that holds what is whole in this one.
fn whole_records(log: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(log.len());
    let mut begun: Option<Vec<u8>> = None;
    for block in log.chunks(BLOCK) {
        for (_, fragment) in (Fragments { block, at: 0 }) {
            let (kind, data) = fragment.map_or((NOT_WRITTEN, &[][..]), |it| (it.kind, it.data));
            match (kind, begun.take()) {
                (WHOLE, _) => put_record(&mut kept, data),
                (BEGINNING, _) => begun = Some(data.to_vec()),
                (MIDDLE, Some(before)) => begun = Some([&before, data].concat()),
                (END, Some(before)) => put_record(&mut kept, &[&before, data].concat()),
                (NOT_WRITTEN | MIDDLE | END, _) => {}
                // RocksDB's remarks about the file.
                (_, before) => begun = before,
            }
        }
    }
    kept
}

/// Writes a record behind those that are in `log`.
fn put_record(log: &mut Vec<u8>, record: &[u8]) {
    let mut rest = record;
    let mut is_first = true;
    loop {
        let room = BLOCK - log.len() % BLOCK;
        let Some(room) = room.checked_sub(HEADER) else {
            log.resize(log.len() + room, 0);
            continue;
        };
        let (data, later) = rest.split_at(rest.len().min(room));
        let kind = match (is_first, later.is_empty()) {
            (true, true) => WHOLE,
            (true, false) => BEGINNING,
            (false, false) => MIDDLE,
            (false, true) => END,
        };
        log.extend(checksum(kind, data).to_le_bytes());
        // The others are zero: it is less than a block.
        let [low, high, ..] = data.len().to_le_bytes();
        log.extend([low, high, kind]);
        log.extend(data);
        if later.is_empty() {
            break;
        }
        (rest, is_first) = (later, false);
    }
}

fn keep(torn: &Broken, directory: &Path) -> io::Result<()> {
    let mut file = File::open(&torn.path)?;
    file.seek(SeekFrom::Start(torn.at))?;
    let name = torn.path.file_name().unwrap_or_default();
    io::copy(&mut file, &mut File::create(directory.join(name))?)?;
    Ok(())
}

fn cut(torn: &Broken) -> io::Result<()> {
    let file = File::options().write(true).open(&torn.path)?;
    file.set_len(torn.at)?;
    file.sync_all()
}

/// The list of tables that counts. If none does, RocksDB says so.
fn manifest(directory: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(directory.join("CURRENT")).ok()?;
    let path = directory.join(name.trim_end());
    let is_here = path.parent() == Some(directory) && path.is_file();
    is_here.then_some(path)
}

/// The logs of writes, in the order in which they were written. What is missing, RocksDB notices.
fn logs(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let place = directory.display().to_string();
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) => return Err(StoreError::io(place, "list")(error)),
    };
    let mut logs = Vec::new();
    for item in listed {
        let path = item.map_err(StoreError::io(&place, "list"))?.path();
        let number = path.file_stem().and_then(OsStr::to_str);
        let number = number.and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(OsStr::to_str)) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// How far the logs were read.
#[derive(Default)]
struct Scan {
    /// The first broken record of each file that has one.
    broken: Vec<Broken>,
    /// Whether a whole record stands behind a broken one.
    whole_behind: bool,
    /// Where the record began that has not ended yet.
    begun: Option<u64>,
}

/// A record that is not intact.
struct Broken {
    path: PathBuf,
    at: u64,
}

impl Scan {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut block = Vec::with_capacity(BLOCK);
        let mut at = 0;
        loop {
            block.clear();
            file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            self.block(path, at, &block);
            at += block.len() as u64;
            if block.len() < BLOCK {
                break;
            }
        }
        if self.begun.is_some() {
            self.broke(path, at);
        }
        Ok(())
    }

    /// Reads one block, which begins at byte `at`.
    fn block(&mut self, path: &Path, at: u64, block: &[u8]) {
        for (offset, fragment) in (Fragments { block, at: 0 }) {
            let at = at + offset as u64;
            match fragment {
                Some(fragment) => self.take(path, at, &fragment),
                None => self.broke(path, at),
            }
        }
    }

    /// Takes the intact fragment at byte `at`.
    fn take(&mut self, path: &Path, at: u64, fragment: &Fragment<'_>) {
        let begins = matches!(fragment.kind, WHOLE | BEGINNING);
        let goes_on = matches!(fragment.kind, MIDDLE | END);
        if begins && self.begun.is_some() || goes_on && self.begun.is_none() {
            self.broke(path, at);
        }
        let completes = match fragment.kind {
            BEGINNING => {
                self.begun = Some(at);
                false
            }
            END => self.begun.take().is_some(),
            // The others are middles, and RocksDB's remarks about the file.
            kind => kind == WHOLE,
        };
        let commits = completes && !fragment.is_empty_batch();
        self.whole_behind |= commits && !self.broken.is_empty();
    }

    /// The record at byte `at` is broken, or the one that has begun before and goes on there.
    fn broke(&mut self, path: &Path, at: u64) {
        let at = self.begun.take().unwrap_or(at);
        if self.broken.last().is_none_or(|last| last.path != path) {
            let path = path.to_path_buf();
            self.broken.push(Broken { path, at });
        }
    }
}

/// What stands in a block: at which byte, and nothing where it is broken.
struct Fragments<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fragments<'a> {
    type Item = (usize, Option<Fragment<'a>>);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = self.block.get(at..)?;
        if rest.len() < HEADER {
            self.at = self.block.len();
            // A file that ends within a header was torn there. In a full block it is padding.
            let is_torn = self.block.len() < BLOCK && !rest.is_empty();
            return is_torn.then_some((at, None));
        }
        let fragment = Fragment::parse(rest);
        // The length may be what is broken: the next one begins anywhere.
        self.at += fragment.as_ref().map_or(1, |it| HEADER + it.data.len());
        Some((at, fragment))
    }
}

/// An intact part of a record.
struct Fragment<'a> {
    kind: u8,
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The fragment at the front of `bytes`, if one stands there.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (expected, rest) = bytes.split_first_chunk::<4>()?;
        let ([low, high, kind], _) = rest.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let data = bytes.get(HEADER..HEADER + length)?;
        if *kind == NOT_WRITTEN {
            return None;
        }
        let is_intact = checksum(*kind, data) == u32::from_le_bytes(*expected);
        is_intact.then_some(Self { kind: *kind, data })
    }

    /// Whether it is the record with no changes that RocksDB writes into each new log: a number
    /// of eight bytes, and how many changes follow.
    fn is_empty_batch(&self) -> bool {
        self.kind == WHOLE && self.data.len() == 12 && self.data.ends_with(&[0; 4])
    }
}

/// The checksum of a fragment as it stands in the file: RocksDB turns it so that it does not check
/// itself.
fn checksum(kind: u8, data: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), data);
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

const NOT_WRITTEN: u8 = 0;
const WHOLE: u8 = 1;
const BEGINNING: u8 = 2;
const MIDDLE: u8 = 3;
const END: u8 = 4;
