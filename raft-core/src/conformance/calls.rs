//! Calls that must succeed, in short.

use super::{Backend, entries_after};
use crate::entry::Entry;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::store::{LogBounds, LogStore, StoreError, Stores};

pub(super) fn filled(backend: &mut dyn Backend, count: usize) -> (Stores, Vec<Entry>) {
    let mut stores = backend.open();
    let entries = entries_after(ChainLink::ORIGIN, 1, count);
    if bounds(&stores).last == ChainLink::ORIGIN {
        append(&mut stores, &entries);
        sync(&mut stores);
    }
    (stores, entries)
}

pub(super) fn assert_refused(backend: &mut dyn Backend, stored: &[Entry], refused: &[Entry]) {
    let mut stores = backend.open();
    if bounds(&stores).is_empty() {
        append(&mut stores, stored);
        sync(&mut stores);
    }
    let result = stores.log.append(refused);
    assert!(
        matches!(result, Err(StoreError::Misuse { .. })),
        "{refused:?} after {stored:?}: {result:?}"
    );
    assert_eq!(bounds(&stores).last, last_link(stored));
    drop(stores);
    assert_log(&backend.open(), ChainLink::ORIGIN, stored);
}

/// Checks the bounds and every entry.
#[track_caller]
pub(super) fn assert_log(stores: &Stores, purged: ChainLink, entries: &[Entry]) {
    let last = entries.last().map_or(purged, Entry::link);
    assert_eq!(bounds(stores), LogBounds { purged, last });
    if entries.is_empty() {
        return;
    }
    let range = bounds(stores).range();
    let found = read(stores, range.start.get(), range.end.get(), usize::MAX);
    assert_eq!(found.expect("every entry is there"), entries);
}

#[track_caller]
pub(super) fn bounds(stores: &Stores) -> LogBounds {
    stores.log.bounds().expect("the bounds")
}

#[track_caller]
pub(super) fn append(stores: &mut Stores, entries: &[Entry]) {
    stores.log.append(entries).expect("append");
}

#[track_caller]
pub(super) fn truncate(stores: &mut Stores, from: u64) {
    let from = LogIndex::new(from);
    stores.log.truncate_suffix(from).expect("truncate");
}

#[track_caller]
pub(super) fn purge(stores: &mut Stores, through: ChainLink) {
    stores.log.purge_prefix(through).expect("purge");
}

#[track_caller]
pub(super) fn sync(stores: &mut Stores) {
    stores.log.sync().expect("sync");
}

pub(super) fn read(
    stores: &Stores,
    from: u64,
    to: u64,
    bytes_max: usize,
) -> Result<Vec<Entry>, StoreError> {
    let log: &dyn LogStore = &*stores.log;
    let range = LogIndex::new(from)..LogIndex::new(to);
    log.reader()?.read(range, bytes_max)
}

pub(super) fn last_link(entries: &[Entry]) -> ChainLink {
    entries.last().map_or(ChainLink::ORIGIN, Entry::link)
}

pub(super) fn link(index: u64, term: u64) -> ChainLink {
    ChainLink {
        id: LogId::new(Term::new(term), LogIndex::new(index)),
        checksum: 0xabcd,
    }
}
