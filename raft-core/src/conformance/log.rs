//! Properties of a log store.

#![expect(clippy::indexing_slicing, reason = "a property that fails panics")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Backend, command, entries_after, sized};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::store::{LogBounds, LogStore, StoreError, Stores};
use crate::time::ClusterTime;

/// Empty, after nothing.
pub fn a_new_log_is_empty(backend: &mut dyn Backend) {
    let stores = backend.open();
    assert_eq!(bounds(&stores), LogBounds::default());
    assert!(bounds(&stores).is_empty());
}

/// What was appended is read, byte for byte.
pub fn appended_entries_are_read_back(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let entries = entries_after(ChainLink::ORIGIN, 1, 100);
    append(&mut stores, &entries[..1]);
    append(&mut stores, &entries[1..]);
    sync(&mut stores);
    assert_log(&stores, ChainLink::ORIGIN, &entries);
}

/// Blank entries and empty commands keep their kind.
pub fn entries_without_payload_are_read_back(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let (term, time) = (Term::new(1), ClusterTime::ZERO);
    let blank = Entry::new(ChainLink::ORIGIN, term, time, Sealed::new(Payload::Blank));
    let empty = Entry::new(blank.link(), term, time, Sealed::command(Vec::new()));
    let entries = [blank, empty];
    append(&mut stores, &entries);
    append(&mut stores, &[]);
    sync(&mut stores);
    assert_log(&stores, ChainLink::ORIGIN, &entries);
}

/// Large entries are nothing special.
pub fn an_entry_of_sixteen_mebibytes_is_read_back(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let mut entries = entries_after(ChainLink::ORIGIN, 1, 2);
    entries.push(sized(last_link(&entries), 1, 16 << 20));
    entries.push(command(last_link(&entries), 1));
    append(&mut stores, &entries);
    sync(&mut stores);
    drop(stores);
    assert_log(&backend.open(), ChainLink::ORIGIN, &entries);
}

/// An entry that skips an index is misuse, and nothing of the call is appended.
pub fn a_gap_is_refused(backend: &mut dyn Backend) {
    let entries = entries_after(ChainLink::ORIGIN, 1, 5);
    for refused in [&entries[3..], &entries[1..2], &entries[..1]] {
        assert_refused(backend, &entries[..2], refused);
    }
    let with_gap = [entries[2].clone(), entries[4].clone()];
    assert_refused(backend, &entries[..2], &with_gap);
}

/// An entry that names another predecessor is misuse.
pub fn a_broken_chain_is_refused(backend: &mut dyn Backend) {
    let entries = entries_after(ChainLink::ORIGIN, 1, 3);
    let mut stranger = entries[1].link();
    stranger.checksum ^= 1;
    assert_refused(backend, &entries[..2], &[command(stranger, 1)]);
}

/// An entry of a lower term than its predecessor is misuse.
pub fn a_falling_term_is_refused(backend: &mut dyn Backend) {
    let entries = entries_after(ChainLink::ORIGIN, 2, 2);
    assert_refused(backend, &entries, &[command(last_link(&entries), 1)]);
}

/// Several appends, a truncation and a purge need one sync.
pub fn one_sync_covers_every_earlier_call(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let first = entries_after(ChainLink::ORIGIN, 1, 6);
    for entry in &first {
        append(&mut stores, std::slice::from_ref(entry));
    }
    truncate(&mut stores, 5);
    let second = entries_after(first[3].link(), 2, 3);
    append(&mut stores, &second);
    purge(&mut stores, first[1].link());
    sync(&mut stores);
    sync(&mut stores);
    drop(stores);
    let expected = [&first[2..4], &second].concat();
    assert_log(&backend.open(), first[1].link(), &expected);
}

/// Reopening finds what was synced, several times over.
pub fn synced_entries_outlive_reopening(backend: &mut dyn Backend) {
    let entries = entries_after(ChainLink::ORIGIN, 1, 30);
    for (from, to) in [(0, 10), (10, 11), (11, 30)] {
        let mut stores = backend.open();
        assert_log(&stores, ChainLink::ORIGIN, &entries[..from]);
        append(&mut stores, &entries[from..to]);
        sync(&mut stores);
    }
    assert_log(&backend.open(), ChainLink::ORIGIN, &entries);
}

/// Entries of a new leader replace the old suffix, which never comes back.
pub fn a_truncated_suffix_is_replaced_by_another_term(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let old = entries_after(ChainLink::ORIGIN, 1, 20);
    append(&mut stores, &old);
    sync(&mut stores);
    truncate(&mut stores, 8);
    assert_eq!(bounds(&stores).last, old[6].link());
    let new = entries_after(old[6].link(), 2, 5);
    append(&mut stores, &new);
    sync(&mut stores);
    let expected = [&old[..7], &new].concat();
    assert_log(&stores, ChainLink::ORIGIN, &expected);
    drop(stores);
    let mut stores = backend.open();
    assert_log(&stores, ChainLink::ORIGIN, &expected);
    truncate(&mut stores, 1);
    sync(&mut stores);
    drop(stores);
    assert_log(&backend.open(), ChainLink::ORIGIN, &[]);
}

