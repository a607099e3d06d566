//! The snapshots, with their data if that is wanted.

use std::io::{self, Read as _};

use indicatif::ProgressBar;
use raft_core::snapshot::SnapshotMeta;
use raft_core::store::{ReadOnlyStores, StoreError};

use super::report::{Damage, Members, SnapshotReport};
use crate::terminal::progress;

/// Describes every snapshot, and with `verify` reads it to its end.
pub(super) fn look_at_snapshots(
    stores: &ReadOnlyStores,
    verify: bool,
    damage: &mut Vec<Damage>,
) -> Result<Vec<SnapshotReport>, StoreError> {
    damage.extend(stores.damaged_snapshots()?.iter().map(Damage::of));
    let list = stores.snapshots()?;
    if verify {
        let bar = progress("reading snapshots", list.iter().map(|meta| meta.size).sum());
        for meta in &list {
            if let Some(found) = read(stores, meta, &bar)? {
                damage.push(found);
            }
        }
        bar.finish_and_clear();
    }
    Ok(list.iter().map(report).collect())
}

fn report(meta: &SnapshotMeta) -> SnapshotReport {
    SnapshotReport {
        last: meta.header.last.into(),
        bytes: meta.size,
        checksum: format!("{:08x}", meta.checksum),
        members: Members::of(meta.header.membership_at, &meta.header.membership),
    }
}

/// Reads all of it; the reader verifies what it reads.
fn read(
    stores: &ReadOnlyStores,
    meta: &SnapshotMeta,
    bar: &ProgressBar,
) -> Result<Option<Damage>, StoreError> {
    let mut data = match stores.open_snapshot(meta.id()) {
        Ok((_, data)) => data,
        Err(error) if error.is_damage() => return Ok(Some(Damage::of(&error))),
        Err(error) => return Err(error),
    };
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => bar.inc(count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let named = error.downcast::<StoreError>();
                return Ok(Some(match named {
                    Ok(named) => Damage::of(&named),
                    Err(error) => Damage::new("snapshots", meta.to_string(), error.to_string()),
                }));
            }
            Err(error) => return Err(StoreError::io("snapshots", "read")(error)),
        }
    }
}

const PIECE_BYTES: usize = 256 << 10;
