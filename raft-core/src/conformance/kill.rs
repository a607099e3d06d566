//! Properties of stores whose process is killed.
//!
//! A test of this suite runs its own binary as a child, by the name of the test, with an order in the
//! environment. The child opens the stores and works through a plan that follows from the order's
//! seed; it reports each step on its standard output when it begins it, and when the store has
//! acknowledged it. The parent listens, kills it at a moment of its choice (`SIGKILL` on Unix), opens
//! the stores itself and compares them with the plan: all that was acknowledged is there, and beyond
//! it at most the beginning of the next step. Then the next child goes on with what was found.
//!
//! What the process had handed to the system is still there after a kill, synced or not: this suite
//! finds what a store keeps to itself, locks that stay, and repairs that go wrong. A loss of power is
//! for [`super::crash`].

use std::env;
use std::fmt;
use std::hint;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rand_core::SeedableRng;
use rand_pcg::Pcg64;

use super::history::{History, State, Step, below};
use crate::store::Stores;

/// A test for each property of log and stable records whose process is killed.
///
/// `$directory` makes an empty directory that lives as long as the value does (`tempfile::TempDir`
/// does); `$open` is a function that opens the stores below a `&Path`; `$cycles` says how many
/// children are killed. The macro stands in a test binary with the usual harness.
#[macro_export]
macro_rules! kill_conformance {
    ($directory:expr, $open:expr, $cycles:expr) => {
        $crate::kill_tests! { kill, $directory, $open, $cycles, [
            what_was_acknowledged_outlives_a_kill,
        ] }
    };
}

/// As [`kill_conformance!`](crate::kill_conformance), of snapshots.
#[macro_export]
macro_rules! snapshot_kill_conformance {
    ($directory:expr, $open:expr, $cycles:expr) => {
        $crate::kill_tests! { kill_snapshots, $directory, $open, $cycles, [
            finished_snapshots_outlive_a_kill,
        ] }
    };
}

/// One `#[test]` for each named property.
#[doc(hidden)]
#[macro_export]
macro_rules! kill_tests {
    ($suite:ident, $directory:expr, $open:expr, $cycles:expr, [$($property:ident,)*]) => {
        $(
            #[test]
            fn $property() {
                let test = concat!(module_path!(), "::", stringify!($property));
                $crate::conformance::$suite::$property(test, || $directory, &$open, $cycles);
            }
        )*
    };
}

/// Appends, truncations, purges and votes, one process after the other on the same stores.
///
/// `test` is the path of the test that calls this, with the crate's name before it.
pub fn what_was_acknowledged_outlives_a_kill<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: &dyn Fn(&Path) -> Stores,
    cycles: u64,
) {
    if let Some(order) = Order::given() {
        return work(&order, open);
    }
    let directory = directory();
    let mut state = State::default();
    let mut acknowledged = 0;
    for cycle in 0..cycles {
        let order = Order::new(cycle, directory.as_ref());
        let moment = Moment::random(cycle);
        let steps_done = order.give(test, moment);
        let mut history = History::of(state);
        let mut plan = Plan::new(order.seed);
        for number in 1..=steps_done + 1 {
            for call in plan.next(number, &history.now()).calls(&history.now()) {
                history.begun(&call);
                if number <= steps_done {
                    history.returned(&call);
                }
            }
        }
        let stores = open(directory.as_ref());
        state = State::read(&stores).expect("everything is readable after the kill");
        history.check(&state, &format!("cycle {cycle}, killed {moment}"));
        acknowledged += steps_done;
    }
    assert!(
        acknowledged >= cycles,
        "{acknowledged} steps in {cycles} cycles"
    );
}

/// What the child does.
fn work(order: &Order, open: &dyn Fn(&Path) -> Stores) {
    let mut stores = open(&order.directory);
    let mut history = History::of(State::read(&stores).expect("everything is readable"));
    let mut plan = Plan::new(order.seed);
    for number in 1..=STEPS_MAX {
        let state = history.now();
        report(Report::Begun, number);
        for call in plan.next(number, &state).calls(&state) {
            history.begun(&call);
            call.make(&mut stores).expect("the call");
            history.returned(&call);
        }
        report(Report::Done, number);
    }
}

