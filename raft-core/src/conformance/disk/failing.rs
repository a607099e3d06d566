//! A call fails, and what the store does then.

use std::path::Path;

use rand_core::SeedableRng;
use rand_pcg::Pcg64;

use super::super::history::below;
use super::super::kill::Order;
use super::Open;
use super::child::{Bench, Errno, Failure, Fault, Run, Way, work};

/// One call fails with an input/output error; all others go on.
pub fn a_disk_that_fails_once_loses_nothing<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: Open<'_>,
    runs: usize,
) {
    fail_everywhere(test, directory, open, runs, (Errno::InputOutput, Way::Once));
}

/// From some call on the disk is full: nothing is created and nothing written.
pub fn a_disk_that_fills_up_loses_nothing<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: Open<'_>,
    runs: usize,
) {
    fail_everywhere(test, directory, open, runs, (Errno::NoSpace, Way::Lasting));
}

/// A write comes half-way, and the attempt to write the rest fails.
pub fn a_write_that_is_cut_short_loses_nothing<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: Open<'_>,
    runs: usize,
) {
    fail_everywhere(
        test,
        directory,
        open,
        runs,
        (Errno::InputOutput, Way::Short),
    );
}

fn fail_everywhere<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: Open<'_>,
    runs: usize,
    (errno, way): (Errno, Way),
) {
    if let Some(order) = Order::given() {
        return work(&order, open);
    }
    let directory = directory();
    let bench = Bench::new(test, directory.as_ref());
    let whole = bench.run(&bench.directory("stores"), None);
    assert_healthy(&bench, &whole);
    let calls = sample(whole.calls, runs);
    let seen = bench.in_lanes(&calls, &|bench, call| {
        let call = *call;
        fail_at(bench, open, Fault { call, errno, way })
    });
    Seen::all(&seen).assert_enough();
}

fn fail_at(bench: &Bench, open: Open<'_>, fault: Fault) -> Seen {
    let stores = bench.directory("stores");
    let run = bench.run(&stores, Some(fault));
    let moment = format!("{fault:?} in {:?}", run.faults.first());
    let died = run.died.as_deref();
    assert!(died.is_none(), "{moment}: {}", died.unwrap_or_default());
    if let Some(failure) = &run.failure {
        assert_honest(failure, &moment);
    }
    // The process is gone, and the system has what it wrote.
    let history = bench.script.history(run.told);
    bench.judge(&stores, open, &history, &moment);
    // The power fails as well, and what a failed sync gave up was never durable.
    let image = bench.directory("image");
    run.disk.lay_out(&run.disk.synced_files(), &image);
    let moment = format!("{moment}, and a loss of power");
    bench.judge(&image, open, &history, &moment);
    Seen::of(&run)
}

/// About `runs` of the calls, from the first to the last.
fn sample(calls: u64, runs: usize) -> Vec<u64> {
    let chance = &mut Pcg64::seed_from_u64(calls);
    let runs = (runs as u64).min(calls);
    let stride =
        |run: u64| (run * calls + below(chance, usize::try_from(calls).unwrap_or(1)) as u64) / runs;
    (0..runs).map(stride).map(|at| at + 1).collect()
}

#[track_caller]
pub(super) fn assert_healthy(bench: &Bench, run: &Run) {
    assert!(
        run.died.is_none(),
        "{}",
        run.died.clone().unwrap_or_default()
    );
    assert!(run.failure.is_none(), "nothing fails: {:?}", run.failure);
    assert_eq!(run.told.returned, bench.script.calls.len(), "all was done");
}

#[track_caller]
fn assert_honest(failure: &Failure, moment: &str) {
    let Failure {
        is_io,
        is_final,
        place,
        operation,
        text,
    } = failure;
    assert!(is_io, "{moment}: `{text}` is no failure of the disk");
    assert!(!place.is_empty(), "{moment}: no place in `{text}`");
    assert!(!operation.is_empty(), "{moment}: no operation in `{text}`");
    assert!(
        is_final,
        "{moment}: after `{text}` another call was accepted"
    );
}

/// How often what happened: a suite that never hits anything proves nothing.
#[derive(Debug, Default)]
struct Seen {
    hit: usize,
    syncs: usize,
    in_opening: usize,
    in_calls: usize,
}

impl Seen {
    fn of(run: &Run) -> Self {
        let is_sync = |fault: &String| fault.starts_with("sync ");
        let has_failed = run.failure.is_some();
        Self {
            hit: usize::from(!run.faults.is_empty()),
            syncs: usize::from(run.faults.iter().any(is_sync)),
            in_opening: usize::from(has_failed && run.told.begun == 0),
            in_calls: usize::from(has_failed && run.told.begun > 0),
        }
    }

    fn all(seen: &[Self]) -> Self {
        let sum = |count: fn(&Self) -> usize| seen.iter().map(count).sum();
        Self {
            hit: sum(|one| one.hit),
            syncs: sum(|one| one.syncs),
            in_opening: sum(|one| one.in_opening),
            in_calls: sum(|one| one.in_calls),
        }
    }

    #[track_caller]
    fn assert_enough(&self) {
        let all = [self.hit, self.syncs, self.in_opening, self.in_calls];
        assert!(all.iter().all(|count| *count > 0), "{self:?}");
    }
}
