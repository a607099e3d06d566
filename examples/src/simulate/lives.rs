//! Many lives, on all cores, until there is enough of them.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use raft_core::sim::{self, Report, Violation};
use tokio::time::Instant;

use super::options::RunOptions;
use super::report::Figures;
use super::violated;
use crate::failure::{Failure, OrFail};
use crate::terminal::{complain, progress, say};

/// Simulates the hours that were asked for, and prints the figures.
pub(super) fn run(options: &RunOptions) -> Result<(), Failure> {
    let first = options.seed.unwrap_or_else(seed_of_today);
    let goal = Duration::try_from_secs_f64(options.hours * 3_600.0)
        .or_fail(|| "cannot simulate so many hours".into())?;
    let hall = Hall::new(first, goal);
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    complain(format_args!(
        "simulating {} cluster-hours on {threads} threads, from seed {first} on",
        options.hours
    ));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| hall.work());
        }
    });
    hall.bar.finish_and_clear();
    let (mut figures, mut violation) = hall.close(started.elapsed());
    if violation.is_none() {
        match light(first) {
            Ok(ratio) => figures.light = Some(ratio),
            Err(found) => violation = Some(found),
        }
    }
    let text = if options.json {
        figures.json()?
    } else {
        figures.to_string()
    };
    say(format_args!("{text}"));
    match violation {
        Some(violation) => Err(violated(&violation)),
        None => figures.judge(),
    }
}

/// Simulated seconds a second, for three nodes without faults under a light load, on one core.
fn light(seed: u64) -> Result<f64, Box<Violation>> {
    let started = Instant::now();
    let report = sim::light_life(seed)?;
    Ok(report.time.as_secs_f64() / started.elapsed().as_secs_f64().max(1e-9))
}

/// Where the threads meet.
struct Hall {
    first: u64,
    next: AtomicU64,
    goal: Duration,
    is_over: AtomicBool,
    bar: ProgressBar,
    board: Mutex<Board>,
}

/// What all of them have found.
#[derive(Default)]
struct Board {
    total: Report,
    seeds: u64,
    weak: u64,
    violation: Option<Box<Violation>>,
}

impl Hall {
    fn new(first: u64, goal: Duration) -> Self {
        Self {
            first,
            next: AtomicU64::new(first),
            goal,
            is_over: AtomicBool::new(false),
            bar: progress("simulated seconds", goal.as_secs()),
            board: Mutex::default(),
        }
    }

    /// One life after the other, until there is enough, or a violation.
    fn work(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            self.note(sim::life(seed));
        }
    }

    fn note(&self, outcome: Result<Report, Box<Violation>>) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(report) if report.is_weak() => board.weak += 1,
            Ok(report) => {
                board.seeds += 1;
                board.total.add(&report);
            }
            Err(violation) => {
                // The lowest seed, so that the same command tells the same story.
                let is_first = board
                    .violation
                    .as_ref()
                    .is_none_or(|known| violation.seed < known.seed);
                if is_first {
                    board.violation = Some(violation);
                }
            }
        }
        self.bar.set_position(board.total.time.as_secs());
        if board.total.time >= self.goal || board.violation.is_some() {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }

    fn close(self, wall: Duration) -> (Figures, Option<Box<Violation>>) {
        let board = self.board.into_inner();
        let board = board.unwrap_or_else(PoisonError::into_inner);
        let figures = Figures {
            first_seed: self.first,
            seeds: board.seeds,
            weak: board.weak,
            wall,
            total: board.total,
            light: None,
        };
        (figures, board.violation)
    }
}

/// Each day has a thousand million seeds of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "the date only chooses where the seeds begin, and is printed"
)]
fn seed_of_today() -> u64 {
    const DAY: u64 = 86_400;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / DAY * 1_000_000_000)
}
