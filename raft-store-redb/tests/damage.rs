//! Whatever byte is flipped: it is noticed, or it does no harm. Never other data, never fewer
//! entries, never an empty log, never a panic.
//!
//! A run takes a sample of the bytes. `RAFT_FLIP_STRIDE=1` flips every one, in a quarter of an hour.

#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use raft_core::conformance::{entries_after, sized};
use raft_core::entry::Entry;
use raft_core::id::ChainLink;
use raft_core::store::{StableKey, StoreError, Stores};
use raft_core::units::Size;
use raft_store_redb::RedbConfig;
use tempfile::TempDir;

/// A small store: entries of two terms after a purge, one of them large, and both records.
struct Small {
    directory: TempDir,
    purged: ChainLink,
    entries: Vec<Entry>,
}

const DATABASE: &str = "raft.redb";
const FLOOR: &str = "floor";
const HARD_STATE: &[u8] = b"term 2, vote 3";
const IDENTITY: &[u8] = b"node 1";

impl Small {
    fn new() -> Self {
        let directory = directory();
        let mut stores = raft_store_redb::open(directory.path()).expect("open");
        let old = entries_after(ChainLink::ORIGIN, 1, 20);
        let mut entries = entries_after(old[9].link(), 2, 30);
        entries.push(sized(entries[29].link(), 2, 9_000));
        set(&mut stores, StableKey::Identity, IDENTITY);
        stores.log.append(&old).expect("append");
        stores.log.sync().expect("sync");
        set(&mut stores, StableKey::HardState, HARD_STATE);
        let from = entries[0].index();
        stores.log.truncate_suffix(from).expect("truncate");
        stores.log.append(&entries).expect("append");
        stores.log.purge_prefix(old[3].link()).expect("purge");
        stores.log.sync().expect("sync");
        entries.splice(..0, old[4..10].iter().cloned());
        Self {
            directory,
            purged: old[3].link(),
            entries,
        }
    }

    /// Opens it and reads everything; fails the test if that is not what was written.
    fn verify(&self, directory: &Path) -> Result<(), StoreError> {
        self.verify_open(&raft_store_redb::open(directory)?)
    }

    fn verify_open(&self, stores: &Stores) -> Result<(), StoreError> {
        let bounds = stores.log.bounds()?;
        assert_eq!(bounds.purged, self.purged);
        assert_eq!(bounds.last, self.entries[self.entries.len() - 1].link());
        let found = stores.log.reader()?.read(bounds.range(), usize::MAX)?;
        assert_eq!(found, self.entries);
        let hard_state = stores.stable.get(StableKey::HardState)?;
        assert_eq!(hard_state.as_deref(), Some(HARD_STATE));
        let identity = stores.stable.get(StableKey::Identity)?;
        assert_eq!(identity.as_deref(), Some(IDENTITY));
        Ok(())
    }

    fn length(&self, file: &str) -> usize {
        let metadata = fs::metadata(self.directory.path().join(file)).expect("a file");
        usize::try_from(metadata.len()).expect("a small file")
    }

    fn copy(&self) -> TempDir {
        let copy = directory();
        for name in [DATABASE, FLOOR] {
            let from = self.directory.path().join(name);
            fs::copy(from, copy.path().join(name)).expect("copy");
        }
        copy
    }
}

fn set(stores: &mut Stores, key: StableKey, value: &[u8]) {
    stores.stable.set(key, value).expect("set");
}

/// In memory where the system has such a directory: nothing here depends on a real disk.
fn directory() -> TempDir {
    let made = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    made.expect("a directory")
}

fn flip(directory: &TempDir, file: &str, at: usize) {
    let mut options = File::options();
    let path = directory.path().join(file);
    let mut file = options.read(true).write(true).open(path).expect("open");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at as u64)).expect("seek");
    file.read_exact(&mut byte).expect("read");
    byte[0] ^= if at.is_multiple_of(3) {
        0xff
    } else {
        1 << (at % 8)
    };
    file.seek(SeekFrom::Start(at as u64)).expect("seek");
    file.write_all(&byte).expect("write");
}

