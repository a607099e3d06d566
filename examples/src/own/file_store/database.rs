//! The file: opening, committing, reading, and writing it anew.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::store::{
    DirectoryLock, FileSnapshotStore, Floor, FloorMark, LogBounds, SnapshotStore as _, StoreError,
    Unsynced, publish,
};

use super::anew::{NewFile, log_frame, stable_frame, too_large};
use super::frame;
use super::index::Index;
use super::replay::Replay;

/// What both stores and all readers share.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    place: String,
    writer: Mutex<Writer>,
    /// Locked after `writer`, by who locks both.
    index: RwLock<Index>,
    _lock: DirectoryLock,
}

#[derive(Debug)]
struct Writer {
    end: u64,
    commits: u64,
    floor: Floor,
    /// A commit is under way, or did not succeed: what it left behind, only an opening finds out.
    failed: bool,
}

impl Database {
    /// Opens the file in `directory`, or creates it.
    pub(super) fn open(
        directory: &Path,
        lock: DirectoryLock,
        snapshots: &FileSnapshotStore,
    ) -> Result<Self, StoreError> {
        let path = directory.join("log");
        let place = path.display().to_string();
        let floor_path = directory.join("floor");
        if !exists(&path)? {
            // An empty log beside what remembers a full one would vote as if it had promised nothing.
            if exists(&floor_path)? || !snapshots.list()?.is_empty() {
                let detail = "the file is missing, but a floor or a snapshot is there";
                return Err(StoreError::damaged(place, "the log", &detail));
            }
            let aside = path.with_extension("tmp");
            fs::write(&aside, frame::header(0)).map_err(StoreError::io(&place, "create"))?;
            publish(&aside, &path)?;
        }
        let mut options = File::options();
        let file = options.read(true).write(true).open(&path);
        let file = Arc::new(file.map_err(StoreError::io(&place, "open"))?);
        let mut replay = Replay::new(&place, Arc::clone(&file))?;
        while replay.next_frame()? {}
        let mut floor = match (exists(&floor_path)?, replay.commits) {
            (true, _) => Floor::open(&floor_path)?,
            (false, 0) => Floor::create(&floor_path, &lock)?,
            (false, commits) => {
                let detail = format!("it is missing, and the log has {commits} commits");
                return Err(StoreError::damaged(place, "the floor", &detail));
            }
        };
        let end = replay.accept_end(floor.mark())?;
        floor.raise(replay.mark())?;
        floor.sync()?;
        Ok(Self {
            writer: Mutex::new(Writer {
                end,
                commits: replay.commits,
                floor,
                failed: false,
            }),
            index: RwLock::new(replay.index),
            path,
            place,
            _lock: lock,
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn bounds(&self) -> LogBounds {
        self.index().bounds
    }

    pub(super) fn stable_record(&self, name: &str) -> Option<Vec<u8>> {
        self.index().stable.get(name).cloned()
    }

    /// Makes the log calls since the last commit durable: one frame, one sync.
    pub(super) fn commit_log(&self, unsynced: &Unsynced) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let bounds = unsynced.bounds();
        let (frame, places) = log_frame(writer.end, bounds, unsynced.entries());
        self.append(&mut writer, frame, bounds.last)?;
        self.change_index(|index| index.apply(bounds, places));
        if unsynced.purges() && self.index().is_mostly_left_behind(writer.end) {
            self.write_anew(&mut writer)?;
        }
        Ok(())
    }

    /// Replaces one stable record, durably.
    pub(super) fn commit_stable(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let mut records = self.index().stable.clone();
        records.insert(name.to_owned(), value.to_vec());
        let frame = stable_frame(&records, &self.place)?;
        self.append(&mut writer, frame, self.bounds().last)?;
        self.change_index(|index| index.stable = records);
        Ok(())
    }

    /// As [`raft_core::store::LogReader::read`].
    pub(super) fn read(
        &self,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let (file, places) = self.index().places(range, bytes_max, &self.place)?;
        // A file that was written anew meanwhile stays readable through this handle.
        let mut found: Vec<Entry> = Vec::with_capacity(places.len());
        for (index, place) in places {
            let name = || format!("entry {index}");
            let mut record = vec![0; place.bytes as usize];
            file.read_exact_at(&mut record, place.at)
                .map_err(StoreError::io(&self.place, "read an entry"))?;
            let entry = Entry::decode(&Bytes::from(record))
                .map_err(|error| StoreError::damaged(&self.place, name(), &error))?;
            let follows = found.last().is_none_or(|last| entry.follows(last.link()));
            if entry.index() != index || !follows {
                let detail = format!("entry {} stands there, and does not belong", entry.id());
                return Err(StoreError::damaged(&self.place, name(), &detail));
            }
            found.push(entry);
        }
        Ok(found)
    }

    /// The link of an entry that is there.
    pub(super) fn link(&self, index: LogIndex) -> Result<ChainLink, StoreError> {
        let entries = self.read(index..index.next(), usize::MAX)?;
        let missing = || self.index().bounds.missing(index, &self.place);
        entries.first().map(Entry::link).ok_or_else(missing)
    }

    fn append(
        &self,
        writer: &mut Writer,
        frame: Vec<u8>,
        last: ChainLink,
    ) -> Result<(), StoreError> {
        if std::mem::replace(&mut writer.failed, true) {
            let source = io::Error::other("an earlier commit failed, open the store anew");
            return Err(StoreError::io(&self.place, "commit")(source));
        }
        let commits = writer.commits + 1;
        let frame = frame::seal(frame, commits).ok_or_else(|| too_large(&self.place))?;
        let file = Arc::clone(&self.index().file);
        file.write_all_at(&frame, writer.end)
            .map_err(StoreError::io(&self.place, "write"))?;
        file.sync_data()
            .map_err(StoreError::io(&self.place, "sync"))?;
        writer.end += frame.len() as u64;
        writer.commits = commits;
        writer.floor.raise(FloorMark { commits, last })?;
        writer.failed = false;
        Ok(())
    }

    /// Writes what counts into a new file, which then takes the place of the old one.
    fn write_anew(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.failed = true;
        let aside = self.path.with_extension("tmp");
        let mut new = NewFile::create(&aside, writer.commits)?;
        let (old, stable) = (self.bounds(), self.index().stable.clone());
        new.write_stable(stable)?;
        let mut last = old.purged;
        while last != old.last {
            // Read and verified, not copied: no damage gets a new checksum.
            let rest = last.id.index.next()..old.last.id.index.next();
            let entries = self.read(rest, ANEW_BYTES)?;
            last = entries.last().map_or(old.last, Entry::link);
            let purged = old.purged;
            new.write_log(LogBounds { purged, last }, &entries)?;
        }
        if old.is_empty() {
            new.write_log(old, &[])?;
        }
        let (index, end, commits) = new.publish(&self.path)?;
        self.change_index(|current| *current = index);
        (writer.end, writer.commits) = (end, commits);
        writer.floor.raise(FloorMark {
            commits,
            last: old.last,
        })?;
        writer.floor.sync()?;
        writer.failed = false;
        Ok(())
    }

    fn change_index(&self, change: impl FnOnce(&mut Index)) {
        // No change panics half way.
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic inside a commit leaves `failed` set, which says all there is to say.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    let place = path.display().to_string();
    path.try_exists().map_err(StoreError::io(place, "look for"))
}

/// Records are copied in frames of about this size.
const ANEW_BYTES: usize = 1 << 20;
