//! A medium that remembers every write, and shows what a loss of power could leave of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Files by their names, and what is in them.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Files in memory that are written and synced as on a disk. A clone is another handle to them.
///
/// A backend plugs it in below its engine, in place of its files, and runs
/// [`crash_conformance!`](crate::crash_conformance) on it. What is modelled: a file's content is
/// durable when the file was synced; of what was written since, a loss of power leaves any part.
/// Names are durable at once: how a store creates, renames and removes files is tested on real
/// ones ([`super::files`], [`super::kill`]).
///
/// Calls may come from several threads.
#[derive(Clone, Debug, Default)]
pub struct Medium(Arc<Mutex<Disk>>);

/// One file of a [`Medium`]. A clone is another handle to it.
#[derive(Clone, Debug)]
pub struct MediumFile {
    medium: Medium,
    name: String,
}

#[derive(Debug, Default)]
struct Disk {
    /// What the running system sees.
    current: Files,
    /// What was durable when the recording began.
    base: Files,
    /// What was done since.
    recorded: Vec<Operation>,
    /// What was done before.
    recorded_from: usize,
    power_off_at: Option<usize>,
    is_next_sync_failing: bool,
    is_lying: bool,
}

#[derive(Clone, Debug)]
struct Operation {
    file: String,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    Sync,
    /// The system has given up what it could not write.
    FailedSync,
    /// A sync that says all is well, and does nothing.
    Lie,
}

/// What devices write at once, in bytes.
pub const SECTOR_BYTES: usize = 512;

impl Medium {
    /// Without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these files, all of them durable.
    pub fn holding(files: Files) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            base: files.clone(),
            current: files,
            ..Disk::default()
        })))
    }

    /// Opens a file; creates it if it is not there.
    pub fn file(&self, name: &str) -> MediumFile {
        let mut disk = self.disk();
        disk.current.entry(name.to_owned()).or_default();
        disk.base.entry(name.to_owned()).or_default();
        MediumFile {
            medium: self.clone(),
            name: name.to_owned(),
        }
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.disk().current.contains_key(name)
    }

    /// What the running system sees: what is left when the process is killed.
    pub fn files(&self) -> Files {
        self.disk().current.clone()
    }

    /// What is certain to be left when the power fails.
    pub fn synced_files(&self) -> Files {
        let disk = self.disk();
        let (mut files, mut unsynced) = (disk.base.clone(), Vec::new());
        for operation in &disk.recorded {
            settle(&mut files, &mut unsynced, operation);
        }
        files
    }

    /// How many operations there were: writes, changes of length, and syncs.
    pub fn operations(&self) -> usize {
        let disk = self.disk();
        disk.recorded_from + disk.recorded.len()
    }

    /// Everything so far becomes durable, and [`Medium::crashes`] begin here.
    pub fn start_recording(&self) {
        let mut disk = self.disk();
        disk.recorded_from += disk.recorded.len();
        disk.recorded.clear();
        disk.base = disk.current.clone();
    }

    /// What a loss of power at any moment since [`Medium::start_recording`] could have left: what was
    /// synced by then, and of the rest
    ///
    /// - nothing, each prefix, and all;
    /// - each prefix with the write after it torn at the border of a sector;
    /// - at each sync, some subsets of whole operations and of sectors, chosen by `seed`.
    pub fn crashes(&self, seed: u64) -> Crashes {
        let disk = self.disk();
        Crashes {
            files: disk.base.clone(),
            unsynced: Vec::new(),
            rest: disk.recorded.clone().into_iter(),
            operations: disk.recorded_from,
            shapes: VecDeque::new(),
            sync: None,
            has_ended: false,
            chance: Pcg64::seed_from_u64(seed),
        }
    }

    /// The power fails now. Returns the medium that is found afterwards: which unsynced operations
    /// have reached it is chosen by `seed`.
    pub fn power_cut(&self, seed: u64) -> Self {
        let disk = self.disk();
        let (mut files, mut unsynced) = (disk.base.clone(), Vec::new());
        for operation in &disk.recorded {
            settle(&mut files, &mut unsynced, operation);
        }
        let chance = &mut Pcg64::seed_from_u64(seed);
        // Sometimes nothing, sometimes all: the corners are the likely cases of real devices.
        let shape = match chance.next_u64() % 4 {
            0 => Shape::Prefix(0),
            1 => Shape::Prefix(unsynced.len()),
            2 => Shape::Operations,
            _ => Shape::Sectors,
        };
        shape.apply(&unsynced, &mut files, chance);
        Self::holding(files)
    }

    /// The power fails before the operation of this number: it fails, and so do all after it.
    pub fn power_off_at(&self, operation: usize) {
        self.disk().power_off_at = Some(operation);
    }

    /// The next sync fails. What it was to make durable is lost for good, and the sync after it says
    /// that all is well: this is what systems do.
    pub fn fail_next_sync(&self) {
        self.disk().is_next_sync_failing = true;
    }

    /// From now on every sync says that all is well, and does nothing.
    pub fn lie(&self) {
        self.disk().is_lying = true;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // No operation leaves the disk half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MediumFile {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        let disk = self.medium.disk();
        disk.current.get(&self.name).map_or(0, Vec::len) as u64
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.medium.disk();
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let file = disk.current.get(&self.name);
        let bytes = file.and_then(|bytes| bytes.get(at..at.checked_add(out.len())?));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Writes `bytes` at `offset`, not durably. A gap before it becomes zeros.
    ///
    /// # Errors
    /// When the power is off.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.operate(Change::Write {
            at: usize::try_from(offset).map_err(io::Error::other)?,
            bytes: bytes.to_vec(),
        })
    }

    /// Cuts the file off, or makes it longer with zeros, not durably.
    ///
    /// # Errors
    /// When the power is off.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.operate(Change::Length(length))
    }

    /// Makes every earlier write to this file durable.
    ///
    /// # Errors
    /// When the power is off, and as [`Medium::fail_next_sync`] says.
    pub fn sync(&self) -> io::Result<()> {
        let (is_failing, is_lying) = {
            let mut disk = self.medium.disk();
            let is_failing = std::mem::take(&mut disk.is_next_sync_failing);
            (is_failing, disk.is_lying)
        };
        if is_failing {
            self.operate(Change::FailedSync)?;
            return Err(io::Error::other("the device reports an error, once"));
        }
        self.operate(if is_lying { Change::Lie } else { Change::Sync })
    }

    fn operate(&self, change: Change) -> io::Result<()> {
        let mut disk = self.medium.disk();
        let operations = disk.recorded_from + disk.recorded.len();
        if disk.power_off_at.is_some_and(|off| operations >= off) {
            return Err(io::Error::other("the power is off"));
        }
        change.apply(disk.current.entry(self.name.clone()).or_default(), |_| true);
        let file = self.name.clone();
        disk.recorded.push(Operation { file, change });
        Ok(())
    }
}

