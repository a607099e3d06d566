//! The bounded model check: every order of events of three nodes, within small bounds.

use raft_core::sim::model::{self, Bounds, End, Report};

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
    let report = search(|bounds| bounds.depth = 10);
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
