//! The conformance suites find what they are there to find: for each property there is a store that
//! breaks it, and the property fails on that and passes on the healthy one.

#[cfg(test)]
mod broken;
#[cfg(all(test, target_os = "linux"))]
mod disk;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod lazy;
#[cfg(test)]
mod log;
#[cfg(test)]
mod on_files;
#[cfg(test)]
mod quiet;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod stable;

#[cfg(test)]
mod table {
    use std::collections::BTreeSet;

    use raft_core::conformance;
    use tempfile::TempDir;

    use super::broken::{Broken, Fault};
    use super::journal::{self, Fault as JournalFault, Journal};
    use super::lazy::{Fault as LazyFault, Lazy};
    use super::on_files::{directory, on_files, open_snapshots};
    use super::quiet::quietly;

    /// A property, a store that keeps it, and one that does not.
    struct Row {
        fault: String,
        property: &'static str,
        healthy: fn(),
        broken: fn(),
    }

    macro_rules! rows {
        ($make:path, $faults:ident, [$($fault:ident => $suite:ident::$property:ident,)*]) => {
            vec![$(Row {
                fault: format!("{:?}", $faults::$fault),
                property: stringify!($property),
                healthy: || conformance::$suite::$property(&mut $make(None)),
                broken: || conformance::$suite::$property(&mut $make(Some($faults::$fault))),
            },)*]
        };
    }

    fn of_logs() -> Vec<Row> {
        rows! { Broken::new, Fault, [
            NewLogBeginsSomewhere => log::a_new_log_is_empty,
            AltersAPayload => log::appended_entries_are_read_back,
            BlankBecomesCommand => log::entries_without_payload_are_read_back,
            CutsLargeEntries => log::an_entry_of_sixteen_mebibytes_is_read_back,
            AcceptsAGap => log::a_gap_is_refused,
            AppendsWhatStandsBeforeAGap => log::a_gap_is_refused,
            AcceptsABrokenChain => log::a_broken_chain_is_refused,
            AcceptsAFallingTerm => log::a_falling_term_is_refused,
            SyncDoesNothing => log::one_sync_covers_every_earlier_call,
            LosesTheLastEntryOnReopening => log::synced_entries_outlive_reopening,
            ForgetsTruncationOnReopening => log::a_truncated_suffix_is_replaced_by_another_term,
            ForgetsTruncationOnReopening => log::a_shorter_suffix_leaves_nothing_of_a_longer_one,
            TruncatesTheLastEntryFromBeyond => log::truncating_beyond_the_end_removes_nothing,
            TruncatesThePurged => log::truncating_the_purged_part_is_refused,
            ForgetsThePurgeOnReopening => log::purging_in_the_middle_keeps_the_rest,
            EmptyLogForgetsItsEnd => log::purging_at_the_end_leaves_an_empty_log_that_goes_on,
            PurgeBeyondTheEndDoesNothing => log::purging_beyond_the_end_drops_the_log,
            PurgeBeyondTheEndDoesNothing =>
                log::purging_beyond_entries_that_were_never_synced_drops_them,
            PurgeThroughAnotherEntryKeepsTheLog => log::purging_through_another_entry_drops_the_log,
            PurgeMovesBack => log::purging_again_changes_nothing,
            BoundsIgnoreBufferedCalls => log::calls_between_two_syncs_may_cross,
            PurgeThroughAnotherEntryKeepsTheLog => model::random_calls_agree_with_a_simple_model,
            GivesNothingOverTheLimit => reading::a_read_gives_at_least_one_entry_within_its_bytes,
            GivesOneEntryTooFew => reading::a_read_gives_at_least_one_entry_within_its_bytes,
            ReadsPastTheRange => reading::a_read_gives_at_least_one_entry_within_its_bytes,
            ReturnsPurgedEntries => reading::a_read_of_purged_entries_says_so,
            EndsInSilence => reading::a_read_beyond_the_end_is_misuse,
            RemembersWhatItRead => reading::a_reader_goes_on_during_truncation_and_purge,
            ShowsGarbageUntilTheSync => reading::readers_see_whole_entries_while_another_thread_writes,
            RemembersWhatItRead => reading::readers_see_whole_entries_while_another_thread_writes,
            CountsIndexesInSixteenBits => reading::a_long_log_is_kept_and_found,
            AbsentIsEmpty => stable::a_record_that_was_never_set_is_none,
            RecordIsNotDurable => stable::a_set_record_is_there_at_once_and_after_reopening,
            RecordKeepsTheTailOfALongerOne => stable::a_record_is_replaced_as_a_whole,
            RecordsTouchEachOther => stable::records_do_not_touch_each_other_or_the_log,
            EmptyIsAbsent => stable::an_empty_record_is_not_an_absent_one,
        ] }
    }

