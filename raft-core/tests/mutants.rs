//! The deliberate faults that a hundred lives suffice to show are found, each by some checker.
//!
//! The rarer ones take longer: `simulate mutants` hunts for all of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use raft_core::sim::{Mutant, expect_panics, hunt};

const SEEDS_MAX: u64 = 100;

#[test]
fn every_common_fault_is_found_within_a_hundred_lives() {
    expect_panics();
    let is_common = |fault: &&Mutant| fault.seeds_max() <= SEEDS_MAX;
    let faults: Vec<&Mutant> = Mutant::ALL.iter().filter(is_common).collect();
    assert!(!faults.is_empty());
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
