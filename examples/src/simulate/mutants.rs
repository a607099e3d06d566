//! Deliberate faults of the protocol, each run until a checker finds it.

use super::options::MutantsOptions;
use crate::failure::Failure;

/// The faults are compiled only on demand: nothing else should carry them.
#[cfg(not(feature = "mutants"))]
pub(super) fn run(options: &MutantsOptions) -> Result<(), Failure> {
    use crate::failure::OrFail;

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args([
        "run",
        "--release",
        "-p",
        "raft-examples",
        "--features",
        "mutants",
    ]);
    command.args(["--bin", "simulate", "--", "mutants"]);
    if !options.only.is_empty() {
        command.args(["--only", &options.only.join(",")]);
    }
    let status = command
        .status()
        .or_fail(|| "cannot compile the faults with cargo".into())?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new("not every fault was found"))
}

/// Hunts for each fault on this thread's share of the cores, and prints what found it.
#[cfg(feature = "mutants")]
pub(super) fn run(options: &MutantsOptions) -> Result<(), Failure> {
    use raft_core::sim::{Mutant, expect_panics};

    let is_wanted = |fault: &Mutant| {
        options.only.is_empty() || options.only.iter().any(|name| name == fault.name())
    };
    let faults: Vec<Mutant> = Mutant::ALL.iter().copied().filter(is_wanted).collect();
    if faults.is_empty() {
        return Err(Failure::new(
            "no fault has that name: without --only all are listed",
        ));
    }
    expect_panics();
    let survivors = hunt_all(&faults, options.seeds.unwrap_or(u64::MAX));
    if survivors.is_empty() {
        return Ok(());
    }
    let (alive, all) = (survivors.len(), faults.len());
    let names = survivors.join(", ");
    Err(Failure::new(format!(
        "{alive} of {all} faults survive: {names}"
    )))
}

#[cfg(feature = "mutants")]
fn hunt_all(faults: &[raft_core::sim::Mutant], seeds_max: u64) -> Vec<&'static str> {
    use std::num::NonZero;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    use raft_core::sim::hunt;

    use crate::terminal::say;

    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, text, budget) =
                (fault.name(), fault.text(), fault.seeds_max().min(seeds_max));
            match hunt(*fault, budget) {
                Some(found) => say(format_args!(
                    "{name} ({text}; budget {budget} seeds): {} in seed {} after {:?}",
                    found.property, found.seed, found.at
                )),
                None => {
                    say(format_args!("{name} ({text}): SURVIVES {budget} seeds"));
                    survivors
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(name);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    survivors
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}
