//! The receiver's snapshot store: it can be slow, full, or forget what it was given.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::sending::State;
use super::valve::{Pipe, Valve};
use crate::id::{LogId, LogIndex};
use crate::memory::MemoryStores;
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError};

/// Where snapshots arrive. Cloning gives another handle to the same.
#[derive(Clone)]
pub(super) struct Shelf {
    /// Where they are kept, if they are.
    kept: Option<Arc<dyn SnapshotStore>>,
    /// What was finished.
    finished: Arc<Mutex<Vec<SnapshotMeta>>>,
    /// How many are being written.
    open: Arc<watch::Sender<usize>>,
    pipe: Pipe,
    fails_at: Option<u64>,
}

/// One snapshot that arrives.
struct Sink {
    shelf: Shelf,
    header: SnapshotHeader,
    kept: Option<Box<dyn SnapshotSink>>,
    began: Kept,
    arrived: Kept,
    _open: Open,
}

/// Counts a [`Sink`] while it lives.
struct Open(Arc<watch::Sender<usize>>);

impl Shelf {
    /// Keeps what arrives in memory. The valve lets `open_to` bytes of each snapshot be written.
    pub(super) fn keeping(open_to: u64) -> (Self, Valve) {
        let (valve, pipe) = Valve::new(open_to);
        let shelf = Self {
            kept: Some(MemoryStores::new().open().snapshots),
            finished: Arc::default(),
            open: Arc::new(watch::Sender::new(0)),
            pipe,
            fails_at: None,
        };
        (shelf, valve)
    }

    /// Forgets every byte that arrives.
    pub(super) fn forgetting(open_to: u64) -> (Self, Valve) {
        let (shelf, valve) = Self::keeping(open_to);
        (
            Self {
                kept: None,
                ..shelf
            },
            valve,
        )
    }

    /// Cannot write more than so many bytes.
    pub(super) fn failing_at(fails_at: u64) -> (Self, Valve) {
        let (shelf, valve) = Self::keeping(u64::MAX);
        let fails_at = Some(fails_at);
        (Self { fails_at, ..shelf }, valve)
    }

    /// Waits until nobody writes.
    pub(super) async fn at_rest(&self) {
        let mut open = self.open.subscribe();
        let at_rest = open.wait_for(|open| *open == 0).await;
        drop(at_rest.expect("the shelf holds the other end"));
    }

    /// The snapshots that are there.
    pub(super) fn finished(&self) -> Vec<SnapshotMeta> {
        self.lock().clone()
    }

    /// Panics unless `state` is there, byte for byte.
    pub(super) fn assert_holds(&self, state: State) {
        let meta = state.meta();
        let finished = self.finished();
        assert!(
            finished.contains(&meta),
            "expected {meta}, found {finished:?}"
        );
        let Some(kept) = &self.kept else {
            return;
        };
        let (_, mut data) = kept.open(meta.id()).expect("open what was finished");
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)
            .expect("read what was finished");
        let mut expected = vec![0; bytes.len()];
        state.fill(0, &mut expected);
        assert_eq!(bytes.len() as u64, state.size, "{meta} has another size");
        assert!(bytes == expected, "{meta} has other bytes than were sent");
    }

    fn sink(&self, header: &SnapshotHeader, kept: Option<Box<dyn SnapshotSink>>) -> Box<Sink> {
        let began = kept.as_ref().map_or(Kept::NOTHING, |sink| sink.kept());
        Box::new(Sink {
            shelf: self.clone(),
            header: header.clone(),
            kept,
            began,
            arrived: began,
            _open: Open::new(&self.open),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SnapshotMeta>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl SnapshotStore for Shelf {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        Ok(self.finished())
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let kept = self.kept.as_ref().map(|kept| kept.create(header));
        Ok(self.sink(header, kept.transpose()?))
    }

    fn receive(&self, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let kept = self.kept.as_ref().map(|kept| kept.receive(meta));
        Ok(self.sink(&meta.header, kept.transpose()?))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        match &self.kept {
            Some(kept) => kept.open(last),
            None => Err(StoreError::Misuse {
                place: "a store that forgets".into(),
                detail: format!("snapshot {last} was not kept"),
            }),
        }
    }

    fn retain(&self, _: usize, _: LogIndex) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self
            .shelf
            .fails_at
            .is_some_and(|at| self.arrived.size >= at)
        {
            return Err(io::Error::other("the device is full"));
        }
        let open = self.shelf.pipe.pass(self.arrived.size);
        let count = usize::try_from(open).unwrap_or(usize::MAX).min(bytes.len());
        let (now, _) = bytes.split_at(count);
        let written = match &mut self.kept {
            Some(kept) => kept.write(now)?,
            None => count,
        };
        let (now, _) = now.split_at(written);
        self.arrived.add(now);
        self.shelf.pipe.note(self.arrived.size);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for Sink {
    fn kept(&self) -> Kept {
        self.began
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let Self {
            shelf,
            header,
            kept,
            arrived,
            ..
        } = *self;
        let meta = match kept {
            Some(kept) => kept.finish()?,
            None => SnapshotMeta {
                header,
                size: arrived.size,
                checksum: arrived.checksum,
            },
        };
        shelf.lock().push(meta.clone());
        Ok(meta)
    }

    fn discard(self: Box<Self>) {
        if let Some(kept) = self.kept {
            kept.discard();
        }
    }
}