/// The same steps in the parent and in the child.
struct Plan(Pcg64);

impl Plan {
    fn new(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    fn next(&mut self, number: u64, state: &State) -> Step {
        Step::random(&mut self.0, state, number)
    }
}

/// A child that nobody kills ends by itself.
pub(super) const STEPS_MAX: u64 = 2_000;
const VARIABLE: &str = "RAFT_CONFORMANCE_CHILD";
/// How a report begins: the harness prints other lines.
const MARK: &str = "raft-conformance";

/// What a child is to do, and where.
pub(super) struct Order {
    pub(super) seed: u64,
    pub(super) directory: PathBuf,
}

/// When a child is killed: at this report, or a little later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    report: Report,
    number: u64,
    /// Turns of an empty loop, through which the child goes on.
    turns: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Report {
    Begun,
    Done,
}

impl Moment {
    pub(super) fn random(seed: u64) -> Self {
        let chance = &mut Pcg64::seed_from_u64(seed);
        let report = match below(chance, 2) {
            0 => Report::Begun,
            _ => Report::Done,
        };
        let number = 2 + below(chance, 14) as u64;
        // None, few or many: a step takes microseconds here and milliseconds there.
        let most = 1 << below(chance, 18);
        let turns = below(chance, most);
        Self {
            report,
            number,
            turns,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            report,
            number,
            turns,
        } = self;
        let report = report.word();
        write!(
            f,
            "when step {number} was reported {report}, after {turns} turns"
        )
    }
}

impl Report {
    fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
        }
    }
}

impl Order {
    pub(super) fn new(seed: u64, directory: &Path) -> Self {
        Self {
            seed,
            directory: directory.to_path_buf(),
        }
    }

    /// The order that this process was started with, if it is a child.
    pub(super) fn given() -> Option<Self> {
        let text = env::var(VARIABLE).ok()?;
        let (seed, directory) = text.split_once(' ')?;
        Some(Self {
            seed: seed.parse().expect("a seed"),
            directory: directory.into(),
        })
    }

    /// Starts this program again, with this order, for one test.
    pub(super) fn command(&self, test: &str) -> Command {
        let test = test.split_once("::").map_or(test, |(_, test)| test);
        let directory = self
            .directory
            .to_str()
            .expect("a directory with a plain name");
        let mut command = Command::new(env::current_exe().expect("the path of this program"));
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, format!("{} {directory}", self.seed))
            .stdin(Stdio::null());
        command
    }

    /// Starts a child, kills it at `moment`, and returns how many steps it reported as done.
    pub(super) fn give(&self, test: &str, moment: Moment) -> u64 {
        let mut child = self
            .command(test)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child is started");
        let done = listen(&mut child, moment);
        let status = child.wait().expect("the child has ended");
        done.unwrap_or_else(|| unreachable!("the child `{test}` ended by itself: {status}"))
    }
}

/// Listens until the pipe ends. `None` if the moment never came.
fn listen(child: &mut Child, moment: Moment) -> Option<u64> {
    let output = child.stdout.take().expect("the output is a pipe");
    let (mut is_killed, mut done) = (false, 0);
    for line in BufReader::new(output).lines() {
        let Some((report, number)) = parse(&line.expect("the output is text")) else {
            continue;
        };
        if report == Report::Done {
            done = number;
        }
        if !is_killed && (report, number) == (moment.report, moment.number) {
            for _ in 0..moment.turns {
                hint::spin_loop();
            }
            child.kill().expect("the child is killed");
            is_killed = true;
        }
    }
    is_killed.then_some(done)
}

fn parse(line: &str) -> Option<(Report, u64)> {
    let mut words = line.strip_prefix(MARK)?.split_whitespace();
    let word = words.next()?;
    let report = [Report::Begun, Report::Done]
        .into_iter()
        .find(|report| report.word() == word)?;
    Some((report, words.next()?.parse().ok()?))
}

/// Tells the parent. If it is gone, so is the reason to go on.
pub(super) fn report(report: Report, number: u64) {
    let line = format!("\n{MARK} {} {number}\n", report.word());
    let mut output = io::stdout().lock();
    output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush())
        .expect("the parent listens");
}
