//! What a power cut may leave of a directory: all that was synced, and of the commit that was
//! under way some part of the bytes that it added to the log of writes.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand_core::Rng;
use rand_pcg::Pcg64;
use tempfile::TempDir;

use super::directory;

/// What devices write at once.
const SECTOR: usize = 512;

/// What becomes of the bytes of the unfinished commit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tear {
    /// The file ends after so many of them.
    Cut(usize),
    /// So many are there, then zeros.
    Zeros(usize),
    /// So many are there, then what the device held before.
    Garbage(usize),
    /// Some sectors are there, some are zeros.
    Sectors,
}

/// The newest log of writes in the database of `directory`.
pub(super) fn newest_log(directory: &Path) -> PathBuf {
    let listed = fs::read_dir(directory.join("database")).unwrap();
    let paths = listed.map(|item| item.unwrap().path());
    let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max().unwrap()
}

/// A copy, as of a killed process: everything that was written is there.
pub(super) fn copy(from: &Path) -> TempDir {
    // RocksDB may be removing files at the moment: a copy counts if nothing changed meanwhile.
    loop {
        let (copy, found) = (directory(), files(from));
        let copied = found.iter().all(|path| {
            let target = copy.path().join(path.strip_prefix(from).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).is_ok()
        });
        if copied && files(from) == found {
            return copy;
        }
    }
}

fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let listed = fs::read_dir(directory).unwrap();
    let paths = listed.map(|item| item.unwrap().path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => BTreeSet::from([path]),
    });
    found.collect()
}

/// `after`, with the newest log of writes torn in the bytes `unfinished`, and with the floor of
/// `before`.
pub(super) fn torn(
    before: &Path,
    after: &Path,
    unfinished: Range<usize>,
    tear: Tear,
    chance: &mut Pcg64,
) -> TempDir {
    let image = copy(after);
    fs::copy(before.join("floor"), image.path().join("floor")).unwrap();
    let path = newest_log(image.path());
    let mut bytes = fs::read(&path).unwrap();
    match tear {
        Tear::Cut(kept) => bytes.truncate(unfinished.start + kept),
        Tear::Zeros(kept) => bytes[unfinished.start + kept..unfinished.end].fill(0),
        Tear::Garbage(kept) => {
            for byte in &mut bytes[unfinished.start + kept..unfinished.end] {
                *byte = chance.next_u64().to_le_bytes()[0];
            }
        }
        Tear::Sectors => {
            for sector in bytes[unfinished].chunks_mut(SECTOR) {
                if chance.next_u64().is_multiple_of(2) {
                    sector.fill(0);
                }
            }
        }
    }
    fs::write(path, bytes).unwrap();
    image
}
