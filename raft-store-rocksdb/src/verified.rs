//! The log of writes, verified before RocksDB replays it.
//!
//! RocksDB stops its replay at the first record that is not intact, and takes what follows for
//! never written. That is right for the end of a log that a crash tore, and wrong for a bit that
//! flipped before it. Here the two are told apart: each commit is one record, and is synced before
//! the next is written, so a crash tears the last one alone. If a whole record stands anywhere
//! behind a broken one, the broken one was once acknowledged.
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
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use raft_core::store::StoreError;

/// Checks the logs of writes of the database in `directory`.
///
/// # Errors
/// [`StoreError::Damaged`] if a record is broken and a whole one follows, [`StoreError::Io`].
pub(crate) fn verify(directory: &Path) -> Result<(), StoreError> {
    let mut scan = Scan::default();
    for path in logs(directory)? {
        let place = path.display().to_string();
        let rotten = scan
            .file(&path)
            .map_err(StoreError::io(&place, "read the log of writes"))?;
        if let Some(broken) = rotten {
            let what = format!("byte {}", broken.at);
            let detail = "the record there is broken, and whole ones follow";
            let place = broken.path.display().to_string();
            return Err(StoreError::damaged(place, what, &detail));
        }
    }
    Ok(())
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
    /// The first broken record.
    broken: Option<Broken>,
    /// Whether a record has begun and not ended.
    begun: bool,
}

/// Where a record is not intact.
#[derive(Clone)]
struct Broken {
    path: PathBuf,
    at: u64,
}

impl Scan {
    /// Reads one more file. Returns the broken record if a whole one stands behind it.
    fn file(&mut self, path: &Path) -> io::Result<Option<Broken>> {
        let mut file = File::open(path)?;
        let mut block = Vec::with_capacity(BLOCK);
        let mut at = 0;
        self.begun = false;
        loop {
            block.clear();
            file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            let whole_behind = self.block(path, at, &block);
            if whole_behind {
                return Ok(self.broken.clone());
            }
            if block.len() < BLOCK {
                break;
            }
            at += BLOCK as u64;
        }
        if self.begun {
            self.broke(path, at + block.len() as u64);
        }
        Ok(None)
    }

    /// Reads one block, which begins at byte `at`. Returns whether a whole record stands behind a
    /// broken one.
    fn block(&mut self, path: &Path, at: u64, block: &[u8]) -> bool {
        let mut rest = block;
        while rest.len() >= HEADER {
            let Some(fragment) = Fragment::parse(rest) else {
                self.broke(path, at + (block.len() - rest.len()) as u64);
                // The length may be what is broken: the next one begins anywhere.
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            if self.take(path, at + (block.len() - rest.len()) as u64, &fragment) {
                return true;
            }
            rest = rest.get(HEADER + fragment.data.len()..).unwrap_or_default();
        }
        // A file that ends within a header was torn there. In a full block it is padding.
        if block.len() < BLOCK && !rest.is_empty() {
            self.broke(path, at + (block.len() - rest.len()) as u64);
        }
        false
    }

    /// Takes an intact fragment. Returns whether it completes a record behind a broken one.
    fn take(&mut self, path: &Path, at: u64, fragment: &Fragment<'_>) -> bool {
        let completes = match fragment.kind {
            WHOLE | BEGINNING if self.begun => {
                self.broke(path, at);
                self.begun = fragment.kind == BEGINNING;
                fragment.kind == WHOLE
            }
            WHOLE => true,
            BEGINNING => {
                self.begun = true;
                false
            }
            MIDDLE | END if !self.begun => {
                self.broke(path, at);
                false
            }
            END => {
                self.begun = false;
                true
            }
            // The middle of a record, or a remark of RocksDB about the file.
            _ => false,
        };
        completes && self.broken.is_some() && !fragment.is_empty_batch()
    }

    fn broke(&mut self, path: &Path, at: u64) {
        // In the middle of searching, what is broken is known already.
        self.begun = false;
        self.broken.get_or_insert_with(|| Broken {
            path: path.to_path_buf(),
            at,
        });
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
        let found = crc32c::crc32c_append(crc32c::crc32c(&[*kind]), data);
        (mask(found) == u32::from_le_bytes(*expected)).then_some(Self { kind: *kind, data })
    }

    /// Whether it is the record with no changes that RocksDB writes into each new log: a number
    /// of eight bytes, and how many changes follow.
    fn is_empty_batch(&self) -> bool {
        self.kind == WHOLE && self.data.len() == 12 && self.data.ends_with(&[0; 4])
    }
}

/// How checksums stand in the file: RocksDB turns them so that they do not check themselves.
fn mask(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

const NOT_WRITTEN: u8 = 0;
const WHOLE: u8 = 1;
const BEGINNING: u8 = 2;
const MIDDLE: u8 = 3;
const END: u8 = 4;