    fn of_snapshots() -> Vec<Row> {
        rows! { Broken::new, Fault, [
            ListsAPhantom => snapshot::a_new_store_has_no_snapshots,
            ForgetsSnapshotsOnReopening =>
                snapshot::a_finished_snapshot_is_read_back_and_outlives_reopening,
            LeavesOutEmptySnapshots => snapshot::an_empty_snapshot_is_read_back,
            ShowsUnfinishedSnapshots =>
                snapshot::an_unfinished_snapshot_is_invisible_and_leaves_nothing,
            ListsTheOldestFirst => snapshot::the_newest_snapshot_comes_first,
            FinishesOnlyOnce => snapshot::finishing_the_same_snapshot_again_replaces_it,
            SinksShareABuffer => snapshot::two_snapshots_may_be_written_at_once,
            RetainsNone => snapshot::retention_keeps_the_newest_and_never_none,
            RemovesNewerSnapshots =>
                snapshot::retention_leaves_alone_what_is_newer_than_it_was_told_of,
            KeptOneByteMore => snapshot::a_received_snapshot_that_was_cut_off_is_gone_on_with,
            MixesPartsOfSnapshots =>
                snapshot::what_was_kept_of_another_snapshot_is_not_gone_on_with,
            DiscardedPartComesBack => snapshot::a_received_part_that_is_discarded_is_gone,
            TwoAttemptsMix => snapshot::a_second_attempt_does_not_mix_with_the_first,
            ReaderStartsElsewhere => snapshot::a_reader_that_starts_later_gives_the_rest,
            AbsenceIsDamage => snapshot::a_snapshot_that_is_not_there_is_misuse,
            ReaderEndsWithTheRemoval => snapshot::an_open_reader_reads_on_after_removal,
        ] }
    }

    fn of_snapshot_files() -> Vec<Row> {
        rows! { on_files, Fault, [
            ShowsUnfinishedSnapshots =>
                snapshot_files::a_copy_taken_while_a_snapshot_is_written_does_not_show_it,
            KeptOneByteMore =>
                snapshot_files::a_copy_taken_while_a_snapshot_is_received_goes_on_with_it,
            HidesDamage =>
                snapshot_files::a_flipped_byte_of_a_snapshot_is_noticed_before_it_is_used,
            HidesDamage => snapshot_files::a_snapshot_cut_short_is_noticed_before_it_is_used,
        ] }
    }

    fn of_journals() -> Vec<Row> {
        rows! { Journal::new, JournalFault, [
            AcknowledgesBeforeTheSync => crash::a_crash_at_any_write_leaves_what_was_synced,
            ForgetsTruncations => crash::a_crash_at_any_write_brings_no_replaced_suffix_back,
            ForgetsPurges => crash::a_crash_at_any_write_leaves_a_purge_done_or_undone,
            BelievesTornFrames => crash::a_crash_at_any_write_leaves_the_old_record_or_the_new_one,
            RewritesItselfWhileOpening =>
                crash::a_crash_while_opening_after_a_crash_leaves_what_was_synced,
            ForgetsThatItFailed => faults::a_failed_sync_is_final_until_the_store_is_opened_anew,
            ForgetsThatItFailed => faults::a_failed_record_is_final_until_the_store_is_opened_anew,
            NamelessFailure => faults::a_failure_names_the_place_and_the_operation,
            KeepsTheLastFrameToItself => files::the_files_of_an_open_store_hold_what_was_acknowledged,
            TakesDamageForTheEnd => files::a_flipped_byte_is_noticed_before_it_is_used,
            TakesDamageForTheEnd => files::a_file_cut_short_is_noticed_before_it_is_used,
            NamelessDamage => files::damage_is_named_by_place_and_record,
        ] }
    }

