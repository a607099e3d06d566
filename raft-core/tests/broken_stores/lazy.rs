//! A log with a file for each entry, which is verified when it is read and not before.

use std::ops::Range;

use bytes::Bytes;
use raft_core::conformance::medium::Files;
use raft_core::conformance::{Backend, FileBackend};
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogIndex};
use raft_core::memory::MemoryStores;
use raft_core::store::{LogBounds, LogReader, LogStore, StoreError, Stores};

/// What is wrong with its reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    EndsBeforeADamagedEntry,
    NamesNoEntry,
}

pub(crate) struct Lazy {
    memory: MemoryStores,
    fault: Option<Fault>,
}

struct LazyLog {
    bounds: LogBounds,
    files: Files,
    fault: Option<Fault>,
}

impl Lazy {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let memory = MemoryStores::new();
        Self { memory, fault }
    }
}

impl Backend for Lazy {
    fn open(&mut self) -> Stores {
        self.memory.open()
    }
}

impl FileBackend for Lazy {
    fn files(&mut self) -> Files {
        let log = self.memory.open().log;
        let range = log.bounds().unwrap().range();
        let entries = log.reader().unwrap().read(range, usize::MAX).unwrap();
        let record = |entry: &Entry| {
            let mut record = Vec::new();
            entry.encode_into(&mut record);
            (name(entry.index()), record)
        };
        entries.iter().map(record).collect()
    }

    fn open_copy(&mut self, files: &Files) -> Result<Stores, StoreError> {
        let stores = self.memory.open();
        let log = LazyLog {
            bounds: stores.log.bounds()?,
            files: files.clone(),
            fault: self.fault,
        };
        let log = Box::new(log);
        Ok(Stores { log, ..stores })
    }
}

fn name(index: LogIndex) -> String {
    format!("entry {index}")
}

impl LazyLog {
    fn entry(&self, index: LogIndex) -> Result<Entry, StoreError> {
        let name = name(index);
        let record = self.files.get(&name).cloned().unwrap_or_default();
        let what = match self.fault {
            Some(Fault::NamesNoEntry) => "a record".to_owned(),
            _ => name,
        };
        Entry::decode(&Bytes::from(record))
            .map_err(|error| StoreError::damaged("the entries", what, &error))
    }
}

/// Nobody writes to a copy.
impl LogStore for LazyLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        Ok(self.bounds)
    }

    fn append(&mut self, _: &[Entry]) -> Result<(), StoreError> {
        unreachable!("nobody appends")
    }

    fn truncate_suffix(&mut self, _: LogIndex) -> Result<(), StoreError> {
        unreachable!("nobody truncates")
    }

    fn purge_prefix(&mut self, _: ChainLink) -> Result<(), StoreError> {
        unreachable!("nobody purges")
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        unreachable!("nobody syncs")
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(Self {
            bounds: self.bounds,
            files: self.files.clone(),
            fault: self.fault,
        }))
    }
}

impl LogReader for LazyLog {
    fn read(&mut self, range: Range<LogIndex>, _: usize) -> Result<Vec<Entry>, StoreError> {
        let indexes = (range.start.get()..range.end.get()).map(LogIndex::new);
        let entries = indexes.map(|index| self.entry(index));
        if self.fault == Some(Fault::EndsBeforeADamagedEntry) {
            return Ok(entries.map_while(Result::ok).collect());
        }
        entries.collect()
    }
}
