//! The power fails at any call.

use std::fmt;
use std::path::Path;

use super::super::history::History;
use super::super::kill::Order;
use super::super::medium::Crash;
use super::Open;
use super::child::{Bench, work};
use super::failing::assert_healthy;
use super::image::Disk;

/// Bytes and names that were not synced are lost, kept, torn, or kept in part.
pub fn a_loss_of_power_at_any_call_leaves_what_was_acknowledged<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: Open<'_>,
    runs: usize,
) {
    if let Some(order) = Order::given() {
        return work(&order, open);
    }
    let directory = directory();
    let bench = Bench::new(test, directory.as_ref());
    let stores = bench.directory("stores");
    let run = bench.run(&stores, None);
    assert_healthy(&bench, &run);
    run.disk.assert_complete(&stores);
    let crashes: Vec<Crash> = run.disk.crashes(runs).collect();
    let damaged = bench.in_lanes(&crashes, &|bench, crash| {
        let history = bench.script.history(run.disk.told_at(crash));
        is_damaged(bench, (&run.disk, crash), open, &history, crash)
    });
    assert!(damaged.len() * 2 > runs, "{} crashes", damaged.len());
    assert_few(&damaged);
}

/// The power comes back, and fails again while the store is opened.
pub fn a_loss_of_power_while_opening_after_one_leaves_what_was_acknowledged<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: Open<'_>,
    runs: usize,
) {
    if let Some(order) = Order::given() {
        return work(&order, open);
    }
    let directory = directory();
    let bench = Bench::new(test, directory.as_ref());
    let run = bench.run(&bench.directory("stores"), None);
    assert_healthy(&bench, &run);
    let crashes: Vec<Crash> = run.disk.crashes(runs / AGAIN).collect();
    let again = bench.in_lanes(&crashes, &|bench, crash| {
        let stores = bench.directory("stores");
        run.disk.lay_out(&crash.files, &stores);
        let opening = bench.run_opening(&stores);
        assert!(opening.died.is_none(), "{crash}");
        let history = bench.script.history(run.disk.told_at(crash));
        let second = opening.disk.crashes(AGAIN).map(|second| {
            let moment = format!("{crash}; {second}");
            is_damaged(bench, (&opening.disk, &second), open, &history, &moment)
        });
        second.collect::<Vec<bool>>()
    });
    let damaged = again.concat();
    let writes = "the store writes nothing while it is opened";
    assert!(damaged.len() > crashes.len(), "{writes}");
    assert_few(&damaged);
}

/// Whether the store says that what this crash has left is damaged. It must not where bytes and names
/// have reached the disk in order.
#[track_caller]
fn is_damaged(
    bench: &Bench,
    (disk, crash): (&Disk, &Crash),
    open: Open<'_>,
    history: &History,
    moment: &dyn fmt::Display,
) -> bool {
    let image = bench.directory("image");
    disk.lay_out(&crash.files, &image);
    if crash.is_in_order {
        bench.judge(&image, open, history, moment);
        return false;
    }
    bench.judge_if_whole(&image, open, history, moment).is_err()
}

/// What an engine writes with one sync, and a disk keeps in another order, may be told from damage or
/// not. To call it damage is safe; it must not be the rule.
#[track_caller]
fn assert_few(damaged: &[bool]) {
    let (count, all) = (damaged.iter().filter(|is| **is).count(), damaged.len());
    assert!(
        count * 20 <= all,
        "{count} of {all} crashes are called damage"
    );
}

/// So many losses of power in each opening.
const AGAIN: usize = 8;
