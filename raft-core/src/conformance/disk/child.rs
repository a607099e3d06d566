//! The process that works on the stores while the shim watches it.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{panic, thread};

use super::super::entries_after;
use super::super::history::{Call, History, State};
use super::super::kill::Order;
use super::Open;
use super::image::Disk;
use super::script::{Script, Told};
use super::trace::{Record, parse};
use crate::store::{StableKey, StoreError, Stores};

/// What is needed to start children.
pub(super) struct Bench {
    test: String,
    base: PathBuf,
    shim: PathBuf,
    pub(super) script: Arc<Script>,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// Counted from one.
    pub(super) call: u64,
    pub(super) errno: Errno,
    pub(super) way: Way,
}

/// The number of an error on Linux.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errno {
    InputOutput = 5,
    NoSpace = 28,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Once,
    /// And so does every later one.
    Lasting,
    /// A write writes half of its bytes, and the next one on the file fails.
    Short,
}

/// What became of a child.
#[derive(Default)]
pub(super) struct Run {
    /// `None` if it went well: the text says how not.
    pub(super) died: Option<String>,
    pub(super) disk: Disk,
    pub(super) told: Told,
    pub(super) failure: Option<Failure>,
    /// How many calls could have failed.
    pub(super) calls: u64,
    /// Which calls the shim has failed, by name and path.
    pub(super) faults: Vec<String>,
}

/// The error that a child has seen.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) is_io: bool,
    /// Whether nothing was accepted after it. The stores that were not opened refuse everything.
    pub(super) is_final: bool,
    pub(super) place: String,
    pub(super) operation: String,
    pub(super) text: String,
}

impl Bench {
    /// Compiles the shim into `base`.
    pub(super) fn new(test: &str, base: &Path) -> Self {
        let base = fs::canonicalize(base).expect("the directory is there");
        let shim = base.join("shim.so");
        compile(&base, &shim);
        Self {
            test: test.to_owned(),
            base,
            shim,
            script: Arc::new(Script::new(SEED, STEPS)),
        }
    }

    /// Does the `work` for each of the items, several at a time: an engine in which something has failed
    /// may wait before it goes on.
    pub(super) fn in_lanes<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: &(dyn Fn(&Self, &T) -> R + Sync),
    ) -> Vec<R> {
        let lane = |number: usize| {
            let bench = self.lane(number);
            let mine = items.iter().skip(number).step_by(LANES);
            mine.map(|item| work(&bench, item)).collect::<Vec<R>>()
        };
        thread::scope(|scope| {
            let start = |number| scope.spawn(move || lane(number));
            let lanes: Vec<_> = (0..LANES).map(start).collect();
            let done = lanes.into_iter().flat_map(|lane| match lane.join() {
                Ok(results) => results,
                Err(panicked) => panic::resume_unwind(panicked),
            });
            done.collect()
        })
    }

    /// The same, with directories of its own.
    fn lane(&self, number: usize) -> Self {
        let base = self.directory(&format!("lane-{number}"));
        Self {
            test: self.test.clone(),
            base,
            shim: self.shim.clone(),
            script: Arc::clone(&self.script),
        }
    }

    /// An empty directory for stores. What lay there before is gone.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let directory = self.base.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("the directory is removed");
        }
        fs::create_dir(&directory).expect("the directory is created");
        directory
    }

    /// A child works through the script on the stores in `directory`, which is new.
    pub(super) fn run(&self, directory: &Path, fault: Option<Fault>) -> Run {
        self.start(directory, STEPS, fault)
    }

    /// A child opens the stores in `directory`, and nothing else.
    pub(super) fn run_opening(&self, directory: &Path) -> Run {
        self.start(directory, 0, None)
    }

    fn start(&self, directory: &Path, steps: u64, fault: Option<Fault>) -> Run {
        let [told, trace] = ["told", "trace"].map(|name| self.base.join(name));
        for left in [&told, &trace] {
            if left.exists() {
                fs::remove_file(left).expect("the file is removed");
            }
        }
        let mut disk = Disk::holding(directory);
        let mut command = Order::new(SEED, directory).command(&self.test);
        command
            .env("LD_PRELOAD", &self.shim)
            .env("RAFT_DISK_WATCHED", directory)
            .env("RAFT_DISK_TRACE", &trace)
            .env(TOLD, &told)
            .env(STEPS_OF_CHILD, steps.to_string());
        if let Some(Fault { call, errno, way }) = fault {
            let order = format!("{call} {} {}", errno as i32, way.word());
            command.env("RAFT_DISK_FAULT", order);
        }
        let output = command.output().expect("the child is started");
        let mut run = Run::default();
        if !output.status.success() {
            let [said, errors] =
                [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
            run.died = Some(format!("{}\n{said}\n{errors}", output.status));
        }
        for record in parse(&fs::read(&trace).expect("the shim was loaded")) {
            run.take(&mut disk, &record);
        }
        run.disk = disk;
        run
    }

    /// Opens what is left in `directory`, and holds it against what was promised. Then goes on with it.
    #[track_caller]
    pub(super) fn judge(
        &self,
        directory: &Path,
        open: Open<'_>,
        history: &History,
        moment: &dyn fmt::Display,
    ) {
        let judged = self.judge_if_whole(directory, open, history, moment);
        judged.unwrap_or_else(|error| unreachable!("{moment}: {error}"));
    }

    /// As [`Bench::judge`], where the store may also say that it is damaged.
    #[track_caller]
    pub(super) fn judge_if_whole(
        &self,
        directory: &Path,
        open: Open<'_>,
        history: &History,
        moment: &dyn fmt::Display,
    ) -> Result<(), StoreError> {
        let read = |step: &str| {
            let stores = open(directory)?;
            let found = State::read(&stores);
            Ok(found.unwrap_or_else(|error| unreachable!("{moment}{step}: {error}")))
        };
        let found: Result<State, StoreError> = read("");
        let found = match found {
            Err(error) if !error.is_damage() => unreachable!("{moment}: {error}"),
            found => found?,
        };
        history.check(&found, moment);
        let mut history = History::of(found);
        let made = open(directory).and_then(|mut stores| {
            more(&history.now()).iter().try_for_each(|call| {
                history.begun(call);
                call.make(&mut stores)?;
                history.returned(call);
                Ok(())
            })
        });
        made.unwrap_or_else(|error| unreachable!("{moment}, and then more: {error}"));
        let found = read(", and then more");
        let found = found.unwrap_or_else(|error| unreachable!("{moment}, and then more: {error}"));
        assert_eq!(found, history.now(), "{moment}, and then more");
        Ok(())
    }
}

