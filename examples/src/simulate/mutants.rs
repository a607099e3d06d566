//! Deliberate faults of the protocol, each run until a checker finds it.

use super::options::MutantsOptions;
#[cfg(not(feature = "mutants"))]
use crate::failure::Failure;

/// The faults are compiled only on demand: nothing else should carry them.
#[cfg(not(feature = "mutants"))]
pub(super) fn run(options: &MutantsOptions) -> Result<(), Failure> {
    use crate::failure::OrFail;

    let mut command = cargo();
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
    if let Some(seeds) = options.seeds {
        command.args(["--seeds", &seeds.to_string()]);
    }
    if options.json {
        command.arg("--json");
    }
    let status = command
        .status()
        .or_fail(|| "cannot compile the faults with cargo".into())?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new("not every fault was found"))
}

#[cfg(not(feature = "mutants"))]
fn cargo() -> std::process::Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    std::process::Command::new(cargo)
}

#[cfg(feature = "mutants")]
pub(super) use hunting::run;

#[cfg(feature = "mutants")]
mod hunting {
    use std::num::NonZero;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::thread;
    use std::time::Duration;

    use indicatif::ProgressBar;
    use raft_core::sim::{Found, Mutant, expect_panics, hunt};
    use serde_json::{Value, json};

    use super::MutantsOptions;
    use crate::failure::{Failure, OrFail};
    use crate::terminal::{Table, progress, say};

    /// What became of one fault.
    struct Hunted {
        fault: Mutant,
        /// Seeds that were tried at most.
        budget: u64,
        found: Option<Found>,
    }

    /// Hunts for each fault on all cores, and prints what found it. Fails if one survives.
    pub(in crate::simulate) fn run(options: &MutantsOptions) -> Result<(), Failure> {
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
        let hunted = hunt_all(&faults, options.seeds.unwrap_or(u64::MAX));
        if options.json {
            let rows: Vec<Value> = hunted.iter().map(Hunted::json).collect();
            let text = serde_json::to_string_pretty(&rows);
            let text = text.or_fail(|| "cannot write the list".into())?;
            say(format_args!("{text}"));
        } else {
            say(format_args!("{}", table(&hunted)));
        }
        let alive = hunted.iter().filter(|hunted| hunted.found.is_none());
        let alive: Vec<&str> = alive.map(|hunted| hunted.fault.name()).collect();
        if alive.is_empty() {
            return Ok(());
        }
        let (count, all, names) = (alive.len(), faults.len(), alive.join(", "));
        Err(Failure::new(format!(
            "{count} of {all} faults survive: {names}"
        )))
    }

    fn hunt_all(faults: &[Mutant], seeds_max: u64) -> Vec<Hunted> {
        let bar = progress("faults found", faults.len() as u64);
        let next = AtomicUsize::new(0);
        let hunted = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
                scope.spawn(|| work(faults, seeds_max, &next, &hunted, &bar));
            }
        });
        bar.finish_and_clear();
        let mut hunted = hunted.into_inner().unwrap_or_else(PoisonError::into_inner);
        hunted.sort_by_key(|(at, _)| *at);
        hunted.into_iter().map(|(_, hunted)| hunted).collect()
    }

    /// One fault after the other, as long as there are any.
    fn work(
        faults: &[Mutant],
        seeds_max: u64,
        next: &AtomicUsize,
        hunted: &Mutex<Vec<(usize, Hunted)>>,
        bar: &ProgressBar,
    ) {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(fault) = faults.get(at).copied() else {
                return;
            };
            let budget = fault.seeds_max().min(seeds_max);
            let outcome = Hunted {
                fault,
                budget,
                found: hunt(fault, budget),
            };
            let mut hunted = hunted.lock().unwrap_or_else(PoisonError::into_inner);
            hunted.push((at, outcome));
            bar.inc(1);
        }
    }

    fn table(hunted: &[Hunted]) -> Table {
        let mut table = Table::new([
            "fault",
            "what it breaks",
            "found by",
            "seed",
            "simulated",
            "budget",
        ]);
        for Hunted {
            fault,
            budget,
            found,
        } in hunted
        {
            let (by, seed, at) = match found {
                Some(found) => (found.property, found.seed.to_string(), seconds(found.at)),
                None => ("SURVIVES", String::new(), String::new()),
            };
            let budget = budget.to_string();
            let row = [fault.name(), fault.text(), by, &seed, &at, &budget];
            table.row(row);
        }
        table
    }

    fn seconds(time: Duration) -> String {
        format!("{:.3} s", time.as_secs_f64())
    }

    impl Hunted {
        fn json(&self) -> Value {
            let found = self.found.as_ref();
            json!({
                "fault": self.fault.name(),
                "text": self.fault.text(),
                "budget_seeds": self.budget,
                "found_by": found.map(|found| found.property),
                "story": self.fault.story(),
                "seed": found.map(|found| found.seed),
                "simulated_seconds": found.map(|found| found.at.as_secs_f64()),
                "detail": found.map(|found| found.detail.as_str()),
            })
        }
    }
}
