//! The power fails at every operation; a sync fails once.

use super::*;
use crate::database;
use raft_core::store::records::StableRecords;

fn created() -> Medium {
    let medium = Medium::new();
    database::create(
        "medium",
        OnMedium::of(&medium),
        &RedbConfig::default(),
        &StableRecords::new(),
    )
    .unwrap();
    medium
}

/// Runs the script until it ends or fails; returns the acknowledged state, and the one that would
/// have followed.
fn run(store: &mut Store, steps: &[Step]) -> (State, Option<State>) {
    let mut state = store.state().unwrap();
    for step in steps {
        let next = step.apply(&state);
        if step.run(store).is_err() {
            return (state, Some(next));
        }
        state = next;
    }
    (state, None)
}

#[test]
fn a_new_database_is_whole_once_its_creation_returns() {
    let medium = created();
    for seed in 0..8 {
        let cut = medium.power_cut(seed);
        let store = open(&cut, &directory()).unwrap();
        assert_eq!(store.state().unwrap(), State::default());
    }
}

#[test]
fn a_power_cut_during_creation_is_an_error_and_never_a_success() {
    let operations = created().operations();
    for at in 0..operations {
        let medium = Medium::new();
        medium.power_off_at(at);
        let config = RedbConfig::default();
        assert!(
            database::create(
                "medium",
                OnMedium::of(&medium),
                &config,
                &StableRecords::new()
            )
            .is_err()
        );
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    let script = Step::script();
    let whole = created();
    let (begun, ended) = {
        let mut store = open(&whole, &directory()).unwrap();
        let begun = whole.operations();
        run(&mut store, &script);
        (begun, whole.operations())
    };
    assert!(ended - begun > 80, "{begun} to {ended}");
    let mut unfinished_found = 0;
    for at in begun..ended {
        let (medium, floor) = (created(), directory());
        medium.power_off_at(at);
        let mut store = open(&medium, &floor).unwrap();
        let (acknowledged, unfinished) = run(&mut store, &script);
        drop(store);
        for seed in 0..3 {
            let cut = medium.power_cut(at as u64 * 100 + seed);
            let mut store = open_copy(&cut, &floor);
            let found = store.state().unwrap();
            if Some(&found) == unfinished.as_ref() {
                unfinished_found += 1;
            } else {
                assert_eq!(found, acknowledged, "operation {at}, seed {seed}");
            }
            // It goes on from there, and keeps that too.
            let more = [Step::Vote(9), Step::Append { term: 9, count: 2 }];
            let (expected, none) = run(&mut store, &more);
            assert_eq!((store.state().unwrap(), none), (expected, None));
        }
    }
    assert!(unfinished_found > 0, "no unfinished commit was ever found");
}

#[test]
fn a_power_cut_while_opening_after_a_power_cut_loses_nothing() {
    let script = Step::script();
    let (medium, floor) = (created(), directory());
    let mut store = open(&medium, &floor).unwrap();
    let begun = medium.operations();
    let (expected, _) = run(&mut store, &script);
    // The process is killed: what it wrote is there, but it never closed the database.
    let killed = medium.power_cut(0);
    drop(store);
    let operations = {
        drop(open_copy(&killed, &floor));
        killed.operations()
    };
    assert!(begun > 0 && operations > 3, "{operations}");
    for at in 0..operations {
        let again = Medium::holding(killed.files());
        again.power_off_at(at);
        drop(open(&again, &copied(&floor)));
        for seed in 0..3 {
            let cut = again.power_cut(seed);
            let store = open_copy(&cut, &floor);
            assert_eq!(store.state().unwrap(), expected, "operation {at}");
        }
    }
}

#[test]
fn a_failed_sync_ends_the_use_of_the_store() {
    let (medium, floor) = (created(), directory());
    let mut store = open(&medium, &floor).unwrap();
    let (before, _) = run(&mut store, &[Step::Vote(1)]);
    medium.fail_next_sync();
    let step = Step::Append { term: 1, count: 4 };
    assert!(matches!(step.run(&mut store), Err(StoreError::Io { .. })));
    // The device would say that all is well now.
    for step in [step, Step::Vote(2)] {
        assert!(matches!(step.run(&mut store), Err(StoreError::Io { .. })));
    }
    drop(store);
    let cut = medium.power_cut(1);
    let found = open(&cut, &floor).unwrap().state().unwrap();
    assert_eq!(found, before);
}

#[test]
fn a_device_that_lied_about_a_sync_is_found_out() {
    let (medium, floor) = (created(), directory());
    let mut store = open(&medium, &floor).unwrap();
    run(&mut store, &Step::script()[..3]);
    let old = Medium::holding(medium.files());
    run(&mut store, &Step::script()[3..5]);
    drop(store);
    let opened = open(&old, &floor).err().unwrap();
    assert!(opened.is_damage(), "{opened}");
    assert!(
        opened.to_string().contains("commit 5 was made durable"),
        "{opened}"
    );
}

/// The control: on a medium that breaks its promise, the cuts above do lose commits. Then the
/// store says so; it never opens with less than it had acknowledged.
#[test]
fn commits_lost_by_syncs_that_lie_are_noticed() {
    let (mut noticed, mut kept) = (0, 0);
    for seed in 0..60_u64 {
        let (medium, floor) = (created(), directory());
        let mut store = open(&medium, &floor).unwrap();
        medium.lie();
        let steps = usize::try_from(1 + seed % 11).unwrap();
        let (acknowledged, _) = run(&mut store, &Step::script()[..steps]);
        let cut = medium.power_cut(seed);
        drop(store);
        match open(&cut, &floor) {
            Ok(store) => {
                assert_eq!(store.state().unwrap(), acknowledged, "seed {seed}");
                kept += 1;
            }
            Err(error) => {
                assert!(error.is_damage(), "seed {seed}: {error}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 20 && kept > 5, "{noticed} noticed, {kept} kept");
}

/// Opens with a copy of the floor, so that another cut can be tried on the same one.
fn open_copy(medium: &Medium, floor: &TempDir) -> Store {
    open(medium, &copied(floor)).unwrap()
}

fn copied(floor: &TempDir) -> TempDir {
    let copy = directory();
    let (from, to) = (floor.path().join("floor"), copy.path().join("floor"));
    std::fs::copy(from, to).unwrap();
    copy
}
