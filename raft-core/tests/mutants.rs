//! The deliberate faults of the protocol are found by some checker, each within its budget of lives.
//! The list: `cargo run --release -p raft-examples --bin simulate -- mutants`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use raft_core::sim::{Mutant, expect_panics, hunt};

#[test]
fn every_fault_is_found_within_its_budget() {
    expect_panics();
    // The rare ones first: nobody waits for them at the end.
    let mut faults: Vec<&Mutant> = Mutant::ALL.iter().collect();
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.seeds_max()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut survivors = Vec::new();
        while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            match hunt(**fault, fault.seeds_max()) {
                Some(found) => {
                    println!("{}: {}, seed {}", fault.name(), found.property, found.seed);
                }
                None => survivors.push(fault.name()),
            }
        }
        survivors
    };
    let survivors = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers
            .map(|worker| worker.join().expect("a hunt ends"))
            .concat()
    });
    assert_eq!(survivors, Vec::<&str>::new(), "not found within the budget");
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Mutant::ALL.iter().map(|fault| fault.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Mutant::ALL.len());
    assert!(names.len() >= 60);
}
