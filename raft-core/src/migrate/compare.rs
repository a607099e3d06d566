//! Reads everything back, and compares.

use super::contents::{Contents, records};
use super::copy::{BATCH_BYTES, read_through};
use super::error::MigrateError;
use super::{Progress, Stage, Watch};
use crate::entry::Entry;
use crate::id::LogIndex;
use crate::store::{LogReader, StoreError, Stores};

/// Reads both stores whole. Every checksum is verified on the way, each entry follows the one before
/// it, and all is the same on both sides.
pub(super) fn compare(
    from: &Stores,
    to: &Stores,
    found: &Contents,
    watch: Watch<'_>,
) -> Result<(), MigrateError> {
    compare_snapshots(to, found, watch)?;
    compare_log(from, to, found, watch)?;
    let copied = records(to)?;
    match copied == found.records {
        true => Ok(()),
        false => differs(&"the stable records"),
    }
}

/// The source's bytes were verified against the same checksums when they were copied.
fn compare_snapshots(to: &Stores, found: &Contents, watch: Watch<'_>) -> Result<(), MigrateError> {
    if to.snapshots.list()? != found.snapshots || !to.snapshots.damaged()?.is_empty() {
        return differs(&"the list of snapshots");
    }
    let mut progress = Progress {
        stage: Stage::CompareSnapshots,
        done: 0,
        total: found.snapshot_bytes(),
    };
    watch(progress);
    for meta in &found.snapshots {
        let (described, mut data) = to.snapshots.open(meta.id())?;
        let (done, mut checksum) = (progress.done, 0);
        read_through(&mut data, meta, &mut |bytes, through| {
            checksum = crc32c::crc32c_append(checksum, bytes);
            progress.done = done + through;
            watch(progress);
            Ok(())
        })?;
        let size = progress.done - done;
        if described != *meta || (size, checksum) != (meta.size, meta.checksum) {
            return differs(meta);
        }
    }
    Ok(())
}

fn compare_log(
    from: &Stores,
    to: &Stores,
    found: &Contents,
    watch: Watch<'_>,
) -> Result<(), MigrateError> {
    if to.log.bounds()? != found.bounds {
        return differs(&"the bounds of the log");
    }
    let (mut original, mut copy) = (from.log.reader()?, to.log.reader()?);
    let (mut range, mut last) = (found.bounds.range(), found.bounds.purged);
    let mut progress = Progress {
        stage: Stage::CompareLog,
        done: 0,
        total: found.entries(),
    };
    watch(progress);
    while !range.is_empty() {
        let expected = original.read(range.clone(), BATCH_BYTES)?;
        let end = range.start.plus(expected.len() as u64);
        let copied = read_all(copy.as_mut(), range.start, end)?;
        for (expected, copied) in expected.iter().zip(&copied) {
            if expected != copied || !copied.follows(last) {
                return differs(&format!("entry {}", expected.id()));
            }
            last = copied.link();
        }
        if expected.is_empty() || copied.len() != expected.len() {
            return differs(&format!("entry {}", range.start));
        }
        progress.done += copied.len() as u64;
        watch(progress);
        range.start = end;
    }
    match last == found.bounds.last {
        true => Ok(()),
        false => differs(&"the last entry"),
    }
}

/// All entries from `start` to before `end`, in however many pieces they come.
fn read_all(
    reader: &mut dyn LogReader,
    start: LogIndex,
    end: LogIndex,
) -> Result<Vec<Entry>, StoreError> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let next = start.plus(entries.len() as u64);
        if next >= end {
            return Ok(entries);
        }
        let more = reader.read(next..end, BATCH_BYTES)?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more);
    }
}

fn differs<T>(what: &dyn ToString) -> Result<T, MigrateError> {
    let what = what.to_string();
    Err(MigrateError::Differs { what })
}
