//! The simulator on a machine of one's own: three banks with a bug each, and the mended one.

mod bank;

use std::sync::Arc;

use raft_core::sim::{self, Report, Violation};
use raft_core::typed::Typed;

use self::bank::{Bank, Bug, Customers};
use super::options::ExampleOptions;
use crate::failure::Failure;
use crate::terminal::say;

/// Simulates each bank, and explains what was found. Fails if a bug was not found, or if something
/// was found where there is none.
pub(super) fn run(options: &ExampleOptions) -> Result<(), Failure> {
    let banks = [
        ("its snapshot forgets a field", Some(Bug::ForgetsTransfers)),
        (
            "it numbers receipts by a counter outside of its state",
            Some(Bug::SharesCounter(Arc::default())),
        ),
        ("who pays oneself gets richer", Some(Bug::PaysTwice)),
        ("mended", None),
    ];
    for (name, bug) in banks {
        say(format_args!("A bank: {name}."));
        match (live(options.seeds, bug.as_ref()), bug) {
            (Ok(report), None) => say(format_args!(
                "  nothing found in {} seeds: {} commands and {} reads, {} faults, {} snapshots restored to see that they can be\n",
                options.seeds,
                report.writes,
                report.reads,
                report.faults(),
                report.counts.get("snapshot round trips").unwrap_or(&0)
            )),
            (Ok(_), Some(_)) => {
                let seeds = options.seeds;
                return Err(Failure::new(format!(
                    "{seeds} seeds did not show the bug: try more with --seeds"
                )));
            }
            (Err(violation), Some(_)) => explain(&violation),
            (Err(violation), None) => return Err(Failure::new(violation.to_string())),
        }
    }
    Ok(())
}

/// One seed after the other; all figures together.
fn live(seeds: u64, bug: Option<&Bug>) -> Result<Report, Box<Violation>> {
    let mut total = Report::default();
    for seed in 0..seeds {
        let bug = bug.cloned();
        let bank = move || Typed(Bank::new(bug.clone()));
        total.add(&sim::run(seed, bank, Customers::default())?);
    }
    Ok(total)
}

fn explain(violation: &Violation) {
    let Violation {
        seed,
        at,
        property,
        detail,
        again,
        trace,
        ..
    } = violation;
    say(format_args!(
        "  seed {seed} breaks \"{property}\" after {at:?}:\n  {detail}"
    ));
    say(format_args!("  the last steps before it:"));
    for line in trace.iter().rev().take(4).rev() {
        let line: String = line.chars().take(150).collect();
        say(format_args!("    {line}"));
    }
    say(format_args!("  all of it: {again}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bug: &Bug) -> Box<Violation> {
        live(5, Some(bug)).expect_err("five seeds show the bug")
    }

    #[test]
    fn a_field_that_the_snapshot_forgets_is_found_and_explained() {
        let violation = found(&Bug::ForgetsTransfers);
        assert_eq!(violation.property, "snapshot round trip");
        assert!(violation.detail.contains("Transfer"), "{violation}");
        assert!(violation.again.contains("sim::replay("), "{violation}");
    }

    #[test]
    fn state_outside_of_the_machine_is_found() {
        let violation = found(&Bug::SharesCounter(Arc::default()));
        assert_eq!(violation.property, "determinism of the machine");
    }

    #[test]
    fn money_out_of_nothing_is_found_by_the_customers_own_count() {
        let violation = found(&Bug::PaysTwice);
        assert_eq!(violation.property, "the workload's own check");
    }

    #[test]
    fn the_mended_bank_passes() {
        let report = live(5, None).expect("nothing to find");
        assert!(report.writes > 100 && report.reads > 20 && report.faults() > 0);
    }
}
