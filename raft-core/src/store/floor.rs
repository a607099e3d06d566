//! The floor: a small file, apart from the database, that remembers how far the store had got.
//!
//! A database that lost its newest commit, or was replaced by an older copy, looks intact. Raft
//! cannot live with that: what was acknowledged must still be there, or the node must know that it
//! is not. So the store counts its commits in the database, and after each one writes the count
//! here. Found below its floor, the database is damaged.
//!
//! ```text
//!  0                    4096                 8192
//!  | slot of even counts | slot of odd counts |
//!
//!  slot: | "floor" (8) | version (4) | count (8) | index (8) | term (8) | check (4) | crc32c (4) |
//! ```
//!
//! All numbers are little-endian; index, term and check are those of the log's last entry. The two
//! slots are written in turn, so a torn write spoils only the newest mark.
//!
//! The hot path does not sync this file. What that means:
//!
//! | what happened | the floor |
//! |---|---|
//! | the process was killed, or closed the store | names the last commit: any loss is noticed |
//! | the power failed | names the last commit that the system wrote back by itself (Linux: usually at most half a minute old), or that a purge or an opening has synced: a loss after that is not noticed |

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::directory::publish;
use super::{DirectoryLock, StoreError};
use crate::id::{ChainLink, LogId, LogIndex, Term};

/// The open floor file. One thread owns it; calls may block.
#[derive(Debug)]
pub struct Floor {
    path: PathBuf,
    file: File,
    mark: FloorMark,
}

/// How far a store has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloorMark {
    /// How many commits were made durable in the store's life.
    pub commits: u64,
    /// The last entry of the log after them.
    pub last: ChainLink,
}

impl Floor {
    /// Creates the file at `path` with a floor of zero, durably: aside, then renamed. Whoever
    /// holds the directory's lock may do so.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(path: &Path, _lock: &DirectoryLock) -> Result<Self, StoreError> {
        let aside = path.with_extension("tmp");
        let mut bytes = slot(FloorMark::default());
        bytes.resize(SLOT_BYTES, 0);
        bytes.extend_from_slice(&slot(FloorMark::default()));
        bytes.resize(2 * SLOT_BYTES, 0);
        let place = aside.display().to_string();
        fs::write(&aside, bytes).map_err(StoreError::io(place, "write"))?;
        publish(&aside, path)?;
        Self::open(path)
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if neither slot is intact, [`StoreError::Format`] if an intact one
    /// has another version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(StoreError::io(&place, "open"))?;
        let mark = newest_mark(&mut file, &place)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            mark,
        })
    }

    /// The greatest mark that is known.
    pub fn mark(&self) -> FloorMark {
        self.mark
    }

    /// Raises the floor, not durably. A mark that is no higher changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn raise(&mut self, mark: FloorMark) -> Result<(), StoreError> {
        if mark.commits <= self.mark.commits {
            return Ok(());
        }
        let at = (mark.commits % 2) * SLOT_BYTES as u64;
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.write_all(&slot(mark)))
            .map_err(StoreError::io(self.path.display().to_string(), "write"))?;
        self.mark = mark;
        Ok(())
    }

    /// Makes the floor durable.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_data()
            .map_err(StoreError::io(self.path.display().to_string(), "sync"))
    }
}

impl FloorMark {
    /// The greatest mark of the file at `path`, which is left as it is.
    ///
    /// # Errors
    /// As [`Floor::open`].
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let mut file = File::open(path).map_err(StoreError::io(&place, "open"))?;
        newest_mark(&mut file, &place)
    }

    /// Holds what was `found` in the database at `place` against this mark.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if commits are missing.
    pub fn check(self, place: &str, found: Self) -> Result<(), StoreError> {
        if self.commits < found.commits || self == found {
            return Ok(());
        }
        let detail = format!(
            "commit {} was made durable, with the log through {}; found is commit {}, with the log through {}",
            self.commits, self.last, found.commits, found.last
        );
        Err(StoreError::damaged(place, "the latest commits", &detail))
    }
}

trait Newest {
    fn max_by_commits(self, mark: FloorMark) -> Self;
}

impl Newest for Option<FloorMark> {
    fn max_by_commits(self, mark: FloorMark) -> Self {
        match self {
            Some(other) if other.commits > mark.commits => Some(other),
            Some(_) | None => Some(mark),
        }
    }
}

const MAGIC: [u8; 8] = *b"floor\0\0\0";
const VERSION: u32 = 1;
/// No device writes more than this at once, so that the slots do not tear together.
const SLOT_BYTES: usize = 4096;
const MARK_BYTES: usize = MAGIC.len() + 4 + 8 + 8 + 8 + 4 + 4;

fn slot(mark: FloorMark) -> Vec<u8> {
    let mut slot = MAGIC.to_vec();
    slot.extend_from_slice(&VERSION.to_le_bytes());
    slot.extend_from_slice(&mark.commits.to_le_bytes());
    slot.extend_from_slice(&mark.last.id.index.get().to_le_bytes());
    slot.extend_from_slice(&mark.last.id.term.get().to_le_bytes());
    slot.extend_from_slice(&mark.last.checksum.to_le_bytes());
    slot.extend_from_slice(&crc32c::crc32c(&slot).to_le_bytes());
    slot
}