fn stride(sample: usize) -> usize {
    let chosen = std::env::var("RAFT_FLIP_STRIDE").ok();
    chosen.map_or(sample, |text| text.parse().expect("a number"))
}

/// Flips one byte after the other in copies of a closed store. Returns how many were noticed.
fn flip_at_rest(file: &str, places: impl Iterator<Item = usize>) -> usize {
    let small = Small::new();
    let mut noticed = 0;
    for at in places.take_while(|at| *at < small.length(file)) {
        let copy = small.copy();
        flip(&copy, file, at);
        if let Err(error) = small.verify(copy.path()) {
            noticed += 1;
            assert_names(&error, file, &format!("byte {at}"));
        }
    }
    noticed
}

fn assert_names(error: &StoreError, place: &str, flipped: &str) {
    let text = error.to_string();
    assert!(text.contains(place), "{flipped}: {text}");
    assert!(!text.contains("panicked"), "{flipped}: {text}");
    let named = error.is_damage() || matches!(error, StoreError::Format { .. });
    assert!(named, "{flipped}: {text}");
}

#[test]
fn a_flipped_byte_of_the_header_is_noticed_or_harmless() {
    let noticed = flip_at_rest(DATABASE, 0..400);
    assert!(noticed > 20, "{noticed} noticed");
}

#[test]
fn a_flipped_byte_of_the_pages_is_noticed_or_harmless() {
    let noticed = flip_at_rest(DATABASE, (400..).step_by(stride(127)));
    assert!(noticed > 50, "{noticed} noticed");
}

#[test]
fn a_flipped_byte_of_the_floor_is_noticed_or_harmless() {
    let small = Small::new();
    let (slot, length) = (small.length(FLOOR) / 2, 44);
    for at in (0..length).flat_map(|at| [at, slot + at]) {
        let copy = small.copy();
        flip(&copy, FLOOR, at);
        if let Err(error) = small.verify(copy.path()) {
            assert_names(&error, FLOOR, &format!("floor, byte {at}"));
        }
    }
    // The rest of each slot is empty: all of it at once.
    let copy = small.copy();
    for at in (length..slot).flat_map(|at| [at, slot + at]) {
        flip(&copy, FLOOR, at);
    }
    small.verify(copy.path()).expect("nothing is kept there");
}

/// The medium changes behind redb's back, which has verified the pages and trusts them now.
#[test]
fn a_byte_that_flips_while_the_store_is_open_is_noticed_or_harmless() {
    let small = Small::new();
    let config = RedbConfig { cache: Size(0) };
    let mut noticed = 0;
    for at in (0..small.length(DATABASE)).step_by(stride(331)) {
        let copy = small.copy();
        let mut stores = raft_store_redb::open_with(copy.path(), &config).expect("open");
        flip(&copy, DATABASE, at);
        let read = small.verify_open(&stores);
        noticed += usize::from(read.is_err());
        let last = stores.log.bounds().expect("the bounds").last;
        let more = entries_after(last, 3, 3);
        stores.log.append(&more).expect("append");
        let synced = stores.log.sync();
        drop(stores);
        for error in [&read, &synced]
            .into_iter()
            .filter_map(|done| done.as_ref().err())
        {
            assert!(
                !error.to_string().contains("panicked"),
                "byte {at}: {error}"
            );
        }
        let mut expected = Small {
            directory: directory(),
            purged: small.purged,
            entries: small.entries.clone(),
        };
        if synced.is_ok() {
            expected.entries.extend(more);
        }
        if let Err(error) = expected.verify(copy.path()) {
            assert!(error.is_damage(), "byte {at}: {error}");
        }
    }
    assert!(noticed > 20, "{noticed} noticed");
}
