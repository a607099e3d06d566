//! The power fails in any commit; bits flip before it.

use std::fs;

use rand_core::SeedableRng;
use rand_pcg::Pcg64;

use super::medium::{Tear, copy, newest_log, torn};
use super::*;

/// One step of the script: the store as it was before it and after it, in copies.
struct Commit {
    before: TempDir,
    after: TempDir,
    had: State,
    has: State,
}

impl Commit {
    /// The bytes that it added to the log of writes.
    fn added(&self) -> std::ops::Range<usize> {
        let (old, new) = (
            newest_log(self.before.path()),
            newest_log(self.after.path()),
        );
        assert_eq!(old.file_name(), new.file_name());
        let length = |path| usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
        length(old)..length(new)
    }
}

/// Runs the script, and keeps every state.
fn commits() -> Vec<Commit> {
    let directory = created();
    let mut store = open(directory.path()).unwrap();
    let mut commits = Vec::new();
    let mut before = copy(directory.path());
    let mut had = State::default();
    for step in Step::script() {
        step.run(&mut store).unwrap();
        let (after, has) = (copy(directory.path()), step.apply(&had));
        commits.push(Commit {
            before: copy(before.path()),
            after: copy(after.path()),
            had,
            has: has.clone(),
        });
        (before, had) = (after, has);
    }
    assert_eq!(store.state().unwrap(), had);
    commits
}

#[test]
fn a_new_database_is_whole_once_its_creation_returns() {
    let directory = created();
    let killed = copy(directory.path());
    let store = open(killed.path()).unwrap();
    assert_eq!(store.state().unwrap(), State::default());
}

#[test]
fn a_power_cut_in_any_commit_loses_nothing_that_was_acknowledged() {
    let chance = &mut Pcg64::seed_from_u64(7);
    let (mut lost, mut kept) = (0, 0);
    for (number, commit) in commits().iter().enumerate() {
        let added = commit.added();
        let length = added.len();
        assert!(length > 40, "commit {number} wrote {length} bytes");
        let places = [0, 1, 6, 7, 12, length / 2, length - 1, length];
        let tears = places.iter().flat_map(|kept| {
            let kept = *kept;
            [Tear::Cut(kept), Tear::Zeros(kept), Tear::Garbage(kept)]
        });
        let sectors = [Tear::Sectors; 4];
        for tear in tears.chain(sectors) {
            let before = commit.before.path();
            let image = torn(before, commit.after.path(), added.clone(), tear, chance);
            let opened = open(image.path());
            let mut store = opened.unwrap_or_else(|error| panic!("{number}, {tear:?}: {error}"));
            let found = store.state().unwrap();
            if found == commit.has {
                kept += 1;
            } else {
                assert_eq!(found, commit.had, "commit {number}, {tear:?}");
                lost += 1;
            }
            // It goes on from there, and keeps that too.
            let mut expected = found;
            for more in [Step::Vote(9), Step::Append { term: 9, count: 2 }] {
                more.run(&mut store).unwrap();
                expected = more.apply(&expected);
            }
            drop(store);
            let store = open(image.path()).unwrap();
            assert_eq!(store.state().unwrap(), expected, "{number}, {tear:?}");
        }
    }
    assert!(lost > 50 && kept > 20, "{lost} lost, {kept} kept");
}

/// RocksDB by itself takes a flipped bit for the end of what was written, and the floor knows
/// nothing here, as after a power cut.
#[test]
fn a_flipped_byte_before_the_newest_commit_is_damage_whatever_the_floor_knows() {
    let commits = commits();
    let (first, last) = (&commits[0], &commits[commits.len() - 1]);
    let end = last.added().start;
    let log = fs::read(newest_log(last.after.path())).unwrap();
    let chance = &mut Pcg64::seed_from_u64(3);
    let whole = 0..log.len();
    // The first record is RocksDB's own, and empty.
    for at in (first.added().start..end).step_by(5) {
        let image = torn(
            first.before.path(),
            last.after.path(),
            whole.clone(),
            Tear::Cut(log.len()),
            chance,
        );
        let mut flipped = log.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(newest_log(image.path()), flipped).unwrap();
        let error = open(image.path()).err();
        let error = error.unwrap_or_else(|| panic!("byte {at} of {end} is not noticed"));
        assert!(error.is_damage(), "byte {at}: {error}");
        assert!(
            error.to_string().contains(".log: damaged at byte"),
            "{error}"
        );
    }
}