impl Change {
    /// Does it to `bytes`, as far as the sectors `reach` the medium.
    fn apply(&self, bytes: &mut Vec<u8>, mut reach: impl FnMut(usize) -> bool) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write { at, bytes: written } => {
                bytes.resize(bytes.len().max(at + written.len()), 0);
                let target = bytes.get_mut(*at..).unwrap_or_default();
                let mut from = 0;
                for (sector, length) in sectors(*at, written.len()).enumerate() {
                    let part = from..from + length;
                    if let (true, Some(target), Some(written)) = (
                        reach(sector),
                        target.get_mut(part.clone()),
                        written.get(part),
                    ) {
                        target.copy_from_slice(written);
                    }
                    from += length;
                }
            }
            Self::Sync | Self::FailedSync | Self::Lie => {}
        }
    }

    /// How many sectors a write touches.
    fn sectors(&self) -> usize {
        match self {
            Self::Write { at, bytes } => sectors(*at, bytes.len()).count(),
            Self::Length(_) | Self::Sync | Self::FailedSync | Self::Lie => 0,
        }
    }
}

/// The lengths of the parts of a write, cut at the borders of sectors.
fn sectors(at: usize, length: usize) -> impl Iterator<Item = usize> {
    let (mut at, end) = (at, at + length);
    std::iter::from_fn(move || {
        let next = end.min((at / SECTOR_BYTES + 1) * SECTOR_BYTES);
        let part = next - at;
        at = next;
        (part > 0).then_some(part)
    })
}

/// Follows one recorded operation: `files` are what is durable, `unsynced` what may be.
fn settle(files: &mut Files, unsynced: &mut Vec<Operation>, operation: &Operation) {
    let is_synced = match operation.change {
        Change::Sync => true,
        Change::FailedSync => false,
        Change::Lie => return,
        Change::Length(_) | Change::Write { .. } => {
            unsynced.push(operation.clone());
            return;
        }
    };
    let of_file = |other: &mut Operation| other.file == operation.file;
    for settled in unsynced.extract_if(.., of_file) {
        if is_synced {
            settled.reach(files, |_| true);
        }
    }
}

