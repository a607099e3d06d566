//! Copies what is not there yet.

use std::io::{self, Read, Write};

use super::contents::Contents;
use super::error::MigrateError;
use super::{Progress, Stage, Watch};
use crate::entry::Entry;
use crate::id::{ChainLink, LogIndex};
use crate::snapshot::SnapshotMeta;
use crate::store::{LogReader, SnapshotStore, StoreError, Stores};

/// Copies everything but the identity. The target may hold part of it.
pub(super) fn copy(
    from: &Stores,
    to: &mut Stores,
    found: &Contents,
    watch: Watch<'_>,
) -> Result<(), MigrateError> {
    copy_snapshots(from, to, found, watch)?;
    copy_log(from, to, found, watch)?;
    for (key, value) in &found.records {
        to.stable.set(*key, value)?;
    }
    Ok(())
}

fn copy_snapshots(
    from: &Stores,
    to: &Stores,
    found: &Contents,
    watch: Watch<'_>,
) -> Result<(), MigrateError> {
    let there = to.snapshots.list()?;
    if let Some(stale) = there.iter().find(|meta| !found.snapshots.contains(meta)) {
        let what = stale.to_string();
        return Err(MigrateError::Stale { what });
    }
    let mut progress = Progress {
        stage: Stage::CopySnapshots,
        done: 0,
        total: found.snapshot_bytes(),
    };
    watch(progress);
    for meta in &found.snapshots {
        if there.contains(meta) {
            progress.done += meta.size;
            watch(progress);
            continue;
        }
        let done = progress.done;
        copy_snapshot(from, to.snapshots.as_ref(), meta, &mut |bytes| {
            progress.done = done + bytes;
            watch(progress);
        })?;
    }
    Ok(())
}

fn copy_snapshot(
    from: &Stores,
    to: &dyn SnapshotStore,
    meta: &SnapshotMeta,
    copied: &mut dyn FnMut(u64),
) -> Result<(), MigrateError> {
    let (_, mut data) = from.snapshots.open(meta.id())?;
    let mut sink = to.create(&meta.header)?;
    let write_failed = || StoreError::io("the target's snapshots", "write");
    read_through(&mut data, meta, &mut |bytes, through| {
        sink.write_all(bytes).map_err(write_failed())?;
        copied(through);
        Ok(())
    })?;
    let written = sink.finish()?;
    if written != *meta {
        let what = meta.to_string();
        return Err(MigrateError::Differs { what });
    }
    Ok(())
}

/// Is shown a piece of a snapshot, and how many bytes there are through it.
pub(super) type Show<'a> = &'a mut dyn FnMut(&[u8], u64) -> Result<(), StoreError>;

/// Reads a snapshot to its end, which verifies it, and shows each piece with the number of bytes
/// through it.
pub(super) fn read_through(
    data: &mut dyn Read,
    meta: &SnapshotMeta,
    show: Show<'_>,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut through = 0;
    loop {
        let count = match data.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error, meta)),
        };
        through += count as u64;
        show(buffer.get(..count).unwrap_or_default(), through)?;
    }
}

/// A reader wraps the store's own error where it has one.
fn unreadable(error: io::Error, meta: &SnapshotMeta) -> StoreError {
    let is_damage = error.kind() == io::ErrorKind::InvalidData;
    match error.downcast::<StoreError>() {
        Ok(named) => named,
        Err(error) if is_damage => StoreError::damaged("snapshots", meta.to_string(), &error),
        Err(error) => StoreError::io("snapshots", "read")(error),
    }
}

fn copy_log(
    from: &Stores,
    to: &mut Stores,
    found: &Contents,
    watch: Watch<'_>,
) -> Result<(), MigrateError> {
    let mut reader = from.log.reader()?;
    let mut last = go_on(reader.as_mut(), to, found)?;
    let purged = found.bounds.purged.id.index;
    let mut progress = Progress {
        stage: Stage::CopyLog,
        done: last.distance_from(purged),
        total: found.entries(),
    };
    watch(progress);
    let end = found.bounds.last.id.index;
    while last < end {
        let entries = reader.read(last.next()..end.next(), BATCH_BYTES)?;
        let Some(newest) = entries.last().map(Entry::index) else {
            let detail = "it is not there";
            let what = format!("entry {}", last.next());
            return Err(StoreError::damaged("log", what, &detail).into());
        };
        to.log.append(&entries)?;
        // Each batch by itself: what is not synced is kept in memory.
        to.log.sync()?;
        last = newest;
        progress.done = last.distance_from(purged);
        watch(progress);
    }
    Ok(())
}

/// Makes the target's log the beginning of the source's, and returns its last entry.
fn go_on(
    reader: &mut dyn LogReader,
    to: &mut Stores,
    found: &Contents,
) -> Result<LogIndex, MigrateError> {
    let (wanted, held) = (found.bounds, to.log.bounds()?);
    let at = held.last.id.index;
    let same = if held.purged != wanted.purged {
        None
    } else if at == wanted.purged.id.index {
        Some(wanted.purged)
    } else if wanted.range().contains(&at) {
        Some(link_at(reader, at)?)
    } else {
        None
    };
    if same == Some(held.last) {
        return Ok(at);
    }
    // The source has gone on in between, and what lies here is not its history any more.
    to.log.truncate_suffix(held.range().start)?;
    if held.purged != wanted.purged {
        if held.purged.id.index >= wanted.purged.id.index {
            let what = format!("a log that begins after entry {}", held.purged.id);
            return Err(MigrateError::Stale { what });
        }
        to.log.purge_prefix(wanted.purged)?;
    }
    to.log.sync()?;
    Ok(wanted.purged.id.index)
}

fn link_at(reader: &mut dyn LogReader, at: LogIndex) -> Result<ChainLink, StoreError> {
    let entries = reader.read(at..at.next(), 1)?;
    let entry = entries.first().map(Entry::link);
    entry.ok_or_else(|| StoreError::damaged("log", format!("entry {at}"), &"it is not there"))
}

/// How much of a snapshot is held in memory.
const PIECE_BYTES: usize = 256 << 10;
/// How much of the log is read, and made durable, at once.
pub(super) const BATCH_BYTES: usize = 4 << 20;