/// The greater of the two marks, of those that are intact.
fn newest_mark(file: &mut File, place: &str) -> Result<FloorMark, StoreError> {
    let mut newest = None;
    for at in [0, SLOT_BYTES as u64] {
        let found = read_slot(file, at).map_err(StoreError::io(place, "read"))?;
        let mark = match found {
            Some(Ok(mark)) => mark,
            Some(Err(version)) => {
                return Err(StoreError::Format {
                    place: place.to_owned(),
                    found: version.to_string(),
                    known: VERSION.to_string(),
                });
            }
            None => continue,
        };
        newest = newest.max_by_commits(mark);
    }
    let detail = "neither slot matches its checksum";
    newest.ok_or_else(|| StoreError::damaged(place, "the floor", &detail))
}

/// The mark at `at`, the version if it is another one, or nothing if the slot is not intact.
fn read_slot(file: &mut File, at: u64) -> io::Result<Option<Result<FloorMark, u32>>> {
    let mut bytes = [0; MARK_BYTES];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    Ok(parse_slot(&bytes))
}

fn parse_slot(bytes: &[u8; MARK_BYTES]) -> Option<Result<FloorMark, u32>> {
    let (checked, check) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*check) {
        return None;
    }
    let (magic, rest) = checked.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (commits, rest) = rest.split_first_chunk::<8>()?;
    let (index, rest) = rest.split_first_chunk::<8>()?;
    let (term, checksum) = rest.split_first_chunk::<8>()?;
    let version = u32::from_le_bytes(*version);
    if *magic != MAGIC {
        return None;
    }
    if version != VERSION {
        return Some(Err(version));
    }
    Some(Ok(FloorMark {
        commits: u64::from_le_bytes(*commits),
        last: ChainLink {
            id: LogId::new(
                Term::new(u64::from_le_bytes(*term)),
                LogIndex::new(u64::from_le_bytes(*index)),
            ),
            checksum: u32::from_le_bytes(*checksum.first_chunk()?),
        },
    }))
}

const _: () = assert!(MARK_BYTES == 44, "the slot's size is part of the format");

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn mark(commits: u64) -> FloorMark {
        let id = LogId::new(Term::new(3), LogIndex::new(commits * 10));
        FloorMark {
            commits,
            last: ChainLink { id, checksum: 7 },
        }
    }

    fn new_floor() -> (TempDir, PathBuf, Floor) {
        let directory = TempDir::new().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let path = directory.path().join("floor");
        let floor = Floor::create(&path, &lock).unwrap();
        (directory, path, floor)
    }

    #[test]
    fn the_floor_is_found_again_and_never_falls() {
        let (_directory, path, mut floor) = new_floor();
        assert_eq!(floor.mark(), FloorMark::default());
        for commits in [1, 2, 3, 2] {
            floor.raise(mark(commits)).unwrap();
        }
        floor.sync().unwrap();
        assert_eq!(Floor::open(&path).unwrap().mark(), mark(3));
        assert_eq!(FloorMark::read(&path).unwrap(), mark(3));
    }

    #[test]
    fn a_torn_write_costs_only_the_newest_mark() {
        let (_directory, path, mut floor) = new_floor();
        floor.raise(mark(4)).unwrap();
        let before = fs::read(&path).unwrap();
        floor.raise(mark(5)).unwrap();
        let after = fs::read(&path).unwrap();
        for torn in 0..=MARK_BYTES {
            let mut bytes = before.clone();
            let written = SLOT_BYTES..SLOT_BYTES + torn;
            bytes[written.clone()].copy_from_slice(&after[written]);
            fs::write(&path, bytes).unwrap();
            let commits = Floor::open(&path).unwrap().mark().commits;
            assert!(commits == 4 || torn == MARK_BYTES && commits == 5);
        }
    }

    #[test]
    fn two_spoilt_slots_are_damage_and_not_a_floor_of_zero() {
        let (_directory, path, mut floor) = new_floor();
        floor.raise(mark(1)).unwrap();
        let intact = fs::read(&path).unwrap();
        for at in 0..MARK_BYTES {
            let mut bytes = intact.clone();
            bytes[at] ^= 1;
            bytes[SLOT_BYTES + at] ^= 0x80;
            fs::write(&path, bytes).unwrap();
            assert!(Floor::open(&path).unwrap_err().is_damage());
        }
        for length in [0, 10, MARK_BYTES - 1] {
            fs::write(&path, &intact[..length]).unwrap();
            assert!(Floor::open(&path).unwrap_err().is_damage());
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let (_directory, path, mut floor) = new_floor();
        floor.raise(mark(3)).unwrap();
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len(), 8192);
        let fields = [
            &b"floor\0\0\0\x01\0\0\0"[..],
            &3_u64.to_le_bytes(),
            &30_u64.to_le_bytes(),
            &3_u64.to_le_bytes(),
            &7_u32.to_le_bytes(),
        ];
        let slot = fields.concat();
        assert_eq!(bytes[4096..4136], slot);
        assert_eq!(bytes[4136..4140], crc32c::crc32c(&slot).to_le_bytes());
    }
}