    fn of_readers_of_damage() -> Vec<Row> {
        rows! { Lazy::new, LazyFault, [
            EndsBeforeADamagedEntry => files::a_flipped_byte_is_noticed_before_it_is_used,
            EndsBeforeADamagedEntry => files::a_file_cut_short_is_noticed_before_it_is_used,
            NamesNoEntry => files::damage_is_named_by_place_and_record,
        ] }
    }

    #[track_caller]
    fn check(rows: &[Row]) {
        let mut wrong = Vec::new();
        for row in rows {
            let Row {
                fault, property, ..
            } = row;
            if let Err(panicked) = quietly(row.healthy) {
                wrong.push(format!("`{property}` fails on a healthy store: {panicked}"));
            }
            if quietly(row.broken).is_ok() {
                wrong.push(format!("`{property}` does not find `{fault}`"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_broken_log_and_record_is_found() {
        check(&of_logs());
    }

    #[test]
    fn every_broken_snapshot_store_is_found() {
        check(&of_snapshots());
        check(&of_snapshot_files());
    }

    #[test]
    fn every_broken_journal_is_found() {
        check(&of_journals());
        check(&of_readers_of_damage());
    }

    mod healthy {
        raft_core::log_conformance!(super::Journal::new(None));
        raft_core::stable_conformance!(super::Journal::new(None));
        raft_core::kill_conformance!(
            super::directory(),
            |directory: &std::path::Path| super::journal::open_in(directory, None),
            30
        );
    }

    /// The child runs this test too, and is killed in it.
    #[test]
    fn a_journal_that_keeps_a_frame_to_itself_is_found_by_a_kill() {
        let test = concat!(
            module_path!(),
            "::a_journal_that_keeps_a_frame_to_itself_is_found_by_a_kill"
        );
        let fault = Some(JournalFault::KeepsTheLastFrameToItself);
        let open = |directory: &std::path::Path| journal::open_in(directory, fault);
        let property = conformance::kill::what_was_acknowledged_outlives_a_kill::<TempDir>;
        let found = quietly(|| property(test, directory, &open, 5));
        assert!(found.expect_err("it is found").contains("expected"));
    }

    /// As above.
    #[test]
    fn a_snapshot_that_is_finished_later_is_found_by_a_kill() {
        let test = concat!(
            module_path!(),
            "::a_snapshot_that_is_finished_later_is_found_by_a_kill"
        );
        let open = |directory: &std::path::Path| {
            open_snapshots(directory, Some(Fault::FinishesLater)).expect("open the directory")
        };
        let property = conformance::kill_snapshots::finished_snapshots_outlive_a_kill::<TempDir>;
        let found = quietly(|| property(test, directory, &open, 5));
        assert!(found.expect_err("it is found").contains("expected"));
    }

    /// No property of the suites is without a store that breaks it.
    #[test]
    fn every_property_has_its_broken_store() {
        let suites = [
            include_str!("../../src/conformance/crash.rs"),
            include_str!("../../src/conformance/faults.rs"),
            include_str!("../../src/conformance/files.rs"),
            include_str!("../../src/conformance/log.rs"),
            include_str!("../../src/conformance/model.rs"),
            include_str!("../../src/conformance/reading.rs"),
            include_str!("../../src/conformance/snapshot.rs"),
            include_str!("../../src/conformance/snapshot_files.rs"),
            include_str!("../../src/conformance/stable.rs"),
        ];
        let properties: BTreeSet<&str> = suites
            .iter()
            .flat_map(|suite| suite.lines())
            .filter_map(|line| {
                line.strip_prefix("pub fn ")?
                    .split_once("(backend: &mut dyn ")
            })
            .map(|(property, _)| property)
            .collect();
        let tables = [
            of_logs(),
            of_snapshots(),
            of_snapshot_files(),
            of_journals(),
            of_readers_of_damage(),
        ];
        let rows: Vec<Row> = tables.into_iter().flatten().collect();
        let named: BTreeSet<&str> = rows.iter().map(|row| row.property).collect();
        assert_eq!(named, properties);
        assert!(rows.len() > 60, "{} rows", rows.len());
    }
}
