//! The process is killed at any moment, under load: nothing that was acknowledged is lost.
//!
//! Each test starts this program again, as a child that works on a store and says before each
//! commit what will be there after it, and after it that it is done. Once the child is dead, the
//! store must hold what it last said was done, or what it was about to do.

#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]

use std::env;
use std::hint;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use raft_core::conformance::{entries_after, sized};
use raft_core::entry::Entry;
use raft_core::store::{StableKey, StoreError, Stores};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tempfile::TempDir;

#[test]
fn a_process_killed_under_load_loses_nothing_that_it_acknowledged() {
    let directory = directory();
    let mut chance = Pcg64::seed_from_u64(1);
    let (mut acknowledged, mut unfinished) = (0, 0);
    let mut expected = describe(&open(directory.path()).expect("open")).expect("whole");
    for cycle in 0..200 {
        let mut child = start(directory.path(), cycle, None);
        let lines = below(&mut chance, 80);
        let said = kill(&mut child, lines, below(&mut chance, 400_000), expected);
        let found = open(directory.path()).and_then(|stores| describe(&stores));
        let found = found.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        assert!(said.allows(&found), "cycle {cycle}: {found}, {said:?}");
        acknowledged += said.acknowledged;
        unfinished += usize::from(said.next.is_some());
        expected = found;
    }
    assert!(acknowledged > 2_000, "{acknowledged} commits");
    assert!(unfinished > 20, "killed in {unfinished} commits");
}

#[test]
fn a_process_killed_while_it_creates_its_store_leaves_a_whole_one_or_none() {
    let mut chance = Pcg64::seed_from_u64(2);
    for cycle in 0..40 {
        let directory = directory();
        let mut child = start(directory.path(), cycle, None);
        let new = "0.0#00000000 0.0#00000000 -".to_owned();
        let said = kill(&mut child, 0, below(&mut chance, 12_000_000), new);
        let found = open(directory.path()).and_then(|stores| describe(&stores));
        let found = found.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        assert!(said.allows(&found), "cycle {cycle}: {found}, {said:?}");
    }
}

/// The system refuses to let files grow, as it does when the disk is full.
#[test]
fn a_write_that_fails_ends_the_use_of_the_store_and_loses_nothing() {
    let directory = directory();
    let new = describe(&open(directory.path()).expect("open")).expect("whole");
    let mut child = start(directory.path(), 3, Some(FILE_KIB));
    let mut said = Said::new(&mut child, new);
    said.listen(usize::MAX);
    assert!(child.wait().expect("wait").success(), "{said:?}");
    let [first, second] = &said.failed[..] else {
        panic!("two calls fail: {said:?}");
    };
    assert!(
        first.starts_with("io ") && first.contains("raft."),
        "{first}"
    );
    assert!(second.contains("an earlier commit failed"), "{second}");
    let found = open(directory.path()).and_then(|stores| describe(&stores));
    let found = found.expect("it opens where files may grow");
    assert!(
        said.acknowledged > 10 && said.allows(&found),
        "{found}, {said:?}"
    );
}

#[test]
#[ignore = "the child of the other tests, which start it"]
fn child() {
    let directory = env::var_os("RAFT_KILL_DIRECTORY").expect("a directory");
    let seed = env::var("RAFT_KILL_SEED").expect("a seed");
    let mut chance = Pcg64::seed_from_u64(seed.parse().expect("a number"));
    let mut stores = match open(Path::new(&directory)) {
        Ok(stores) => stores,
        Err(error) => panic!("{error}"),
    };
    for step in 0..20_000_u64 {
        if let Err(error) = commit(&mut stores, &mut chance, step) {
            say_failed(&error);
            let again = stores.stable.set(StableKey::HardState, b"again");
            say_failed(&again.expect_err("the store's use has ended"));
            return;
        }
    }
}

/// One commit of whatever chance decides.
fn commit(stores: &mut Stores, chance: &mut Pcg64, step: u64) -> Result<(), StoreError> {
    let bounds = stores.log.bounds()?;
    let held = bounds.last.id.index.distance_from(bounds.purged.id.index);
    let mut hard_state = stores.stable.get(StableKey::HardState)?;
    let kind = chance.next_u64() % 10;
    if kind == 0 {
        let value = format!("{}-{step}", bounds.last.id.index);
        hard_state = Some(value.clone().into_bytes());
        say("next", &state(stores, hard_state.as_deref())?);
        stores.stable.set(StableKey::HardState, value.as_bytes())?;
        say("done", "");
        return Ok(());
    }
    let mut term = bounds.last.id.term.get().max(1);
    if kind == 1 && held > 20 {
        let back = chance.next_u64() % 12;
        let from = bounds.purged.id.index.plus(held - back);
        stores.log.truncate_suffix(from)?;
        term += 1;
    } else if kind == 2 && held > 150 && env::var_os(GROWS).is_none() {
        let through = bounds.purged.id.index.plus(held - 50);
        let entries = stores.log.reader()?.read(through..through.next(), 1)?;
        stores.log.purge_prefix(entries[0].link())?;
    }
    let last = stores.log.bounds()?.last;
    let count = usize::try_from(chance.next_u64() % 12).expect("a small number");
    let mut entries = entries_after(last, term, count);
    let last = entries.last().map_or(last, Entry::link);
    entries.push(sized(last, term, below(chance, 4_000)));
    stores.log.append(&entries)?;
    say("next", &state(stores, hard_state.as_deref())?);
    stores.log.sync()?;
    say("done", "");
    Ok(())
}

