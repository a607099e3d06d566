//! Properties of a store on a medium that loses power: at every write, in every way that matters.

use super::history::{History, State, Step, run};
use super::medium::{Crash, Medium};
use crate::store::{StoreError, Stores};

/// A backend that can lie on a [`Medium`].
pub trait CrashBackend {
    /// Opens the stores on `disk`: new ones if it has no files, else those that a crash has left.
    /// Everything that was opened before is gone; what it did meanwhile must not be seen here.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be opened. After a crash that is a failure of the test.
    fn open_on(&mut self, disk: &Medium) -> Result<Stores, StoreError>;
}

/// A test for each property of a store that loses power. `$backend` makes a new [`CrashBackend`].
#[macro_export]
macro_rules! crash_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { crash, $backend, [
            a_crash_at_any_write_leaves_what_was_synced,
            a_crash_at_any_write_brings_no_replaced_suffix_back,
            a_crash_at_any_write_leaves_a_purge_done_or_undone,
            a_crash_at_any_write_leaves_the_old_record_or_the_new_one,
            a_crash_while_opening_after_a_crash_leaves_what_was_synced,
        ] }
    };
}

/// Entries, large ones too, and votes between them.
pub fn a_crash_at_any_write_leaves_what_was_synced(backend: &mut dyn CrashBackend) {
    let steps = [
        vote(1, 8),
        Step::Append { term: 1, count: 5 },
        Step::Burst { term: 1, count: 12 },
        vote(2, 8),
        Step::Large {
            term: 2,
            bytes: 9_000,
        },
        Step::Append { term: 2, count: 1 },
    ];
    crash_everywhere(backend, &steps);
}

/// Longer and shorter suffixes of other terms, also of what is not synced yet.
pub fn a_crash_at_any_write_brings_no_replaced_suffix_back(backend: &mut dyn CrashBackend) {
    let replace = |keep, term, count| Step::Replace { keep, term, count };
    let steps = [
        Step::Append { term: 1, count: 30 },
        replace(20, 2, 3),
        replace(21, 3, 0),
        replace(5, 4, 40),
        replace(0, 5, 1),
        Step::Append { term: 5, count: 2 },
    ];
    crash_everywhere(backend, &steps);
}

/// In the middle, at the end, and beyond it.
pub fn a_crash_at_any_write_leaves_a_purge_done_or_undone(backend: &mut dyn CrashBackend) {
    let beyond = |distance, term| Step::PurgeBeyond { distance, term };
    let steps = [
        Step::Append { term: 1, count: 20 },
        Step::Purge { count: 7 },
        Step::Purge { count: 13 },
        Step::Append { term: 2, count: 3 },
        beyond(10, 3),
        beyond(1, 4),
        Step::Append { term: 4, count: 2 },
    ];
    crash_everywhere(backend, &steps);
}

/// Longer and shorter ones, beside a log.
pub fn a_crash_at_any_write_leaves_the_old_record_or_the_new_one(backend: &mut dyn CrashBackend) {
    let mut steps = vec![Step::Append { term: 1, count: 2 }];
    steps.extend(
        [8, 3_000, 1, 0, 700]
            .into_iter()
            .zip(1..)
            .map(|(bytes, number)| vote(number, bytes)),
    );
    crash_everywhere(backend, &steps);
}

/// The power comes back, and fails again during the repair.
pub fn a_crash_while_opening_after_a_crash_leaves_what_was_synced(backend: &mut dyn CrashBackend) {
    let steps = [
        Step::Append { term: 1, count: 9 },
        vote(1, 20),
        Step::Replace {
            keep: 4,
            term: 2,
            count: 6,
        },
    ];
    let recording = Recording::new(backend, &steps);
    let mut again = 0;
    for crash in recording.crashes.iter().step_by(5) {
        let disk = Medium::holding(crash.files.clone());
        disk.start_recording();
        drop(open(backend, &disk, crash));
        for second in disk.crashes(crash.operations as u64).step_by(3) {
            let found = found_on(backend, &Medium::holding(second.files.clone()), &second);
            recording
                .at(crash)
                .check(&found, &format!("{crash}; {second}"));
            again += 1;
        }
    }
    assert!(
        again > 0,
        "no crash, no repair: the store writes nothing to the medium"
    );
}

fn vote(number: u64, bytes: usize) -> Step {
    Step::Vote { number, bytes }
}

/// What was done, and what each crash on the way would have left.
struct Recording {
    /// After so many operations the store had this history.
    timeline: Vec<(usize, History)>,
    crashes: Vec<Crash>,
}

impl Recording {
    fn new(backend: &mut dyn CrashBackend, steps: &[Step]) -> Self {
        let disk = Medium::new();
        let mut stores = backend.open_on(&disk).expect("a new store is opened");
        disk.start_recording();
        let mut history = History::default();
        let mut timeline = vec![(disk.operations(), history.clone())];
        for step in steps {
            for call in step.calls(&history.now()) {
                history.begun(&call);
                timeline.push((disk.operations(), history.clone()));
                call.make(&mut stores).expect("the call");
                history.returned(&call);
                timeline.push((disk.operations(), history.clone()));
            }
        }
        let crashes: Vec<Crash> = disk.crashes(steps.len() as u64).collect();
        let operations = disk.operations();
        assert!(
            crashes.len() > steps.len(),
            "{operations} operations in {} steps: the store lies elsewhere",
            steps.len()
        );
        Self { timeline, crashes }
    }

    /// What had been promised and begun at the latest moment of this crash.
    fn at(&self, crash: &Crash) -> &History {
        let before = self
            .timeline
            .iter()
            .rev()
            .find(|(operations, _)| *operations <= crash.operations);
        &before.expect("it begins before every crash").1
    }
}

fn crash_everywhere(backend: &mut dyn CrashBackend, steps: &[Step]) {
    let recording = Recording::new(backend, steps);
    for (number, crash) in recording.crashes.iter().enumerate() {
        let disk = Medium::holding(crash.files.clone());
        let found = found_on(backend, &disk, crash);
        recording.at(crash).check(&found, crash);
        if number.is_multiple_of(9) {
            goes_on(backend, &disk, crash, found);
        }
    }
}

/// What was found after a crash is what further entries follow, and all is there once more.
fn goes_on(backend: &mut dyn CrashBackend, disk: &Medium, crash: &Crash, found: State) {
    let term = found.log.last().id.term.get() + 1;
    let mut history = History::of(found);
    let mut stores = open(backend, disk, crash);
    let steps = [vote(99, 30), Step::Append { term, count: 3 }];
    run(&mut stores, &mut history, &steps);
    drop(stores);
    let found = found_on(backend, &Medium::holding(disk.synced_files()), crash);
    assert_eq!(found, history.now(), "{crash}, and then some more");
}

#[track_caller]
fn open(backend: &mut dyn CrashBackend, disk: &Medium, crash: &Crash) -> Stores {
    let opened = backend.open_on(disk);
    opened.unwrap_or_else(|error| unreachable!("{crash}: {error}"))
}

#[track_caller]
fn found_on(backend: &mut dyn CrashBackend, disk: &Medium, crash: &Crash) -> State {
    let found = State::read(&open(backend, disk, crash));
    found.unwrap_or_else(|error| unreachable!("{crash}: {error}"))
}
