//! Suites that every backend must pass: one property, one function, one named test.
//!
//! A backend implements [`Backend`] and calls a macro in a test file:
//!
//! ```
//! use raft_core::conformance::Backend;
//! use raft_core::memory::MemoryStores;
//! use raft_core::store::Stores;
//!
//! #[derive(Default)]
//! struct Memory(MemoryStores);
//!
//! impl Backend for Memory {
//!     fn open(&mut self) -> Stores {
//!         self.0.open()
//!     }
//! }
//!
//! mod log {
//!     raft_core::log_conformance!(super::Memory::default());
//! }
//! # fn main() {}
//! ```
//!
//! A failed property panics with what it expected and what it found. Transports have a suite of their
//! own: [`transport`].

pub mod log;
mod make;
pub mod model;
pub mod snapshot;
pub mod stable;
pub mod transport;

pub use make::{command, entries_after, sized};

use crate::store::Stores;

/// Stores under test.
pub trait Backend {
    /// Opens the stores; everything from an earlier opening was dropped before. The first opening
    /// finds them empty, a later one finds what was made durable.
    fn open(&mut self) -> Stores;
}

/// A test for each property of a [`crate::store::LogStore`]. `$backend` makes a new, empty
/// [`Backend`].
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
            truncating_beyond_the_end_removes_nothing,
            truncating_the_purged_part_is_refused,
            purging_in_the_middle_keeps_the_rest,
            purging_at_the_end_leaves_an_empty_log_that_goes_on,
            purging_beyond_the_end_drops_the_log,
            purging_through_another_entry_drops_the_log,
            purging_again_changes_nothing,
            calls_between_two_syncs_may_cross,
            a_read_gives_at_least_one_entry_within_its_bytes,
            a_read_of_purged_entries_says_so,
            a_read_beyond_the_end_is_misuse,
            a_reader_goes_on_during_truncation_and_purge,
            readers_see_whole_entries_while_another_thread_writes,
        ] }
        $crate::conformance_tests! { model, $backend, [
            random_calls_agree_with_a_simple_model,
        ] }
    };
}

/// A test for each property of a [`crate::store::StableStore`]. `$backend` makes a new, empty
/// [`Backend`].
#[macro_export]
macro_rules! stable_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { stable, $backend, [
            a_record_that_was_never_set_is_none,
            a_set_record_is_there_at_once_and_after_reopening,
            a_record_is_replaced_as_a_whole,
            records_do_not_touch_each_other_or_the_log,
            an_empty_record_is_not_an_absent_one,
        ] }
    };
}

/// A test for each property of a [`crate::store::SnapshotStore`]. `$backend` makes a new, empty
/// [`Backend`].
#[macro_export]
macro_rules! snapshot_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { snapshot, $backend, [
            a_new_store_has_no_snapshots,
            a_finished_snapshot_is_read_back_and_outlives_reopening,
            an_empty_snapshot_is_read_back,
            an_unfinished_snapshot_is_invisible_and_leaves_nothing,
            the_newest_snapshot_comes_first,
            finishing_the_same_snapshot_again_replaces_it,
            two_snapshots_may_be_written_at_once,
            retention_keeps_the_newest_and_never_none,
            retention_leaves_alone_what_is_newer_than_it_was_told_of,
            a_received_snapshot_that_was_cut_off_is_gone_on_with,
            what_was_kept_of_another_snapshot_is_not_gone_on_with,
            a_received_part_that_is_discarded_is_gone,
            a_second_attempt_does_not_mix_with_the_first,
            a_reader_that_starts_later_gives_the_rest,
            a_snapshot_that_is_not_there_is_misuse,
            an_open_reader_reads_on_after_removal,
        ] }
    };
}

/// One `#[test]` for each named property.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($suite:ident, $backend:expr, [$($property:ident,)*]) => {
        $(
            #[test]
            fn $property() {
                $crate::conformance::$suite::$property(&mut $backend);
            }
        )*
    };
}