#[test]
fn a_flipped_byte_of_the_newest_commit_is_never_other_data() {
    let commits = commits();
    let last = &commits[commits.len() - 1];
    let chance = &mut Pcg64::seed_from_u64(4);
    let added = last.added();
    for at in added.clone().step_by(11) {
        let tear = Tear::Cut(added.len());
        let image = torn(
            last.before.path(),
            last.after.path(),
            added.clone(),
            tear,
            chance,
        );
        let log = newest_log(image.path());
        let mut bytes = fs::read(&log).unwrap();
        bytes[at] ^= 1 << (at % 8);
        fs::write(log, bytes).unwrap();
        // It cannot be told from a torn one. The floor tells, where it knows of the commit.
        let known = copy(image.path());
        fs::copy(last.after.path().join("floor"), known.path().join("floor")).unwrap();
        assert!(open(known.path()).err().unwrap().is_damage());
        let store = open(image.path()).unwrap();
        assert_eq!(store.state().unwrap(), last.had, "byte {at}");
    }
}

#[test]
fn a_power_cut_while_opening_after_a_power_cut_loses_nothing() {
    let commits = commits();
    let last = &commits[commits.len() - 1];
    let added = last.added();
    let chance = &mut Pcg64::seed_from_u64(5);
    let tear = Tear::Cut(added.len() / 2);
    let image = torn(last.before.path(), last.after.path(), added, tear, chance);
    let old_log = newest_log(image.path());
    let torn_bytes = fs::read(&old_log).unwrap();
    let store = open(image.path()).unwrap();
    // The torn log was removed, and that may not have lasted: the new one is empty.
    let again = copy(image.path());
    let name = old_log.file_name().unwrap();
    fs::write(again.path().join("database").join(name), torn_bytes).unwrap();
    assert_eq!(store.state().unwrap(), last.had);
    drop(store);
    let store = open(again.path()).unwrap();
    assert_eq!(store.state().unwrap(), last.had);
}

#[test]
fn a_device_that_lied_about_a_sync_is_found_out() {
    let commits = commits();
    let last = &commits[commits.len() - 1];
    let image = copy(last.before.path());
    fs::copy(last.after.path().join("floor"), image.path().join("floor")).unwrap();
    let error = open(image.path()).err().unwrap();
    assert!(error.is_damage(), "{error}");
    let words = format!("commit {} was made durable", commits.len());
    assert!(error.to_string().contains(&words), "{error}");
}

/// Commits that span many blocks of the log of writes, so that they have beginnings and ends.
#[test]
fn large_commits_are_verified_over_all_their_blocks() {
    let directory = created();
    let mut store = open(directory.path()).unwrap();
    let append = |store: &mut Store| {
        let last = store.log.bounds().unwrap().last;
        let large = raft_core::conformance::sized(last, 1, 70_000);
        store.log.append(&[large]).unwrap();
        store.log.sync().unwrap();
    };
    append(&mut store);
    let before = copy(directory.path());
    append(&mut store);
    let after = copy(directory.path());
    drop(store);
    let start = fs::metadata(newest_log(before.path())).unwrap().len();
    let start = usize::try_from(start).unwrap();
    let log = fs::read(newest_log(after.path())).unwrap();
    for at in (100..log.len()).step_by(3_001) {
        let image = copy(after.path());
        fs::copy(before.path().join("floor"), image.path().join("floor")).unwrap();
        let mut flipped = log.clone();
        flipped[at] ^= 0x10;
        fs::write(newest_log(image.path()), flipped).unwrap();
        match open(image.path()) {
            Ok(store) => {
                assert!(at >= start, "byte {at} of {start} is not noticed");
                assert_eq!(store.state().unwrap().entries.len(), 1);
            }
            Err(error) => assert!(error.is_damage() && at < start, "byte {at}: {error}"),
        }
    }
}