/// What a store holds: the links carry the chain, which tells any two histories apart.
fn state(stores: &Stores, hard_state: Option<&[u8]>) -> Result<String, StoreError> {
    let bounds = stores.log.bounds()?;
    let hard_state = hard_state.map_or("-".into(), String::from_utf8_lossy);
    Ok(format!("{} {} {hard_state}", bounds.purged, bounds.last))
}

/// The same, after every entry was read and verified.
fn describe(stores: &Stores) -> Result<String, StoreError> {
    let bounds = stores.log.bounds()?;
    if !bounds.is_empty() {
        let entries = stores.log.reader()?.read(bounds.range(), usize::MAX)?;
        assert!(entries[0].follows(bounds.purged));
        assert_eq!(entries[entries.len() - 1].link(), bounds.last);
    }
    let hard_state = stores.stable.get(StableKey::HardState)?;
    state(stores, hard_state.as_deref())
}

/// One line to the parent. What the test harness writes stands on lines of its own.
fn say(word: &str, text: &str) {
    let mut out = io::stdout().lock();
    let line = format!("\n{word} {text}\n");
    out.write_all(line.as_bytes()).expect("the parent listens");
    out.flush().expect("the parent listens");
}

fn say_failed(error: &StoreError) {
    let kind = match error {
        StoreError::Io { .. } => "io",
        _ => "other",
    };
    say("failed", &format!("{kind} {error}"));
}

/// What a child has said.
#[derive(Debug)]
struct Said {
    out: BufReader<ChildStdout>,
    done: String,
    next: Option<String>,
    acknowledged: usize,
    failed: Vec<String>,
}

impl Said {
    /// Nothing yet, by a child that finds the state `done`.
    fn new(child: &mut Child, done: String) -> Self {
        Self {
            out: BufReader::new(child.stdout.take().expect("a pipe")),
            done,
            next: None,
            acknowledged: 0,
            failed: Vec::new(),
        }
    }

    /// Reads up to so many lines more.
    fn listen(&mut self, lines: usize) {
        let mut line = String::new();
        let mut heard = 0;
        while heard < lines {
            line.clear();
            if self.out.read_line(&mut line).expect("text") == 0 {
                return;
            }
            heard += usize::from(self.hear(&line));
        }
    }

    /// Takes one line, if it is the child's. A last one that is cut short was never said.
    fn hear(&mut self, line: &str) -> bool {
        let Some((word, text)) = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once(' '))
        else {
            return false;
        };
        match word {
            "next" => self.next = Some(text.to_owned()),
            "done" => {
                self.done = self.next.take().expect("what is done was announced");
                self.acknowledged += 1;
            }
            "failed" => self.failed.push(text.to_owned()),
            _ => return false,
        }
        true
    }

    fn allows(&self, found: &str) -> bool {
        found == self.done || Some(found) == self.next.as_deref()
    }
}

/// Starts the child, whose files may grow to so many KiB.
fn start(directory: &Path, seed: u64, file_kib: Option<u64>) -> Child {
    let program = env::current_exe().expect("this program");
    let mut command = Command::new("sh");
    // The limit's signal is ignored, so that the write fails instead.
    let limit = file_kib.map_or(String::new(), |kib| {
        format!("trap '' XFSZ; ulimit -f {};", kib * 2)
    });
    command.arg("-c").arg(format!("{limit} exec \"$0\" \"$@\""));
    command.arg(program);
    command.args(["child", "--exact", "--ignored", "--nocapture"]);
    command.env("RAFT_KILL_DIRECTORY", directory);
    command.env("RAFT_KILL_SEED", seed.to_string());
    if file_kib.is_some() {
        command.env(GROWS, "1");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().expect("start the child")
}

/// Lets the child say so many lines, then work for a moment, and kills it.
fn kill(child: &mut Child, lines: usize, moment: usize, done: String) -> Said {
    let mut said = Said::new(child, done);
    said.listen(lines);
    for _ in 0..moment {
        hint::spin_loop();
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    said.listen(usize::MAX);
    said
}

/// In memory where the system has such a directory: what a killed process wrote outlives it there
/// as on a disk.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}

fn below(chance: &mut Pcg64, end: u64) -> usize {
    usize::try_from(chance.next_u64() % end).expect("a small number")
}

/// Set where nothing is purged, so that the files must grow.
const GROWS: &str = "RAFT_KILL_GROWS";
/// No file may become larger than this, in the test of failing writes.
const FILE_KIB: u64 = 512;

fn open(directory: &Path) -> Result<Stores, StoreError> {
    raft_store_redb::open(directory)
}