/// There is nothing to remove there.
pub fn truncating_beyond_the_end_removes_nothing(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 4);
    truncate(&mut stores, 5);
    truncate(&mut stores, 900);
    sync(&mut stores);
    assert_log(&stores, ChainLink::ORIGIN, &entries);
}

/// What was purged cannot be truncated; what follows it can.
pub fn truncating_the_purged_part_is_refused(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 6);
    purge(&mut stores, entries[2].link());
    let refused = stores.log.truncate_suffix(LogIndex::new(3));
    assert!(
        matches!(refused, Err(StoreError::Purged { requested, purged })
            if (requested, purged) == (LogIndex::new(3), LogIndex::new(3))),
        "{refused:?}"
    );
    drop(stores);
    let (mut stores, entries) = (backend.open(), entries);
    purge(&mut stores, entries[2].link());
    truncate(&mut stores, 4);
    sync(&mut stores);
    assert_log(&stores, entries[2].link(), &[]);
}

/// The entries after the purged ones stay, also after reopening.
pub fn purging_in_the_middle_keeps_the_rest(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 10);
    purge(&mut stores, entries[3].link());
    assert_eq!(bounds(&stores).purged, entries[3].link());
    sync(&mut stores);
    assert_log(&stores, entries[3].link(), &entries[4..]);
    drop(stores);
    assert_log(&backend.open(), entries[3].link(), &entries[4..]);
}

/// The log knows what it follows, and only that can be appended.
pub fn purging_at_the_end_leaves_an_empty_log_that_goes_on(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 4);
    purge(&mut stores, entries[3].link());
    sync(&mut stores);
    assert_log(&stores, entries[3].link(), &[]);
    drop(stores);
    let mut stores = backend.open();
    assert_log(&stores, entries[3].link(), &[]);
    let more = entries_after(entries[3].link(), 2, 2);
    append(&mut stores, &more);
    sync(&mut stores);
    assert_log(&stores, entries[3].link(), &more);
}

/// A snapshot from the leader may be ahead of the log: then nothing of the log stays.
pub fn purging_beyond_the_end_drops_the_log(backend: &mut dyn Backend) {
    let (mut stores, _) = filled(backend, 4);
    let ahead = link(100, 7);
    purge(&mut stores, ahead);
    assert_eq!(bounds(&stores).last, ahead);
    sync(&mut stores);
    drop(stores);
    let mut stores = backend.open();
    assert_log(&stores, ahead, &[]);
    let more = entries_after(ahead, 7, 3);
    append(&mut stores, &more);
    sync(&mut stores);
    drop(stores);
    assert_log(&backend.open(), ahead, &more);
}

/// The same index with another term, or another checksum: nothing of the log can be trusted.
pub fn purging_through_another_entry_drops_the_log(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 6);
    let mut other = entries[2].link();
    other.id.term = Term::new(9);
    purge(&mut stores, other);
    sync(&mut stores);
    assert_log(&stores, other, &[]);
    let more = entries_after(other, 9, 6);
    append(&mut stores, &more);
    sync(&mut stores);
    let mut other = more[1].link();
    other.checksum ^= 1;
    purge(&mut stores, other);
    sync(&mut stores);
    drop(stores);
    assert_log(&backend.open(), other, &[]);
}

/// A purge that lies behind the purged part, or ends with it, does nothing.
pub fn purging_again_changes_nothing(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 6);
    for at in [3, 3, 1] {
        purge(&mut stores, entries[at].link());
    }
    purge(&mut stores, link(2, 8));
    sync(&mut stores);
    assert_log(&stores, entries[3].link(), &entries[4..]);
}

/// Appends, truncations and purges of entries that are not yet synced.
pub fn calls_between_two_syncs_may_cross(backend: &mut dyn Backend) {
    let (mut stores, old) = filled(backend, 6);
    truncate(&mut stores, 5);
    let new = entries_after(old[3].link(), 2, 6);
    append(&mut stores, &new);
    truncate(&mut stores, 8);
    purge(&mut stores, new[1].link());
    assert_eq!(bounds(&stores).purged, new[1].link());
    assert_eq!(bounds(&stores).last, new[2].link());
    let newer = entries_after(new[2].link(), 3, 2);
    append(&mut stores, &newer);
    sync(&mut stores);
    let expected = [&new[2..3], &newer].concat();
    assert_log(&stores, new[1].link(), &expected);
    drop(stores);
    assert_log(&backend.open(), new[1].link(), &expected);
}

