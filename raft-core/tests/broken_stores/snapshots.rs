//! A snapshot store, broken in one way.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use raft_core::id::{ChainLink, LogId, LogIndex, Term};
use raft_core::membership::Membership;
use raft_core::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use raft_core::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError};
use raft_core::time::ClusterTime;

use crate::broken::{Fault, Remembered};

pub(crate) struct BrokenSnapshots {
    inner: Arc<dyn SnapshotStore>,
    remembered: Remembered,
    /// Finished, says the store; not yet, says the disk.
    unfinished: Late,
}

type Late = Arc<Mutex<Option<Box<dyn SnapshotSink>>>>;

struct BrokenSink {
    sink: Box<dyn SnapshotSink>,
    header: SnapshotHeader,
    store: Arc<dyn SnapshotStore>,
    remembered: Remembered,
    unfinished: Late,
    written: Kept,
    attempt: usize,
}

struct BrokenRead {
    reader: Box<dyn SnapshotRead>,
    id: LogId,
    store: Arc<dyn SnapshotStore>,
    remembered: Remembered,
}

impl BrokenSnapshots {
    pub(crate) fn new(inner: Arc<dyn SnapshotStore>, remembered: Remembered) -> Self {
        Self {
            inner,
            remembered,
            unfinished: Late::default(),
        }
    }

    fn sink(&self, sink: Box<dyn SnapshotSink>, header: &SnapshotHeader) -> Box<dyn SnapshotSink> {
        let mut memory = self.remembered.get();
        memory.attempts += 1;
        Box::new(BrokenSink {
            sink,
            header: header.clone(),
            store: Arc::clone(&self.inner),
            remembered: self.remembered.clone(),
            unfinished: Arc::clone(&self.unfinished),
            written: Kept::NOTHING,
            attempt: memory.attempts,
        })
    }

    fn before(&self, header: &SnapshotHeader) -> Result<(), StoreError> {
        if self.remembered.is(Fault::ShowsUnfinishedSnapshots) {
            self.inner.create(header)?.finish()?;
        }
        let late = self.unfinished.lock().unwrap().take();
        late.map_or(Ok(()), |sink| sink.finish().map(drop))
    }
}

impl SnapshotStore for BrokenSnapshots {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        let mut listed = self.inner.list()?;
        let memory = self.remembered.get();
        match memory.fault {
            Some(Fault::ListsAPhantom) if listed.is_empty() => listed.push(phantom()),
            Some(Fault::ForgetsSnapshotsOnReopening) if memory.openings > 1 => listed.clear(),
            Some(Fault::LeavesOutEmptySnapshots) => listed.retain(|meta| meta.size > 0),
            Some(Fault::ListsTheOldestFirst) => listed.reverse(),
            Some(Fault::RetainsNone) => listed.retain(|meta| !memory.hidden.contains(&meta.id())),
            _ => {}
        }
        Ok(listed)
    }

    fn damaged(&self) -> Result<Vec<StoreError>, StoreError> {
        match self.remembered.is(Fault::HidesDamage) {
            true => Ok(Vec::new()),
            false => self.inner.damaged(),
        }
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        self.before(header)?;
        Ok(self.sink(self.inner.create(header)?, header))
    }

    fn receive(&self, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        self.before(&meta.header)?;
        Ok(self.sink(self.inner.receive(meta)?, &meta.header))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        let opened = self.inner.open(last);
        let is_broken = self.remembered.is(Fault::AbsenceIsDamage);
        let (meta, reader) = opened.map_err(|error| match error {
            StoreError::Misuse { place, detail } if is_broken => {
                StoreError::damaged(place, "a snapshot", &detail)
            }
            other => other,
        })?;
        let reader = BrokenRead {
            reader,
            id: last,
            store: Arc::clone(&self.inner),
            remembered: self.remembered.clone(),
        };
        Ok((meta, Box::new(reader)))
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        if self.remembered.is(Fault::RetainsNone) && keep == 0 {
            let listed = self.inner.list()?;
            let ids = listed.iter().map(SnapshotMeta::id);
            self.remembered.get().hidden.extend(ids);
        }
        if self.remembered.is(Fault::RemovesNewerSnapshots) {
            return self.inner.retain(keep, LogIndex::new(u64::MAX));
        }
        self.inner.retain(keep, through)
    }
}

impl Write for BrokenSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (fault, attempts) = {
            let memory = self.remembered.get();
            (memory.fault, memory.attempts)
        };
        match fault {
            Some(Fault::SinksShareABuffer) => {
                self.remembered.get().buffer.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            Some(Fault::TwoAttemptsMix) if self.attempt < attempts => {
                self.remembered.get().late.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            Some(Fault::TwoAttemptsMix) => {
                let late = std::mem::take(&mut self.remembered.get().late);
                self.sink.write_all(&late)?;
            }
            _ => {}
        }
        let written = self.sink.write(bytes)?;
        self.written.add(&bytes[..written]);
        self.remembered.get().kept.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl SnapshotSink for BrokenSink {
    fn kept(&self) -> Kept {
        let mut kept = self.sink.kept();
        let memory = self.remembered.get();
        match memory.fault {
            Some(Fault::KeptOneByteMore) if kept.size > 0 => kept.size += 1,
            Some(Fault::MixesPartsOfSnapshots) => kept = memory.kept,
            _ => {}
        }
        kept
    }

    fn finish(mut self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let fault = self.remembered.get().fault;
        match fault {
            Some(Fault::FinishesOnlyOnce) => {
                let id = self.header.last.id;
                if self.store.list()?.iter().any(|meta| meta.id() == id) {
                    return Err(StoreError::Misuse {
                        place: "here".to_owned(),
                        detail: format!("{id} is there already"),
                    });
                }
            }
            Some(Fault::SinksShareABuffer) => {
                let buffer = self.remembered.get().buffer.clone();
                self.sink.write_all(&buffer).unwrap();
            }
            Some(Fault::FinishesLater) => {
                let mut all = self.sink.kept();
                all.size += self.written.size;
                *self.unfinished.lock().unwrap() = Some(self.sink);
                return Ok(SnapshotMeta {
                    header: self.header,
                    size: all.size,
                    checksum: self.written.checksum,
                });
            }
            _ => {}
        }
        self.sink.finish()
    }

    fn discard(self: Box<Self>) {
        match self.remembered.is(Fault::DiscardedPartComesBack) {
            true => drop(self.sink),
            false => self.sink.discard(),
        }
    }
}

impl Read for BrokenRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let is_gone = || {
            let listed = self.store.list().unwrap();
            !listed.iter().any(|meta| meta.id() == self.id)
        };
        if self.remembered.is(Fault::ReaderEndsWithTheRemoval) && is_gone() {
            return Err(io::Error::other("the snapshot was removed"));
        }
        self.reader.read(out)
    }
}

impl SnapshotRead for BrokenRead {
    fn start_after(&mut self, kept: Kept) -> io::Result<bool> {
        match self.remembered.is(Fault::ReaderStartsElsewhere) {
            true => Ok(true),
            false => self.reader.start_after(kept),
        }
    }
}

fn phantom() -> SnapshotMeta {
    let id = LogId::new(Term::new(1), LogIndex::new(1));
    SnapshotMeta {
        header: SnapshotHeader {
            last: ChainLink { id, checksum: 0 },
            time: ClusterTime::ZERO,
            membership: Arc::new(Membership::of_voters([(1, "a:1")]).unwrap()),
            membership_at: id,
        },
        size: 0,
        checksum: 0,
    }
}