impl Run {
    fn take(&mut self, disk: &mut Disk, record: &Record) {
        match record.kind {
            b'T' => {
                let text = String::from_utf8_lossy(&record.bytes);
                for line in text.lines() {
                    self.hear(line);
                }
                disk.at_this_moment(self.told);
            }
            b'F' => self
                .faults
                .push(String::from_utf8_lossy(&record.bytes).into_owned()),
            b'E' => self.calls = record.number,
            _ => disk.take(record),
        }
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split('\t').collect();
        match words.as_slice() {
            ["begun"] => self.told.begun += 1,
            ["returned"] => self.told.returned += 1,
            ["failed", kind, place, operation, text] => {
                self.failure = Some(Failure {
                    is_io: *kind == "io",
                    is_final: true,
                    place: (*place).to_owned(),
                    operation: (*operation).to_owned(),
                    text: (*text).to_owned(),
                });
            }
            ["accepted"] => {
                if let Some(failure) = &mut self.failure {
                    failure.is_final = false;
                }
            }
            _ => unreachable!("nobody tells `{line}`"),
        }
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Lasting => "lasting",
            Self::Short => "short",
        }
    }
}

/// What the child does: the whole script, or as far as the disk lets it.
pub(super) fn work(order: &Order, open: Open<'_>) {
    let variable = |name| env::var(name).expect("the parent has set it");
    let mut told = File::create(variable(TOLD)).expect("the parent listens");
    let mut tell = |line: &str| {
        let line = format!("{line}\n");
        told.write_all(line.as_bytes()).expect("the parent listens");
    };
    let mut stores = match open(&order.directory) {
        Ok(stores) => stores,
        Err(error) => return tell(&in_words(&error)),
    };
    let steps = variable(STEPS_OF_CHILD).parse().expect("a number");
    for call in Script::new(order.seed, steps).calls {
        tell("begun");
        if let Err(error) = call.make(&mut stores) {
            tell(&in_words(&error));
            if !refuses(&mut stores, &call) {
                tell("accepted");
            }
            return;
        }
        tell("returned");
    }
}

/// Whether stores in which a call has failed accept no other, nor the same one again.
fn refuses(stores: &mut Stores, failed: &Call) -> bool {
    let again = [failed, failed].map(|call| call.make(stores).is_err());
    let vote = stores
        .stable
        .set(StableKey::HardState, b"after the failure");
    let synced = stores.log.bounds().and_then(|bounds| {
        let entries = entries_after(bounds.last, bounds.last.id.term.get() + 1, 1);
        stores.log.append(&entries)?;
        stores.log.sync()
    });
    again == [true, true] && vote.is_err() && synced.is_err()
}

fn in_words(error: &StoreError) -> String {
    let text = error.to_string().replace(['\n', '\t'], " ");
    match error {
        StoreError::Io {
            place, operation, ..
        } => format!("failed\tio\t{place}\t{operation}\t{text}"),
        _ => format!("failed\tother\t\t\t{text}"),
    }
}

/// Some more work, on whatever is there.
fn more(state: &State) -> [Call; 3] {
    let last = state.log.last();
    let entries = entries_after(last, last.id.term.get() + 1, 3);
    let vote = Call::Set(StableKey::HardState, b"after the restart".to_vec());
    [vote, Call::Append(entries), Call::Sync]
}

/// With the C compiler that `CC` names.
fn compile(base: &Path, shim: &Path) {
    let source = base.join("shim.c");
    fs::write(&source, include_str!("shim.c")).expect("the shim's source is written");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command
        .args(words)
        .args(["-std=gnu11", "-O1", "-shared", "-fPIC", "-pthread", "-o"])
        .args([shim, &source])
        .stdin(Stdio::null());
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        unreachable!("the disk suite needs a C compiler, and `{compiler}` does not start: {error}; install one, or name it by CC")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`{compiler}` does not compile the shim:\n{errors}"
    );
}

/// So many children work at a time.
const LANES: usize = 6;
const SEED: u64 = 3;
/// Enough for a log that is appended to, replaced and purged several times.
const STEPS: u64 = 60;
const TOLD: &str = "RAFT_DISK_TOLD";
const STEPS_OF_CHILD: &str = "RAFT_DISK_STEPS";
