//! The bounded model check: every order of events of three nodes, within small bounds.

use raft_core::sim::model::{self, Bounds, End, Report, Start};

fn search(set: impl FnOnce(&mut Bounds)) -> Report {
    let mut bounds = Bounds::default();
    set(&mut bounds);
    let found = model::check(&bounds, &mut |_| {});
    let violation = found.as_ref().err().map(ToString::to_string);
    assert!(found.is_ok(), "{}", violation.unwrap_or_default());
    found.expect("it was checked above")
}

#[test]
fn a_crash_between_any_two_actions_breaks_nothing() {
    let report = search(|bounds| bounds.depth = 12);
    println!("{report:?}");
    assert_ne!(report.end, End::CutOff);
    assert!(report.elections_most >= 2 && report.committed_most >= 2);
}

#[test]
fn two_leaders_at_once_break_nothing() {
    let report = search(|bounds| {
        bounds.depth = 10;
        bounds.timeouts = 3;
        bounds.crashes = 0;
        bounds.heartbeats = 0;
        bounds.slow_disks = false;
    });
    println!("{report:?}");
    assert_ne!(report.end, End::CutOff);
    assert!(report.elections_most >= 3 && report.committed_most >= 3);
}

#[test]
fn a_single_node_is_searched_to_the_end() {
    let report = search(|bounds| {
        bounds.nodes = 1;
        bounds.depth = 100;
        bounds.crashes = 2;
    });
    assert_eq!(report.end, End::Complete);
}

#[test]
fn a_search_says_where_it_was_cut_off() {
    let mut bounds = Bounds::default();
    bounds.states_max = 100;
    let report = model::check(&bounds, &mut |_| {}).unwrap();
    assert_eq!(report.end, End::CutOff);
    assert!(report.depth < bounds.depth, "{report:?}");
}

fn small(bounds: &mut Bounds) {
    bounds.depth = 12;
    bounds.timeouts = 1;
    bounds.heartbeats = 0;
    bounds.crashes = 0;
    bounds.slow_disks = false;
}

#[test]
fn transfers_break_nothing() {
    let report = search(|bounds| {
        small(bounds);
        bounds.transfers = 2;
    });
    println!("{report:?}");
    assert_ne!(report.end, End::CutOff);
    assert!(report.elections_most >= 2 && report.committed_most >= 3);
}

#[test]
fn changes_of_membership_break_nothing() {
    let report = search(|bounds| {
        small(bounds);
        bounds.changes = 1;
    });
    println!("{report:?}");
    assert_ne!(report.end, End::CutOff);
    assert!(report.committed_most >= 3);
}

#[test]
fn snapshots_break_nothing() {
    let report = search(|bounds| {
        small(bounds);
        bounds.snapshots = true;
    });
    println!("{report:?}");
    assert_ne!(report.end, End::CutOff);
    assert!(report.committed_most >= 3);
}

/// The situation of thesis figure 3.7: an entry of an earlier term comes to a majority, and is
/// replaced all the same.
fn figure_of_two_rivals(bounds: &mut Bounds) {
    bounds.start = Start::TwoRivals;
    bounds.depth = FIGURE_DEPTH;
    bounds.timeouts = 3;
    bounds.timeouts_each = 1;
    bounds.heartbeats = 0;
    bounds.proposals = 0;
    bounds.crashes = 0;
    bounds.slow_disks = false;
}

/// So many actions lead from there to a leader that lacks what another has committed, if a leader
/// commits it by counting.
const FIGURE_DEPTH: u32 = 12;

#[test]
fn an_entry_of_an_earlier_term_on_a_majority_may_be_replaced() {
    let report = search(|bounds| {
        figure_of_two_rivals(bounds);
        bounds.depth = FIGURE_DEPTH - 2;
    });
    println!("{report:?}");
    assert_ne!(report.end, End::CutOff);
    // The two rivals' own elections, and two more.
    assert!(report.elections_most >= 4);
}

/// The faults that small bounds suffice to show: each must be found by a trace of so many actions.
#[cfg(feature = "mutants")]
mod faults {
    use super::*;
    use raft_core::sim::{Mutant, expect_panics};

    fn every_one_is_found(faults: &[(Mutant, u32)], set: impl Fn(&mut Bounds)) {
        expect_panics();
        for (fault, actions) in faults {
            let mut bounds = Bounds::default();
            set(&mut bounds);
            bounds.depth = *actions;
            let found = model::check_mutant(*fault, &bounds);
            let name = fault.name();
            assert!(found.is_err(), "{name} survives {actions} actions");
        }
    }

    #[test]
    fn forgotten_promises_are_found() {
        let faults = [
            (Mutant::VoteNotPersisted, 3),
            (Mutant::CandidacyNotPersisted, 1),
            (Mutant::AcknowledgedBeforeSync, 6),
            (Mutant::OwnDiskNotAwaited, 8),
            (Mutant::HardStateForgotten, 1),
            (Mutant::VotesTwice, 4),
        ];
        every_one_is_found(&faults, |_| {});
    }

    #[test]
    fn wrong_majorities_and_terms_are_found() {
        let faults = [
            (Mutant::OldVotesCount, 7),
            (Mutant::OldTermAccepted, 7),
            (Mutant::HigherTermIgnored, 7),
            (Mutant::RefusalsCountAsVotes, 6),
            (Mutant::LowMedian, 1),
            (Mutant::NoBlankEntry, 3),
        ];
        every_one_is_found(&faults, |bounds| {
            bounds.timeouts = 3;
            bounds.heartbeats = 0;
            bounds.crashes = 0;
            bounds.slow_disks = false;
        });
        every_one_is_found(&[(Mutant::WinsWithHalf, 4)], |bounds| bounds.nodes = 2);
    }

    #[test]
    fn counting_copies_of_an_old_entry_is_found() {
        let faults = [(Mutant::OldTermCommittedByCount, FIGURE_DEPTH)];
        every_one_is_found(&faults, figure_of_two_rivals);
    }

    #[test]
    fn careless_changes_of_membership_are_found() {
        let faults = [
            (Mutant::TwoChangesAtOnce, 8),
            (Mutant::MembershipNotRolledBack, 11),
        ];
        every_one_is_found(&faults, |bounds| {
            small(bounds);
            bounds.timeouts = 2;
            bounds.changes = 2;
        });
    }

    #[test]
    fn a_log_that_is_purged_too_early_is_found() {
        let faults = [(Mutant::PurgedBeforeSnapshot, 5)];
        every_one_is_found(&faults, |bounds| {
            small(bounds);
            bounds.snapshots = true;
        });
    }

    #[test]
    fn logs_that_are_not_compared_are_found() {
        let faults = [
            (Mutant::VotesForAnyLog, 10),
            (Mutant::PreviousNotChecked, 8),
            (Mutant::ConflictKept, 8),
        ];
        every_one_is_found(&faults, |bounds| {
            bounds.heartbeats = 0;
            bounds.crashes = 0;
            bounds.slow_disks = false;
        });
    }
}
