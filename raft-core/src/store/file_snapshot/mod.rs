//! Snapshots as files, one each, in a directory of their own.
//!
//! ```text
//! snapshots/
//!   lock                                        held while the store is open
//!   00000000000000004711-00000000000000000003.snap     finished: entry 4711 of term 3
//!   00000000000000009000-00000000000000000004.0.tmp    being written
//!   00000000000000009000-00000000000000000004.part     being received, or the part that was
//!   00000000000000009000-00000000000000000004.marks    what that part must be, to be verified
//! ```
//!
//! A snapshot is written aside, its file is synced, then renamed, then the directory is synced.
//! What a crash leaves, therefore:
//!
//! | crash | what is found | what becomes of it |
//! |---|---|---|
//! | while writing, or before the rename | a `.tmp` file, of any length | removed at the next open |
//! | after the rename, before the directory's sync | either name, with whole content | absent, or finished, and then durable from the next open on |
//! | while receiving | a `.part` of any length and its `.marks` | verified and gone on with when the same snapshot is received again; removed when another is, or a newer one is there (see `partial`) |
//! | during a removal | the file or no file | it is removed again, or gone |
//!
//! Names come from the index and the term, never from another node. Inside, the file has a
//! checksummed description and a checksum over the data (see `format`), so a damaged snapshot is
//! told from an absent one. What cannot be noticed here is a file that someone removed: the node
//! notices, because its log begins after a snapshot that is not there.

mod format;
pub(crate) mod marks;
mod partial;
mod read_only;
mod reader;
mod receive;
mod sink;

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::read_only::ReadOnlySnapshots;

use self::partial::Partial;
use self::reader::FileReader;
use self::receive::ReceivingSink;
use self::sink::FileSink;
use super::directory::{DirectoryLock, create_directory, publish, sync_directory};
use super::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError};
use crate::id::{LogId, LogIndex, Term};
use crate::snapshot::{SnapshotHeader, SnapshotMeta};

/// A [`SnapshotStore`] on files. One value owns the directory; it is locked against others.
#[derive(Debug)]
pub struct FileSnapshotStore {
    directory: Arc<Directory>,
}

/// The open directory. Unfinished sinks share it, so that it stays locked for them.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    unfinished: AtomicU64,
    /// What is being received, or was when it was cut off.
    partial: Mutex<Option<Partial>>,
    _lock: DirectoryLock,
}

impl FileSnapshotStore {
    /// Opens the store in `directory`, which is created if it is missing. Removes what unfinished
    /// snapshots have left behind.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if the directory is open elsewhere, or [`StoreError::Io`].
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = directory.into();
        create_directory(&path)?;
        let directory = Directory {
            _lock: DirectoryLock::acquire(&path)?,
            path,
            unfinished: AtomicU64::new(0),
            partial: Mutex::default(),
        };
        directory.remove_unfinished()?;
        partial::remove_all_but_newest(&directory)?;
        // A killed process may have left a name that is not durable yet. Whoever finds it here relies
        // on it, and may purge the log that it replaces.
        sync_directory(&directory.path)?;
        Ok(Self {
            directory: Arc::new(directory),
        })
    }
}

impl FileSnapshotStore {
    /// Where a finished snapshot lies.
    pub(super) fn file_of(&self, meta: &SnapshotMeta) -> PathBuf {
        self.directory.finished_path(meta.id())
    }

    /// Finished snapshots that cannot even be described.
    pub(super) fn damaged_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut damaged = Vec::new();
        for name in self.directory.names()? {
            if name.ends_with(FINISHED) {
                match self.directory.describe(&name) {
                    Err(error) if error.is_damage() => {
                        damaged.push(self.directory.path.join(name));
                    }
                    described => drop(described?),
                }
            }
        }
        Ok(damaged)
    }
}

impl SnapshotStore for FileSnapshotStore {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        let mut found = Vec::new();
        for described in self.directory.describe_all()? {
            match described {
                Ok(meta) => found.push(meta),
                Err(error) if error.is_damage() => {
                    tracing::warn!(%error, "a snapshot is left out");
                }
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|meta| Reverse((meta.id().index, meta.id().term)));
        Ok(found)
    }

    fn damaged(&self) -> Result<Vec<StoreError>, StoreError> {
        let described = self.directory.describe_all()?.into_iter();
        let errors = described.filter_map(Result::err);
        Ok(errors.filter(StoreError::is_damage).collect())
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let sink = FileSink::create(Arc::clone(&self.directory), header)?;
        Ok(Box::new(sink))
    }