impl Operation {
    fn reach(&self, files: &mut Files, reach: impl FnMut(usize) -> bool) {
        let bytes = files.entry(self.file.clone()).or_default();
        self.change.apply(bytes, reach);
    }
}

/// What a loss of power could have left. See [`Medium::crashes`].
#[derive(Debug)]
pub struct Crashes {
    files: Files,
    unsynced: Vec<Operation>,
    rest: vec::IntoIter<Operation>,
    operations: usize,
    /// What is still to be shown of this moment.
    shapes: VecDeque<Shape>,
    /// The sync that ends it.
    sync: Option<Operation>,
    has_ended: bool,
    chance: Pcg64,
}

/// The files after a loss of power.
#[derive(Clone, Debug)]
pub struct Crash {
    /// So many operations had been done, the latest moment at which this could be left: what was
    /// promised by then must hold.
    pub operations: usize,
    /// What had reached the medium besides what was synced.
    pub reached: String,
    /// Whether that is the beginning of what was done, in the order in which it was done.
    pub is_in_order: bool,
    /// What is found.
    pub files: Files,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operations,
            reached,
            ..
        } = self;
        write!(f, "a crash after operation {operations}, {reached}")
    }
}

impl Iterator for Crashes {
    type Item = Crash;

    fn next(&mut self) -> Option<Crash> {
        loop {
            if let Some(shape) = self.shapes.pop_front() {
                let mut files = self.files.clone();
                shape.apply(&self.unsynced, &mut files, &mut self.chance);
                return Some(Crash {
                    operations: self.operations,
                    reached: format!("{shape} of {} unsynced", self.unsynced.len()),
                    is_in_order: matches!(shape, Shape::Prefix(_) | Shape::Torn(..)),
                    files,
                });
            }
            if let Some(sync) = self.sync.take() {
                settle(&mut self.files, &mut self.unsynced, &sync);
                self.operations += 1;
            }
            match self.rest.next() {
                Some(operation) if matches!(operation.change, Change::Sync) => {
                    self.sync = Some(operation);
                    self.shapes = shapes(&self.unsynced);
                }
                Some(operation) => {
                    settle(&mut self.files, &mut self.unsynced, &operation);
                    self.operations += 1;
                }
                None if !self.has_ended => {
                    self.has_ended = true;
                    self.shapes = shapes(&self.unsynced);
                }
                None => return None,
            }
        }
    }
}

/// Which part of the unsynced operations reaches the medium.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Prefix(usize),
    /// So many operations, and so many sectors of the one after them.
    Torn(usize, usize),
    /// Each operation by chance.
    Operations,
    /// Each sector by chance.
    Sectors,
}

