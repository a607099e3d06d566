//! Properties of log and stable records on files: what is copied, damaged or cut short.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::Backend;
use super::history::{Call, History, State, Step, run};
use super::medium::Files;
use crate::store::{StoreError, Stores};

/// A backend on files, which can be copied, changed, and opened in another place.
pub trait FileBackend: Backend {
    /// All files, by names of the backend's choice. Also of stores that are open: then what is left
    /// if the process is killed now.
    fn files(&mut self) -> Files;

    /// Opens the stores that consist of these files, in another place than those of
    /// [`Backend::open`], which may be open at the same time. What an earlier call has opened is gone.
    ///
    /// # Errors
    /// [`StoreError`], which these properties are about.
    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError>;
}

/// A [`FileBackend`] whose stores lie in a directory that they have for themselves. Copies are opened in
/// another one.
///
/// ```
/// use raft_core::conformance::OnDirectory;
/// use raft_core::memory::MemoryStores;
/// use raft_core::store::{FileSnapshotStore, StoreError, Stores};
/// use std::path::Path;
/// use std::sync::Arc;
/// use tempfile::TempDir;
///
/// /// Yours. This one has only its snapshots there.
/// fn open(directory: &Path) -> Result<Stores, StoreError> {
///     let snapshots = Arc::new(FileSnapshotStore::open(directory)?);
///     Ok(Stores { snapshots, ..MemoryStores::new().open() })
/// }
///
/// fn backend() -> OnDirectory<TempDir> {
///     OnDirectory::new(|| TempDir::new().expect("a directory"), open)
/// }
///
/// raft_core::snapshot_conformance!(backend());
/// raft_core::snapshot_file_conformance!(backend());
/// # fn main() {
/// #     use raft_core::conformance::snapshot;
/// #     snapshot::a_finished_snapshot_is_read_back_and_outlives_reopening(&mut backend());
/// # }
/// ```
pub struct OnDirectory<D> {
    make: Box<dyn Fn() -> D>,
    open: Open,
    directory: D,
    /// Whoever is dropped takes the directory along.
    copy: D,
}

type Open = Box<dyn Fn(&Path) -> Result<Stores, StoreError>>;

impl<D: AsRef<Path>> OnDirectory<D> {
    /// `make` makes an empty directory that lives as long as the value does (`tempfile::TempDir` does);
    /// `open` opens the stores below a directory, and creates them if it is empty.
    pub fn new(
        make: impl Fn() -> D + 'static,
        open: impl Fn(&Path) -> Result<Stores, StoreError> + 'static,
    ) -> Self {
        Self {
            directory: make(),
            copy: make(),
            make: Box::new(make),
            open: Box::new(open),
        }
    }
}

impl<D: AsRef<Path>> fmt::Debug for OnDirectory<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDirectory")
            .field("directory", &self.directory.as_ref())
            .finish_non_exhaustive()
    }
}

impl<D: AsRef<Path>> Backend for OnDirectory<D> {
    fn open(&mut self) -> Stores {
        (self.open)(self.directory.as_ref()).expect("the stores are opened")
    }
}

impl<D: AsRef<Path>> FileBackend for OnDirectory<D> {
    fn files(&mut self) -> Files {
        read_files(self.directory.as_ref()).expect("the directory is read")
    }

    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError> {
        self.copy = (self.make)();
        write_files(self.copy.as_ref(), files).expect("the copy is written");
        (self.open)(self.copy.as_ref())
    }
}

/// A test for each property of log and stable records on files. `$backend` makes a new, empty
/// [`FileBackend`].
#[macro_export]
macro_rules! file_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { files, $backend, [
            the_files_of_an_open_store_hold_what_was_acknowledged,
            a_flipped_byte_is_noticed_before_it_is_used,
            a_file_cut_short_is_noticed_before_it_is_used,
            damage_is_named_by_place_and_record,
        ] }
    };
}

