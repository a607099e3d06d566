//! What RocksDB makes of a damaged log of writes in each of its modes, and why none is enough by
//! itself. The crate's documentation has the table.

#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{DB, DBRecoveryMode, Options, WriteOptions};
use tempfile::TempDir;

const RECORDS: usize = 300;

/// How the log of writes, whose last record begins at `last`, is damaged.
type Damage = fn(log: &mut Vec<u8>, last: usize);

#[test]
fn no_mode_of_replay_tells_a_torn_end_from_a_flipped_bit() {
    let damages: [(&str, Damage); 6] = [
        ("cut", |log, last| log.truncate(last + 30)),
        ("zeros", |log, last| log[last + 30..].fill(0)),
        ("garbage", |log, last| log[last + 30..].fill(0xa5)),
        ("flip in the last", |log, last| log[last + 50] ^= 4),
        ("flip in the middle", |log, last| log[last / 2] ^= 4),
        // Some forty before the last; it then seems to reach beyond the end.
        ("flip in a length", |log, last| {
            let at = record_after(log, last - 8_000);
            log[at + 5] ^= 0x40;
        }),
    ];
    let modes = [
        DBRecoveryMode::AbsoluteConsistency,
        DBRecoveryMode::TolerateCorruptedTailRecords,
        DBRecoveryMode::PointInTime,
    ];
    let (directory, log) = written();
    let bytes = fs::read(&log).expect("read");
    let last = last_record(&bytes);
    let mut table = Vec::new();
    for (name, damage) in damages {
        let mut damaged = bytes.clone();
        damage(&mut damaged, last);
        let found = modes.map(|mode| {
            let copy = copy(directory.path());
            fs::write(copy.path().join(log.file_name().expect("a name")), &damaged).expect("write");
            count(copy.path(), mode)
        });
        table.push(format!("{name}: {}", found.join(", ")));
    }
    let expected = [
        "cut: refused, 299, 299",
        "zeros: refused, refused, 299",
        "garbage: refused, refused, 299",
        "flip in the last: refused, refused, 299",
        "flip in the middle: refused, refused, 149",
        "flip in a length: refused, 255, 255",
    ];
    assert_eq!(table, expected);
}

/// A closed database with so many records, each synced, and its log of writes.
fn written() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let mut options = Options::default();
    options.create_if_missing(true);
    let database = DB::open(&options, directory.path()).expect("open");
    let mut write = WriteOptions::default();
    write.set_sync(true);
    for number in 0..RECORDS {
        let done = database.put_opt(number.to_be_bytes(), [7; 150], &write);
        done.expect("put");
    }
    drop(database);
    let listed = fs::read_dir(directory.path()).expect("a directory");
    let mut paths = listed.map(|item| item.expect("an item").path());
    let log = paths.find(|path| path.extension().is_some_and(|end| end == "log"));
    (directory, log.expect("a log"))
}

/// Where the last record begins.
fn last_record(log: &[u8]) -> usize {
    let (mut last, mut at) = (0, 0);
    while at < log.len() {
        (last, at) = (at, next_record(log, at));
    }
    last
}

fn record_after(log: &[u8], place: usize) -> usize {
    let mut at = 0;
    while at < place {
        at = next_record(log, at);
    }
    at
}

/// The first four bytes of a record are its checksum, the next two its length, and one its kind.
fn next_record(log: &[u8], at: usize) -> usize {
    let length = usize::from(log[at + 4]) + 256 * usize::from(log[at + 5]);
    let (next, block) = (at + 7 + length, 32 << 10);
    let room = block - next % block;
    if room < 7 { next + room } else { next }
}

fn copy(from: &Path) -> TempDir {
    let copy = TempDir::new().expect("a directory");
    for item in fs::read_dir(from).expect("a directory") {
        let path = item.expect("an item").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, copy.path().join(name)).expect("copy");
    }
    copy
}

/// How many records are found, if the database opens.
fn count(path: &Path, mode: DBRecoveryMode) -> String {
    let mut options = Options::default();
    options.set_wal_recovery_mode(mode);
    let Ok(database) = DB::open(&options, path) else {
        return "refused".to_owned();
    };
    let found = (0..RECORDS).filter(|number| {
        let got = database.get(number.to_be_bytes());
        got.expect("get").is_some()
    });
    found.count().to_string()
}