impl Shape {
    fn apply(self, unsynced: &[Operation], files: &mut Files, chance: &mut Pcg64) {
        for (at, operation) in unsynced.iter().enumerate() {
            match self {
                Self::Prefix(whole) | Self::Torn(whole, _) if at < whole => {
                    operation.reach(files, |_| true);
                }
                Self::Torn(whole, sectors) if at == whole => {
                    operation.reach(files, |sector| sector < sectors);
                }
                Self::Prefix(_) | Self::Torn(..) => {}
                Self::Operations if chance.next_u64().is_multiple_of(2) => {
                    operation.reach(files, |_| true);
                }
                Self::Sectors if !chance.next_u64().is_multiple_of(4) => {
                    operation.reach(files, |_| !chance.next_u64().is_multiple_of(3));
                }
                Self::Operations | Self::Sectors => {}
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(whole) => write!(f, "with the first {whole}"),
            Self::Torn(whole, sectors) => {
                write!(
                    f,
                    "with the first {whole} and {sectors} sectors of the next"
                )
            }
            Self::Operations => write!(f, "with some"),
            Self::Sectors => write!(f, "with some sectors"),
        }
    }
}

fn shapes(unsynced: &[Operation]) -> VecDeque<Shape> {
    let mut shapes: VecDeque<Shape> = (0..=unsynced.len()).map(Shape::Prefix).collect();
    for (at, operation) in unsynced.iter().enumerate() {
        let sectors = operation.change.sectors();
        let mut tears = vec![1, sectors / 2, sectors.saturating_sub(1)];
        tears.retain(|tear| (1..sectors).contains(tear));
        tears.dedup();
        shapes.extend(tears.into_iter().map(|tear| Shape::Torn(at, tear)));
    }
    if unsynced.len() > 1 {
        shapes.extend([Shape::Operations, Shape::Operations]);
    }
    if !unsynced.is_empty() {
        shapes.extend([Shape::Sectors, Shape::Sectors]);
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(files: &Files) -> &[u8] {
        &files["a"]
    }

    fn left(medium: &Medium) -> Vec<(usize, Vec<u8>)> {
        let crashes = medium.crashes(1);
        let mut left: Vec<_> = crashes
            .map(|crash| (crash.operations, content(&crash.files).to_vec()))
            .collect();
        left.sort();
        left.dedup();
        left
    }

    #[test]
    fn what_was_synced_is_always_left_and_of_the_rest_every_prefix() {
        let medium = Medium::new();
        let file = medium.file("a");
        medium.start_recording();
        file.write_at(0, b"12").unwrap();
        file.sync().unwrap();
        file.write_at(2, b"3").unwrap();
        file.write_at(3, b"4").unwrap();
        let left = left(&medium);
        let at = |operations: usize| {
            let of_moment = left.iter().filter(move |(at, _)| *at == operations);
            of_moment
                .map(|(_, bytes)| bytes.as_slice())
                .collect::<Vec<_>>()
        };
        assert_eq!(at(1), [&b""[..], b"\0\0", b"12"]);
        let last = at(4);
        for prefix in [&b"12"[..], b"123", b"1234"] {
            assert!(last.contains(&prefix), "{last:?}");
        }
        assert!(last.iter().all(|bytes| bytes.starts_with(b"12")));
        assert_eq!(medium.synced_files()["a"], b"12");
        assert_eq!(medium.files()["a"], b"1234");
    }

    #[test]
    fn a_write_is_torn_at_the_borders_of_sectors() {
        let medium = Medium::new();
        let file = medium.file("a");
        medium.start_recording();
        file.write_at(500, &[1; 1024]).unwrap();
        let ends: Vec<usize> = medium
            .crashes(1)
            .filter(|crash| crash.reached.contains("sectors of the next"))
            .map(|crash| {
                content(&crash.files)
                    .iter()
                    .filter(|byte| **byte == 1)
                    .count()
            })
            .collect();
        assert_eq!(ends, [12, 524]);
    }

    #[test]
    fn a_sync_covers_its_own_file_alone() {
        let medium = Medium::new();
        let (file, other) = (medium.file("a"), medium.file("b"));
        medium.start_recording();
        file.write_at(0, b"1").unwrap();
        other.write_at(0, b"2").unwrap();
        other.sync().unwrap();
        let last = medium.crashes(1).filter(|crash| crash.operations == 3);
        let found: Vec<_> = last
            .map(|crash| (content(&crash.files).to_vec(), crash.files["b"].clone()))
            .collect();
        assert!(found.iter().all(|(_, other)| other == b"2"));
        assert!(found.contains(&(Vec::new(), b"2".to_vec())));
        assert!(found.contains(&(b"1".to_vec(), b"2".to_vec())));
    }

    #[test]
    fn what_a_failed_sync_gave_up_is_never_durable() {
        let medium = Medium::new();
        let file = medium.file("a");
        file.write_at(0, b"1").unwrap();
        medium.fail_next_sync();
        assert!(file.sync().is_err());
        file.write_at(1, b"2").unwrap();
        file.sync().unwrap();
        assert_eq!(medium.synced_files()["a"], b"\x002");
        assert_eq!(medium.files()["a"], b"12");
    }

    #[test]
    fn a_lie_makes_nothing_durable_and_power_that_is_off_fails_all() {
        let medium = Medium::new();
        let file = medium.file("a");
        medium.lie();
        file.write_at(0, b"1").unwrap();
        file.sync().unwrap();
        assert_eq!(medium.synced_files()["a"], b"");
        medium.power_off_at(2);
        assert!(file.write_at(0, b"2").is_err());
        assert!(file.sync().is_err());
        assert_eq!(medium.files()["a"], b"1");
        let found: Vec<_> = (0..20)
            .map(|seed| medium.power_cut(seed).files()["a"].clone())
            .collect();
        assert!(found.contains(&Vec::new()) && found.contains(&b"1".to_vec()));
    }
}
