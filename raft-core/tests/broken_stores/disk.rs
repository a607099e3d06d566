//! The disk suite finds what it is there to find, on journals that lie on real files.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use raft_core::conformance::disk;
use tempfile::TempDir;

use crate::journal::{Fault, try_open_in};
use crate::on_files::directory;
use crate::quiet::quietly;

mod healthy {
    raft_core::disk_conformance!(
        super::directory(),
        |path: &super::Path| super::try_open_in(path, None),
        super::RUNS
    );
}

/// For each: a test that the property finds the fault, by words that it says of no other. The child runs
/// this test too.
macro_rules! found {
    ($($test:ident: $fault:ident => $property:ident, $words:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let test = concat!(module_path!(), "::", stringify!($test));
                let open = |path: &Path| try_open_in(path, Some(Fault::$fault));
                let judge = || disk::$property::<TempDir>(test, directory, &open, RUNS);
                if env::var_os("RAFT_CONFORMANCE_CHILD").is_some() {
                    return judge();
                }
                let said = quietly(judge).expect_err("it is found");
                assert!(said.contains($words), "{said}");
            }
        )*

        const PROPERTIES: &[&str] = &[$(stringify!($property),)*];
    };
}

found! {
    a_journal_that_goes_on_after_a_failure_is_found: ForgetsThatItFailed =>
        a_disk_that_fails_once_loses_nothing, "another call was accepted";
    a_journal_that_does_not_say_where_it_failed_is_found: NamelessFailure =>
        a_disk_that_fills_up_loses_nothing, "no place";
    a_journal_that_goes_on_after_half_a_frame_is_found: ForgetsThatItFailed =>
        a_write_that_is_cut_short_loses_nothing, "another call was accepted";
    a_journal_that_acknowledges_before_the_sync_is_found: AcknowledgesBeforeTheSync =>
        a_loss_of_power_at_any_call_leaves_what_was_acknowledged, "expected";
    a_journal_that_rewrites_itself_while_it_is_opened_is_found: RewritesItselfWhileOpening =>
        a_loss_of_power_while_opening_after_one_leaves_what_was_acknowledged, "were made durable";
}

/// No property of the suite is without a store that breaks it.
#[test]
fn every_property_of_the_disk_has_its_broken_store() {
    let suites = [
        include_str!("../../src/conformance/disk/failing.rs"),
        include_str!("../../src/conformance/disk/power.rs"),
    ];
    let properties: BTreeSet<&str> = suites
        .iter()
        .flat_map(|suite| suite.lines())
        .filter_map(|line| Some(line.strip_prefix("pub fn ")?.split_once('<')?.0))
        .collect();
    assert_eq!(properties, PROPERTIES.iter().copied().collect());
}

const RUNS: usize = 80;
