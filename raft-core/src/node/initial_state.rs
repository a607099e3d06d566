//! A group that begins with a state: a backup of another group, or of its own former life.
//!
//! The state becomes a snapshot at entry one, before anything else is in the stores: a log cannot
//! contradict it, and members that join later get it like any other snapshot. A crash before the
//! snapshot is finished leaves stores that count as empty, and the next start repeats it; a crash
//! after it leaves a log that is aligned with it by every start. So nothing may be wrong with the state
//! once it is finished: it would be restored by every start, and fail every one.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use super::backup::BackupMeta;
use super::checking::{next_piece, take_all};
use super::error::StartError;
use crate::id::{ChainLink, LogId, Term};
use crate::membership::Membership;
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::state_machine::RestoreCheck;
use crate::store::{LogStore, SnapshotStore, StoreError};

/// Reads so much at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a state machine once wrote, and what is known of it.
pub(crate) struct InitialState {
    pub(super) meta: BackupMeta,
    pub(super) data: Box<dyn Read + Send>,
}

impl InitialState {
    /// Makes it the first snapshot of empty stores. Returns what is now in the store.
    ///
    /// Its checksum stands for the entry that the snapshot ends with, so that founding members with
    /// different states notice it as soon as one of them leads. What `check` or the description refuses
    /// leaves the stores empty.
    pub(super) fn found(
        mut self,
        membership: Membership,
        check: Option<&RestoreCheck>,
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
        let mut sink = snapshots.create(&header)?;
        let announced = &self.meta.snapshot;
        let mut read = Kept::NOTHING;
        let next = || {
            let piece = next_piece(self.data.as_mut(), announced, &mut read, PIECE_BYTES);
            let piece = piece.map_err(StartError::InitialState)?;
            sink.write_all(&piece).map_err(unwritable)?;
            Ok(piece)
        };
        // Before the snapshot is finished: one that is dropped leaves nothing.
        take_all(announced, check, next, StartError::UnreadableState)?;
        let meta = sink.finish()?;
        log.purge_prefix(first)?;
        log.sync()?;
        tracing::info!(%meta, was = %self.meta, "the group begins with a state");
        Ok(meta)
    }
}

/// The store is to blame, not the state. A sink wraps the store's own error where it has one.
fn unwritable(error: io::Error) -> StartError {
    let error = match error.downcast::<StoreError>() {
        Ok(named) => named,
        Err(error) => StoreError::io("snapshots", "write")(error),
    };
    error.into()
}

impl fmt::Debug for InitialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitialState")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
