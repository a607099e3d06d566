//! A group that begins with a state: a backup of another group, or of its own former life.
//!
//! The state becomes a snapshot at entry one, before anything else is in the stores: a log cannot
//! contradict it, and members that join later get it like any other snapshot. A crash before the
//! snapshot is finished leaves stores that count as empty, and the next start repeats it; a crash
//! after it leaves a log that is aligned with it by every start.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::backup::BackupMeta;
use super::error::StartError;
use crate::id::{ChainLink, LogId, Term};
use crate::membership::Membership;
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::store::{LogStore, SnapshotStore};

/// What a state machine once wrote, and what is known of it.
pub(super) struct InitialState {
    pub(super) meta: BackupMeta,
    pub(super) data: Box<dyn Read + Send>,
}

impl InitialState {
    /// Makes it the first snapshot of empty stores. Returns what is now in the store.
    ///
    /// Its checksum stands for the entry that the snapshot ends with, so that founding members with
    /// different states notice it as soon as one of them leads.
    pub(super) fn found(
        mut self,
        membership: Membership,
        snapshots: &dyn SnapshotStore,
        log: &mut dyn LogStore,
    ) -> Result<SnapshotMeta, StartError> {
        let first = ChainLink {
            id: LogId::new(Term::ZERO.next(), ChainLink::ORIGIN.id.index.next()),
            checksum: self.meta.snapshot.checksum,
        };
        let header = SnapshotHeader {
            last: first,
            time: self.meta.snapshot.header.time,
            membership: Arc::new(membership),
            membership_at: first.id,
        };
        let mut sink = Counting {
            sink: snapshots.create(&header)?,
            kept: Kept::NOTHING,
        };
        let unreadable = |error: io::Error| StartError::InitialState(error.to_string());
        io::copy(&mut self.data, &mut sink).map_err(unreadable)?;
        let expected = &self.meta.snapshot;
        if !sink.kept.is_all_of(expected) {
            let Kept { size, checksum } = sink.kept;
            return Err(StartError::InitialState(format!(
                "{size} bytes with checksum {checksum:08x} were read of {expected} with checksum {:08x}",
                expected.checksum
            )));
        }
        let meta = sink.sink.finish()?;
        log.purge_prefix(first)?;
        log.sync()?;
        tracing::info!(%meta, was = %self.meta, "the group begins with a state");
        Ok(meta)
    }
}

/// Notes what passes.
struct Counting<W> {
    sink: W,
    kept: Kept,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        let (taken, _) = bytes.split_at(written);
        self.kept.add(taken);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl fmt::Debug for InitialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitialState")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