/// The limit counts records, and one entry always passes.
pub fn a_read_gives_at_least_one_entry_within_its_bytes(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let mut entries: Vec<Entry> = Vec::new();
    for bytes in [10, 2_000, 30, 30, 30] {
        let last = entries.last().map_or(ChainLink::ORIGIN, Entry::link);
        entries.push(sized(last, 1, bytes));
    }
    append(&mut stores, &entries);
    sync(&mut stores);
    let record = |at: usize| entries[at].record_bytes();
    for (from, bytes_max, count) in [
        (1, 0, 1),
        (2, 0, 1),
        (2, 1, 1),
        (3, record(2) + record(3), 2),
        (3, record(2) + record(3) - 1, 1),
        (1, record(0) + record(1), 2),
        (1, usize::MAX, 5),
    ] {
        let expected = &entries[from - 1..from - 1 + count];
        let found = read(&stores, from as u64, 6, bytes_max).expect("entries are there");
        assert_eq!(found, expected, "from {from} within {bytes_max}");
    }
    let found = read(&stores, 2, 4, usize::MAX).expect("entries are there");
    assert_eq!(found, entries[1..3]);
}

/// A follower that is too far behind must be told apart from a mistake.
pub fn a_read_of_purged_entries_says_so(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 6);
    purge(&mut stores, entries[2].link());
    sync(&mut stores);
    for from in [1, 3] {
        let refused = read(&stores, from, 5, usize::MAX);
        assert!(
            matches!(refused, Err(StoreError::Purged { .. })),
            "{refused:?}"
        );
    }
}

/// A store never answers with fewer entries in silence.
pub fn a_read_beyond_the_end_is_misuse(backend: &mut dyn Backend) {
    let (stores, _) = filled(backend, 3);
    for (from, to) in [(4, 5), (2, 6)] {
        let refused = read(&stores, from, to, usize::MAX);
        assert!(
            matches!(refused, Err(StoreError::Misuse { .. })),
            "{refused:?}"
        );
    }
}

/// A reader that was opened earlier sees what changed, and says what is gone.
pub fn a_reader_goes_on_during_truncation_and_purge(backend: &mut dyn Backend) {
    let (mut stores, old) = filled(backend, 10);
    let mut reader = stores.log.reader().expect("open a reader");
    let mut read = |from: u64, to: u64| {
        let range = LogIndex::new(from)..LogIndex::new(to);
        reader.read(range, usize::MAX)
    };
    assert_eq!(read(1, 11).expect("all is there"), old);
    truncate(&mut stores, 7);
    let new = entries_after(old[5].link(), 2, 3);
    append(&mut stores, &new);
    sync(&mut stores);
    assert_eq!(read(7, 10).expect("the new term"), new);
    assert_eq!(read(5, 7).expect("the old term"), old[4..6]);
    purge(&mut stores, old[4].link());
    sync(&mut stores);
    assert_eq!(read(6, 8).expect("both"), [old[5].clone(), new[0].clone()]);
    assert!(matches!(read(5, 7), Err(StoreError::Purged { .. })));
}

/// Reads during writes give entries of the log as it was at some moment, or say they were purged.
pub fn readers_see_whole_entries_while_another_thread_writes(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 40);
    let mut reader = stores.log.reader().expect("open a reader");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let range = LogIndex::new(21)..LogIndex::new(31);
                match reader.read(range, usize::MAX) {
                    Ok(found) => assert_eq!(found, entries[20..30]),
                    Err(StoreError::Purged { .. }) => return,
                    Err(error) => unreachable!("{error}"),
                }
            }
        });
        for purged in 1..=25_usize {
            truncate(&mut stores, 35);
            let suffix = entries_after(entries[33].link(), 1 + purged as u64, 6);
            append(&mut stores, &suffix);
            purge(&mut stores, entries[purged - 1].link());
            sync(&mut stores);
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn filled(backend: &mut dyn Backend, count: usize) -> (Stores, Vec<Entry>) {
    let mut stores = backend.open();
    let entries = entries_after(ChainLink::ORIGIN, 1, count);
    if bounds(&stores).last == ChainLink::ORIGIN {
        append(&mut stores, &entries);
        sync(&mut stores);
    }
    (stores, entries)
}

fn assert_refused(backend: &mut dyn Backend, stored: &[Entry], refused: &[Entry]) {
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
fn bounds(stores: &Stores) -> LogBounds {
    stores.log.bounds().expect("the bounds")
}

#[track_caller]
fn append(stores: &mut Stores, entries: &[Entry]) {
    stores.log.append(entries).expect("append");
}

#[track_caller]
fn truncate(stores: &mut Stores, from: u64) {
    let from = LogIndex::new(from);
    stores.log.truncate_suffix(from).expect("truncate");
}

#[track_caller]
fn purge(stores: &mut Stores, through: ChainLink) {
    stores.log.purge_prefix(through).expect("purge");
}

#[track_caller]
fn sync(stores: &mut Stores) {
    stores.log.sync().expect("sync");
}

fn read(stores: &Stores, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
    let log: &dyn LogStore = &*stores.log;
    let range = LogIndex::new(from)..LogIndex::new(to);
    log.reader()?.read(range, bytes_max)
}

fn last_link(entries: &[Entry]) -> ChainLink {
    entries.last().map_or(ChainLink::ORIGIN, Entry::link)
}

fn link(index: u64, term: u64) -> ChainLink {
    ChainLink {
        id: LogId::new(Term::new(term), LogIndex::new(index)),
        checksum: 0xabcd,
    }
}