/// For [`FileBackend::files`]: every file below `directory`, by its path from there.
///
/// # Errors
/// Of the file system. A file that is removed meanwhile is left out.
pub fn read_files(directory: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder)? {
            let path = item?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).unwrap_or(&path);
            match fs::read(&path) {
                Ok(bytes) => drop(files.insert(name.to_string_lossy().into_owned(), bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}

/// For [`FileBackend::open_copy`]: writes the files below `directory`.
///
/// # Errors
/// Of the file system.
pub fn write_files(directory: &Path, files: &Files) -> io::Result<()> {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// A process that is killed takes nothing with it that it has acknowledged.
pub fn the_files_of_an_open_store_hold_what_was_acknowledged(backend: &mut dyn FileBackend) {
    let mut stores = backend.open();
    let mut history = History::default();
    for step in STEPS {
        for call in step.calls(&history.now()) {
            history.begun(&call);
            call.make(&mut stores).expect("the call");
            history.returned(&call);
            if matches!(call, Call::Sync | Call::Set(..)) {
                let files = backend.files();
                let copy = backend.open_copy(&files).expect("a copy is opened");
                let found = State::read(&copy).expect("everything is readable");
                history.check(&found, &format!("killed after {call:?}"));
            }
        }
    }
}

/// Noticed, or harmless: never another entry or record, never fewer, never a panic. A sample of the
/// bytes of each file, or all if it is small.
pub fn a_flipped_byte_is_noticed_before_it_is_used(backend: &mut dyn FileBackend) {
    let (files, expected) = filled(backend);
    let mut noticed = 0;
    for damaged in flips(&files, 150) {
        noticed += usize::from(examine(backend, &damaged, &expected).is_some());
    }
    assert!(noticed > 0, "no flipped byte was noticed");
}

/// As a file system leaves it that has lost the end, or never had it.
pub fn a_file_cut_short_is_noticed_before_it_is_used(backend: &mut dyn FileBackend) {
    let (files, expected) = filled(backend);
    let mut noticed = 0;
    for damaged in cuts(&files, 40) {
        noticed += usize::from(examine(backend, &damaged, &expected).is_some());
    }
    assert!(noticed > 0, "no cut was noticed");
}

/// The error says where it is and what, and an entry is named by its index: that is all that an
/// operator has.
pub fn damage_is_named_by_place_and_record(backend: &mut dyn FileBackend) {
    let (files, expected) = filled(backend);
    let mut named = 0;
    for damaged in flips(&files, 60).chain(cuts(&files, 10)) {
        let Some(noticed) = examine(backend, &damaged, &expected) else {
            continue;
        };
        let StoreError::Damaged {
            place,
            what,
            detail,
        } = &noticed.error
        else {
            continue;
        };
        let text = &noticed.error;
        assert!(!place.is_empty(), "{damaged}: no place in `{text}`");
        assert!(!what.is_empty(), "{damaged}: no record in `{text}`");
        assert!(!detail.is_empty(), "{damaged}: no reason in `{text}`");
        if let Some(index) = noticed.entry {
            let index = index.to_string();
            assert!(
                what.contains(&index),
                "{damaged}: entry {index} in `{text}`"
            );
        }
        named += 1;
    }
    assert!(named > 0, "no damage was reported as such");
}

const STEPS: [Step; 8] = [
    Step::Append { term: 1, count: 20 },
    Step::Vote {
        number: 1,
        bytes: 24,
    },
    Step::Replace {
        keep: 12,
        term: 2,
        count: 9,
    },
    Step::Purge { count: 4 },
    Step::Large {
        term: 2,
        bytes: 9_000,
    },
    Step::Vote {
        number: 2,
        bytes: 300,
    },
    Step::Burst { term: 3, count: 4 },
    Step::Append { term: 3, count: 1 },
];

/// The files of a closed store, and what they hold.
fn filled(backend: &mut dyn FileBackend) -> (Files, State) {
    let mut stores = backend.open();
    let mut history = History::default();
    run(&mut stores, &mut history, &STEPS);
    drop(stores);
    (backend.files(), history.now())
}

/// Damage that was noticed.
struct Noticed {
    error: StoreError,
    /// The entry that was asked for.
    entry: Option<u64>,
}

/// Opens and reads everything. `None` if all is as it should be: the damage did no harm.
#[track_caller]
fn examine(backend: &mut dyn FileBackend, damaged: &Damaged, expected: &State) -> Option<Noticed> {
    let stores = match backend.open_copy(&damaged.files) {
        Ok(stores) => stores,
        Err(error) => return Some(noticed(damaged, error, None)),
    };
    match State::read(&stores) {
        Ok(found) => {
            assert_eq!(found, *expected, "{damaged}");
            None
        }
        Err(error) => Some(noticed(damaged, error, first_unreadable(&stores, expected))),
    }
}

#[track_caller]
fn noticed(damaged: &Damaged, error: StoreError, entry: Option<u64>) -> Noticed {
    let is_honest = matches!(
        error,
        StoreError::Damaged { .. } | StoreError::Format { .. }
    );
    assert!(
        is_honest,
        "{damaged}: `{error}` does not say that it is damaged"
    );
    assert!(
        !error.to_string().contains("panicked"),
        "{damaged}: {error}"
    );
    Noticed { error, entry }
}

/// The first entry that is not read alone. All others that are must be right.
fn first_unreadable(stores: &Stores, expected: &State) -> Option<u64> {
    let mut reader = stores.log.reader().ok()?;
    let mut first = None;
    for entry in &expected.log.entries {
        let range = entry.index()..entry.index().next();
        match reader.read(range, usize::MAX) {
            Ok(found) => assert_eq!(found, std::slice::from_ref(entry)),
            Err(_) => first = first.or(Some(entry.index().get())),
        }
    }
    first
}

/// Files with one change.
pub(super) struct Damaged {
    pub(super) files: Files,
    what: String,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Each file with a byte flipped, at `most` places of it chosen by chance.
pub(super) fn flips(files: &Files, most: usize) -> impl Iterator<Item = Damaged> {
    at_some_places(files, most, |bytes, at, chance| {
        let flip = match chance % 3 {
            0 => 0xff,
            _ => 1 << (chance / 3 % 8),
        };
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flip;
        }
        format!("byte {at} ^ {flip:#04x}")
    })
}

/// Each file cut off, at `most` places of it chosen by chance.
pub(super) fn cuts(files: &Files, most: usize) -> impl Iterator<Item = Damaged> {
    at_some_places(files, most, |bytes, at, _| {
        bytes.truncate(at);
        format!("cut off at byte {at}")
    })
}

fn at_some_places(
    files: &Files,
    most: usize,
    change: impl Fn(&mut Vec<u8>, usize, u64) -> String,
) -> impl Iterator<Item = Damaged> {
    let chance = &mut Pcg64::seed_from_u64(11);
    let mut places = Vec::new();
    for (name, bytes) in files {
        if bytes.len() <= 2 * most {
            places.extend((0..bytes.len()).map(|at| (name, at, chance.next_u64())));
            continue;
        }
        for _ in 0..most {
            // Most of a large file is empty: its beginning is what everything depends on.
            let end = match chance.next_u64() % 4 {
                0 => bytes.len().min(8_192),
                _ => bytes.len(),
            };
            let at = super::history::below(chance, end);
            places.push((name, at, chance.next_u64()));
        }
    }
    places.into_iter().map(move |(name, at, chance)| {
        let mut files = files.clone();
        let bytes = files.entry(name.clone()).or_default();
        let what = change(bytes, at, chance);
        let what = format!("{name}, {what}");
        Damaged { files, what }
    })
}