    fn receive(&self, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let sink = ReceivingSink::begin(Arc::clone(&self.directory), meta)?;
        Ok(Box::new(sink))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        let path = self.directory.path.join(finished_name(last));
        if !path.exists() {
            return Err(StoreError::Misuse {
                place: self.directory.place(),
                detail: format!("there is no snapshot {last}"),
            });
        }
        let (meta, file) = format::open(&path)?;
        check_name(&path, last, &meta)?;
        let reader = FileReader::new(path.display().to_string(), file, &meta)?;
        Ok((meta, Box::new(reader)))
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        let mut listed = self.list()?;
        listed.retain(|meta| meta.id().index <= through);
        let superfluous = listed.get(keep.max(1)..).unwrap_or_default();
        for meta in superfluous {
            let path = self.directory.path.join(finished_name(meta.id()));
            remove(&path)?;
        }
        if superfluous.is_empty() {
            return Ok(());
        }
        sync_directory(&self.directory.path)
    }
}

impl Directory {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// A path that no other unfinished snapshot has.
    fn unfinished_path(&self, id: LogId) -> PathBuf {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{}.{number}{UNFINISHED}", stem(id)))
    }

    fn finished_path(&self, id: LogId) -> PathBuf {
        self.path.join(finished_name(id))
    }

    /// Makes a finished snapshot visible. A part that it overtakes is of no use any more.
    fn publish(&self, aside: &Path, id: LogId) -> Result<(), StoreError> {
        publish(aside, &self.finished_path(id))?;
        let overtaken = |partial: &mut Partial| partial.meta.id().index <= id.index;
        if let Some(partial) = self.partial().take_if(overtaken) {
            partial.discard();
        }
        Ok(())
    }

    fn partial(&self) -> MutexGuard<'_, Option<Partial>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last entry of the newest finished snapshot, by the names.
    fn newest_finished(&self) -> Result<Option<LogId>, StoreError> {
        let names = self.names()?;
        let finished = names.iter().filter_map(|name| parse_name(name));
        Ok(finished.max_by_key(|id| (id.index, id.term)))
    }

    /// The names in the directory. Ours are plain text; what is not is a stranger's.
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = || StoreError::io(self.place(), "list the directory");
        let mut names = Vec::new();
        for item in fs::read_dir(&self.path).map_err(failed())? {
            let name = item.map_err(failed())?.file_name();
            names.extend(name.into_string().ok());
        }
        Ok(names)
    }

    fn remove_unfinished(&self) -> Result<(), StoreError> {
        for name in self.names()? {
            if name.ends_with(UNFINISHED) {
                remove(&self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// What every finished snapshot says of itself, by name, the newest first.
    fn describe_all(&self) -> Result<Vec<Result<SnapshotMeta, StoreError>>, StoreError> {
        let mut names = self.names()?;
        names.retain(|name| name.ends_with(FINISHED));
        names.sort_by(|one, other| other.cmp(one));
        Ok(names.iter().map(|name| self.describe(name)).collect())
    }

    fn describe(&self, name: &str) -> Result<SnapshotMeta, StoreError> {
        let path = self.path.join(name);
        let Some(id) = parse_name(name) else {
            let place = path.display().to_string();
            let detail = "a snapshot's name is its last index and term";
            return Err(StoreError::damaged(place, "the file's name", &detail));
        };
        let (meta, _) = format::open(&path)?;
        check_name(&path, id, &meta)?;
        Ok(meta)
    }
}

const FINISHED: &str = ".snap";
const UNFINISHED: &str = ".tmp";

fn stem(id: LogId) -> String {
    format!("{:020}-{:020}", id.index.get(), id.term.get())
}

fn finished_name(id: LogId) -> String {
    format!("{}{FINISHED}", stem(id))
}

fn parse_name(name: &str) -> Option<LogId> {
    parse_stem(name.strip_suffix(FINISHED)?)
}

fn parse_stem(text: &str) -> Option<LogId> {
    let (index, term) = text.split_once('-')?;
    let id = LogId::new(
        Term::new(term.parse().ok()?),
        LogIndex::new(index.parse().ok()?),
    );
    (stem(id) == text).then_some(id)
}

/// A renamed or swapped file must not pass for another snapshot.
fn check_name(path: &Path, named: LogId, meta: &SnapshotMeta) -> Result<(), StoreError> {
    if meta.id() == named {
        return Ok(());
    }
    let place = path.display().to_string();
    let detail = format!("the file holds {meta}");
    Err(StoreError::damaged(place, "the file's name", &detail))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    let place = path.display().to_string();
    fs::remove_file(path).map_err(StoreError::io(place, "remove"))
}

#[cfg(test)]
mod tests;
