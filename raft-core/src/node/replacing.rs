//! A backup in the log takes the place of the state.
//!
//! When the end of a restoration is applied, its pieces are read back from this node's own log and
//! become a snapshot at that entry; the machine is restored from it, like from any other. So there is
//! no second place where a backup gathers, a crash in between finds either the log or the snapshot,
//! and what the log carried can be purged at once. In memory there is a piece of the log at a time.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::applier::{Applier, Progress, failed};
use super::error::StopReason;
use crate::consensus::Backup;
use crate::entry::Entry;
use crate::id::LogIndex;
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::state_machine::StateMachineError;
use crate::store::{LogReader, SnapshotStore, StoreError};

/// Reads the log in pieces of this size, or an entry.
const READ_BYTES: usize = 1 << 20;

impl Applier {
    /// `end` is applied. May block.
    pub(super) fn replace(
        &mut self,
        end: &Entry,
        backup: &Backup,
        progress: &mut Progress,
    ) -> Result<(), StopReason> {
        let mut position = self.position.clone();
        position.advance(end);
        let header = position.header().ok_or_else(|| {
            let text = format!("entry {} comes before every membership", end.id());
            failed(StateMachineError::new(text))
        })?;
        match copy(
            self.log.as_mut(),
            self.snapshots.as_ref(),
            &header,
            backup,
            end.index(),
        ) {
            Ok(meta) => {
                progress.through = Some(self.restore(&meta)?);
                progress.responses.push((end.id(), Bytes::new()));
                let ends_delay = std::mem::take(&mut self.is_delayed);
                progress.replaced.push(Replaced { meta, ends_delay });
                Ok(())
            }
            // The state that a leader has sent is a later one, and on its way to the machine. Until
            // it is there, the machine must not be given more: it lacks this backup.
            Err(StoreError::Purged { .. }) => {
                self.is_overtaken = true;
                Ok(())
            }
            Err(error) => Err(StopReason::Store(Arc::new(error))),
        }
    }
}

/// The state was replaced by a backup.
#[derive(Debug)]
pub(super) struct Replaced {
    /// The snapshot that it became.
    pub(super) meta: SnapshotMeta,
    /// A snapshot was asked for meanwhile: this is the one.
    pub(super) ends_delay: bool,
}

/// Makes the pieces of `backup` a snapshot.
fn copy(
    log: &mut dyn LogReader,
    snapshots: &dyn SnapshotStore,
    header: &SnapshotHeader,
    backup: &Backup,
    end: LogIndex,
) -> Result<SnapshotMeta, StoreError> {
    let place = || format!("snapshot {}", header.last.id);
    let mut sink = snapshots.create(header)?;
    let mut copied = Kept::NOTHING;
    let mut next = backup.begin.index.next();
    while next < end {
        let entries = log.read(next..end, READ_BYTES)?;
        for data in entries.iter().filter_map(|entry| backup.piece(entry)) {
            sink.write_all(data)
                .map_err(StoreError::io(place(), "write a backup"))?;
            copied.add(data);
        }
        let last = entries.last().map_or(next, Entry::index);
        next = last.next();
    }
    if copied != backup.all {
        let what = format!("restoration {}", backup.begin);
        let detail = format!("{copied:?} lie where {:?} were applied", backup.all);
        return Err(StoreError::damaged("log", what, &detail));
    }
    sink.finish()
}
