//! Properties of a log store: what may be appended, cut off and purged, and what outlives reopening.

#![expect(clippy::indexing_slicing, reason = "a property that fails panics")]

use super::calls::{
    append, assert_log, assert_refused, bounds, filled, last_link, link, purge, sync, truncate,
};
use super::{Backend, command, entries_after, sized};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{ChainLink, LogIndex, Term};
use crate::store::{LogBounds, StoreError};
use crate::time::ClusterTime;

/// A test for each property of a [`LogStore`](crate::store::LogStore). `$backend` makes a new,
/// empty [`Backend`].
#[macro_export]
macro_rules! log_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { log, $backend, [
            a_new_log_is_empty,
            appended_entries_are_read_back,
            entries_without_payload_are_read_back,
            an_entry_of_sixteen_mebibytes_is_read_back,
            a_gap_is_refused,
            a_broken_chain_is_refused,
            a_falling_term_is_refused,
            one_sync_covers_every_earlier_call,
            synced_entries_outlive_reopening,
            a_truncated_suffix_is_replaced_by_another_term,
            a_shorter_suffix_leaves_nothing_of_a_longer_one,
            truncating_beyond_the_end_removes_nothing,
            truncating_the_purged_part_is_refused,
            purging_in_the_middle_keeps_the_rest,
            purging_at_the_end_leaves_an_empty_log_that_goes_on,
            purging_beyond_the_end_drops_the_log,
            purging_beyond_entries_that_were_never_synced_drops_them,
            purging_through_another_entry_drops_the_log,
            purging_again_changes_nothing,
            calls_between_two_syncs_may_cross,
        ] }
        $crate::conformance_tests! { reading, $backend, [
            a_read_gives_at_least_one_entry_within_its_bytes,
            a_read_of_purged_entries_says_so,
            a_read_beyond_the_end_is_misuse,
            a_reader_goes_on_during_truncation_and_purge,
            readers_see_whole_entries_while_another_thread_writes,
            a_long_log_is_kept_and_found,
        ] }
        $crate::conformance_tests! { model, $backend, [
            random_calls_agree_with_a_simple_model,
        ] }
    };
}

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

/// Whatever was behind the new end is gone, though nothing was written over it.
pub fn a_shorter_suffix_leaves_nothing_of_a_longer_one(backend: &mut dyn Backend) {
    let (mut stores, old) = filled(backend, 40);
    let mut kept = old[..10].to_vec();
    truncate(&mut stores, 11);
    for term in 2..5 {
        sync(&mut stores);
        drop(stores);
        stores = backend.open();
        assert_log(&stores, ChainLink::ORIGIN, &kept);
        let new = command(last_link(&kept), term);
        append(&mut stores, std::slice::from_ref(&new));
        kept.push(new);
    }
    sync(&mut stores);
    drop(stores);
    let mut stores = backend.open();
    assert_log(&stores, ChainLink::ORIGIN, &kept);
    let more = entries_after(last_link(&kept), 5, 40);
    append(&mut stores, &more);
    sync(&mut stores);
    drop(stores);
    let expected = [kept, more].concat();
    assert_log(&backend.open(), ChainLink::ORIGIN, &expected);
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

/// The snapshot came before the disk had caught up.
pub fn purging_beyond_entries_that_were_never_synced_drops_them(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 4);
    append(&mut stores, &entries_after(entries[3].link(), 1, 5));
    let ahead = link(12, 3);
    purge(&mut stores, ahead);
    let more = entries_after(ahead, 3, 1);
    append(&mut stores, &more);
    sync(&mut stores);
    assert_log(&stores, ahead, &more);
    drop(stores);
    let mut stores = backend.open();
    assert_log(&stores, ahead, &more);
    purge(&mut stores, link(40, 4));
    sync(&mut stores);
    drop(stores);
    assert_log(&backend.open(), link(40, 4), &[]);
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
