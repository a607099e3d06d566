//! What a node finds on its disk when it starts.

use std::sync::Arc;

use super::log_view::LogView;
use super::memberships::Memberships;
use crate::config::Config;
use crate::entry::{Entry, Payload};
use crate::former_lives::FormerLives;
use crate::hard_state::HardState;
use crate::id::{ChainLink, LogId, LogIndex};
use crate::snapshot::SnapshotMeta;
use crate::time::ClusterTime;

/// Collects what was stored, in order, and checks that it fits together.
///
/// Feed it every entry of the log, from the first after the purged part to the last; each is read
/// once. If the newest snapshot ends beyond the log, or where the log has another entry, purge the
/// log through the snapshot's end first: the snapshot is of committed entries, the log is behind.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Option<SnapshotMeta>,
    pub(super) log: LogView,
    pub(super) memberships: Memberships,
    pub(super) former: Option<FormerLives>,
}

/// Stored parts that do not fit together: the data is damaged, or not from one node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// An entry does not follow the one before it.
    #[error("entry {found} does not follow {previous}: index, term or checksum chain is broken")]
    BrokenChain {
        /// The entry before.
        previous: ChainLink,
        /// The entry that should follow.
        found: LogId,
    },
    /// Entries were purged, and the snapshot that replaces them is not there.
    #[error(
        "the log begins after {purged}, and no snapshot covers what was purged (newest: {snapshot:?})"
    )]
    SnapshotMissing {
        /// The last purged entry.
        purged: LogId,
        /// The last entry of the newest readable snapshot.
        snapshot: Option<LogId>,
    },
    /// The snapshot ends at an entry that the log has with other content.
    #[error("snapshot {snapshot} and log ({log}) disagree about that entry")]
    SnapshotConflict {
        /// The snapshot's end.
        snapshot: ChainLink,
        /// The log's entry.
        log: ChainLink,
    },
}

impl Recovery {
    /// Begins with term and vote, the newest readable snapshot, and the end of the purged part.
    ///
    /// # Errors
    /// [`RecoveryError::SnapshotMissing`] if nothing covers the purged part.
    pub fn new(
        config: &Config,
        hard_state: HardState,
        snapshot: Option<SnapshotMeta>,
        purged: ChainLink,
    ) -> Result<Self, RecoveryError> {
        let covered = snapshot.as_ref().map(SnapshotMeta::id);
        if purged.id.index > covered.map_or(LogIndex::ZERO, |last| last.index) {
            return Err(RecoveryError::SnapshotMissing {
                purged: purged.id,
                snapshot: covered,
            });
        }
        let header = snapshot.as_ref().map(|meta| &meta.header);
        let time = header.map_or(ClusterTime::ZERO, |header| header.time);
        // The log may hold memberships behind the snapshot's end too; they are replayed in order,
        // so the history begins with the snapshot's only if that lies in the purged part.
        let base = header.map(|header| (header.membership_at, Arc::clone(&header.membership)));
        let log = LogView::new(purged, time, config.cached_bytes_max);
        Ok(Self {
            hard_state,
            snapshot,
            log,
            memberships: Memberships::new(base),
            former: None,
        })
    }

    /// The stores began anew, for those of these lives were damaged.
    #[must_use]
    pub fn after(mut self, former: Option<FormerLives>) -> Self {
        self.former = former;
        self
    }

    /// Adds the next entry of the stored log.
    ///
    /// # Errors
    /// [`RecoveryError::BrokenChain`] if it does not follow, [`RecoveryError::SnapshotConflict`] if
    /// it contradicts the snapshot.
    pub fn replay(&mut self, entry: Entry) -> Result<(), RecoveryError> {
        let previous = self.log.last();
        if !entry.follows(previous) {
            return Err(RecoveryError::BrokenChain {
                previous,
                found: entry.id(),
            });
        }
        if let Some(snapshot) = self.snapshot.as_ref().map(|meta| meta.header.last)
            && snapshot.id.index == entry.index()
            && snapshot != entry.link()
        {
            return Err(RecoveryError::SnapshotConflict {
                snapshot,
                log: entry.link(),
            });
        }
        if let Payload::Membership { membership, .. } = entry.payload()
            && entry.index() > self.memberships.current_at().index
        {
            self.memberships.push(entry.id(), Arc::clone(membership));
        }
        let through = entry.index();
        self.log.push(entry);
        // It was read from the disk, so it is there, and may leave the memory again.
        self.log.set_durable(through);
        Ok(())
    }

    /// The last entry so far.
    pub fn last(&self) -> ChainLink {
        self.log.last()
    }
}
