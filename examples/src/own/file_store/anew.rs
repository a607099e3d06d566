//! Frames with what they hold, and a new file of them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::codec;
use raft_core::entry::Entry;
use raft_core::store::{LogBounds, StoreError, publish};

use super::frame::{self, HEADER_BYTES};
use super::index::{Index, Place, StableRecords};

/// A frame that will stand at `at`, and where in the file its records will lie.
pub(super) fn log_frame<'a>(
    at: u64,
    bounds: LogBounds,
    entries: impl ExactSizeIterator<Item = &'a Entry>,
) -> (Vec<u8>, Vec<Place>) {
    let mut frame = frame::begin_log(bounds);
    let mut places = Vec::with_capacity(entries.len());
    for entry in entries {
        places.push(Place {
            at: at + frame.len() as u64,
            // A larger one would not fit into a frame, which is noticed when that is sealed.
            bytes: u32::try_from(entry.record_bytes()).unwrap_or(u32::MAX),
        });
        entry.encode_into(&mut frame);
    }
    (frame, places)
}

/// A frame with all stable records.
pub(super) fn stable_frame(records: &StableRecords, place: &str) -> Result<Vec<u8>, StoreError> {
    let encoded = codec::encode("stable records", records).map_err(|error| StoreError::Misuse {
        place: place.to_owned(),
        detail: error.to_string(),
    })?;
    Ok(frame::begin_stable(&encoded))
}

pub(super) fn too_large(place: &str) -> StoreError {
    StoreError::Misuse {
        place: place.to_owned(),
        detail: "one commit is larger than 4 GiB".to_owned(),
    }
}

/// A file that is written aside. Its first frame goes on with the number after the old file's last.
pub(super) struct NewFile {
    aside: PathBuf,
    index: Index,
    end: u64,
    commits: u64,
}

impl NewFile {
    pub(super) fn create(aside: &Path, commits: u64) -> Result<Self, StoreError> {
        let place = aside.display().to_string();
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let mut file = options
            .open(aside)
            .map_err(StoreError::io(&place, "create"))?;
        file.write_all(&frame::header(commits))
            .map_err(StoreError::io(&place, "write"))?;
        Ok(Self {
            aside: aside.to_path_buf(),
            index: Index::new(Arc::new(file)),
            end: HEADER_BYTES as u64,
            commits,
        })
    }

    pub(super) fn write_stable(&mut self, records: StableRecords) -> Result<(), StoreError> {
        let frame = stable_frame(&records, &self.aside.display().to_string())?;
        self.write(frame)?;
        self.index.stable = records;
        Ok(())
    }

    pub(super) fn write_log(
        &mut self,
        bounds: LogBounds,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let (frame, places) = log_frame(self.end, bounds, entries.iter());
        self.write(frame)?;
        self.index.apply(bounds, places);
        Ok(())
    }

    /// Puts the file in the place of the old one, durably. Says what is in it.
    pub(super) fn publish(self, path: &Path) -> Result<(Index, u64, u64), StoreError> {
        publish(&self.aside, path)?;
        Ok((self.index, self.end, self.commits))
    }

    fn write(&mut self, frame: Vec<u8>) -> Result<(), StoreError> {
        let place = self.aside.display().to_string();
        self.commits += 1;
        let frame = frame::seal(frame, self.commits).ok_or_else(|| too_large(&place))?;
        (&*self.index.file)
            .write_all(&frame)
            .map_err(StoreError::io(place, "write"))?;
        self.end += frame.len() as u64;
        Ok(())
    }
}
