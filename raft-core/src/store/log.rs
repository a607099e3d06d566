//! The contract of a log store.

use std::ops::Range;

use super::StoreError;
use crate::entry::Entry;
use crate::id::{ChainLink, LogIndex};

/// Stores the entries of one group's log.
///
/// **Thread.** One thread owns the store and makes every call; readers are separate values that
/// live on other threads. Every call may block, unless [`LogStore::may_block`] says otherwise.
///
/// **Order.** The calls between two syncs take effect in order: after a crash the log holds the
/// effect of some prefix of the calls made since the last sync, never of a later call without an
/// earlier one, and never part of one entry.
///
/// **Durability.** Nothing is promised before [`LogStore::sync`] returns; then everything called
/// before it is durable. A store may keep calls in memory until then.
///
/// **Checks.** The log is contiguous, and every entry [follows](Entry::follows) the one before
/// it: indexes rise by one, terms never fall, and the record's chain holds. A store verifies each
/// record's checksums whenever it reads it, and says [`StoreError::Damaged`] with the index when
/// they fail. It never returns fewer entries than it holds in order to hide damage.
///
/// **Errors.** Any error ends the store's use: the owner drops it and opens it anew. After an
/// error the effect of the failed call, and of those since the last sync, is unknown.
pub trait LogStore: Send + 'static {
    /// Where the log begins and ends, buffered calls included.
    ///
    /// # Errors
    /// [`StoreError`] if the bounds cannot be read.
    fn bounds(&self) -> Result<LogBounds, StoreError>;

    /// Adds `entries` at the end. They are contiguous, and the first follows the last entry, or
    /// the purged part if there is none.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for a gap or a broken chain, with nothing appended.
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError>;

    /// Removes the entries at `from` and after. Beyond the end it removes nothing.
    ///
    /// # Errors
    /// [`StoreError::Purged`] if `from` was purged: what lies there cannot be told apart any more.
    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError>;

    /// Removes the entries through `through`, which a durable snapshot replaces. If the log does
    /// not hold exactly that entry (it ends before it, or has another one there), the whole log
    /// goes, and the next entry follows `through`. Behind the purged part it does nothing.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError>;

    /// Makes every earlier call durable.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the caller stops the node. A failed sync is never repeated: the system
    /// may have dropped the pages and would report success (RULE 4).
    fn sync(&mut self) -> Result<(), StoreError>;

    /// A view for another thread. It sees at least what the last sync made durable.
    ///
    /// # Errors
    /// [`StoreError`] if no view can be opened.
    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError>;

    /// Whether calls may block on a device. Where this is false, the node calls the store on its
    /// event loop and saves two hops between threads a write.
    fn may_block(&self) -> bool {
        true
    }
}

/// Reads a log while another thread writes it.
pub trait LogReader: Send + 'static {
    /// Reads entries from `range.start` on: at least one, then as many as fit into `bytes_max` of
    /// records, none at or beyond `range.end`. The range is not empty and ends at or before the
    /// end of the durable log.
    ///
    /// # Errors
    /// [`StoreError::Purged`] if the first entry was purged meanwhile, [`StoreError::Damaged`] with
    /// the index of a record whose checksum fails, [`StoreError::Misuse`] if an entry in the range
    /// is neither there nor purged.
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError>;
}

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// The last purged entry; [`ChainLink::ORIGIN`] if none was. The first entry follows it.
    pub purged: ChainLink,
    /// The last entry; equal to `purged` if the log is empty.
    pub last: ChainLink,
}

impl LogBounds {
    /// The indexes of the entries that are there.
    pub fn range(&self) -> Range<LogIndex> {
        self.purged.id.index.next()..self.last.id.index.next()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.purged.id.index == self.last.id.index
    }

    /// For stores: checks that `entries` are contiguous and follow the last entry, and returns the
    /// last link after them. `place` names the store in the error.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for a gap or a broken chain.
    pub fn extended_by(&self, entries: &[Entry], place: &str) -> Result<ChainLink, StoreError> {
        let mut last = self.last;
        for entry in entries {
            if !entry.follows(last) {
                return Err(StoreError::Misuse {
                    place: place.to_owned(),
                    detail: format!(
                        "entry {} names predecessor #{:08x}, and cannot follow {last}",
                        entry.link(),
                        entry.previous_checksum()
                    ),
                });
            }
            last = entry.link();
        }
        Ok(last)
    }

    /// For stores: checks that the entry `index` was not purged.
    ///
    /// # Errors
    /// [`StoreError::Purged`] if it was.
    pub fn check_not_purged(&self, index: LogIndex) -> Result<(), StoreError> {
        let purged = self.purged.id.index;
        if index > purged {
            return Ok(());
        }
        Err(StoreError::Purged {
            requested: index,
            purged,
        })
    }

    /// For readers: the error that the entry `index`, which was asked for, lies beyond the end.
    pub fn missing(&self, index: LogIndex, place: &str) -> StoreError {
        StoreError::Misuse {
            place: place.to_owned(),
            detail: format!(
                "entry {index} was asked for, the log ends with {}",
                self.last
            ),
        }
    }
}
