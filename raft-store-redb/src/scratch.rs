//! A look at a database file that leaves it as it is: whatever redb writes stays in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use raft_core::store::StoreError;
use redb::StorageBackend;

/// A file, and what was written over it, in blocks.
#[derive(Debug)]
pub(crate) struct Scratch {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Beyond this the file has nothing, or what it had was cut off.
    file_bytes: u64,
    length: u64,
    written: BTreeMap<u64, Vec<u8>>,
}

const BLOCK_BYTES: usize = 4096;

impl Scratch {
    /// Opens the file for reading. An empty one is damaged: redb would take it for a new database.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let file = File::open(path).map_err(StoreError::io(&place, "open"))?;
        let metadata = file.metadata().map_err(StoreError::io(&place, "look at"))?;
        let length = metadata.len();
        if length == 0 {
            return Err(StoreError::damaged(place, "the file", &"it is empty"));
        }
        let state = State {
            file,
            file_bytes: length,
            length,
            written: BTreeMap::new(),
        };
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The present content of a block.
    fn block(&mut self, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = self.written.get(&number) {
            return Ok(block.clone());
        }
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let start = number * BLOCK_BYTES as u64;
        let there = self
            .file_bytes
            .saturating_sub(start)
            .min(BLOCK_BYTES as u64);
        if there > 0 {
            self.file.seek(SeekFrom::Start(start))?;
            (&self.file).take(there).read_to_end(&mut block)?;
        }
        block.resize(BLOCK_BYTES, 0);
        Ok(block)
    }

    /// Goes over the blocks of a range: each one's number, where in it the range begins, and how many
    /// bytes of the range came before.
    fn over(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            if done >= length {
                return None;
            }
            let at = offset + done as u64;
            let within = usize::try_from(at % BLOCK_BYTES as u64).unwrap_or(0);
            let item = (at / BLOCK_BYTES as u64, within, done);
            done += BLOCK_BYTES - within;
            Some(item)
        })
    }
}

impl StorageBackend for Scratch {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset.saturating_add(out.len() as u64) > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, done) in State::over(offset, out.len()) {
            let block = state.block(number)?;
            let target = out.get_mut(done..).unwrap_or_default();
            let bytes = target.iter_mut().zip(block.iter().skip(within));
            bytes.for_each(|(target, byte)| *target = *byte);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.length = length;
        state.file_bytes = state.file_bytes.min(length);
        let beyond = length.div_ceil(BLOCK_BYTES as u64);
        state.written.split_off(&beyond);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (number, within, done) in State::over(offset, data.len()) {
            let mut block = state.block(number)?;
            let source = data.get(done..).unwrap_or_default();
            let bytes = block.iter_mut().skip(within).zip(source);
            bytes.for_each(|(target, byte)| *target = *byte);
            state.written.insert(number, block);
        }
        Ok(())
    }
}
