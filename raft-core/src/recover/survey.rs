//! What a node's stores hold: read, verified, and left as it is.

use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::error::RecoverError;
use crate::config::Config;
use crate::consensus::Recovery;
use crate::entry::{Entry, Payload};
use crate::hard_state::{HardState, Identity};
use crate::id::{ChainLink, LogId, LogIndex};
use crate::membership::Membership;
use crate::restoration::Restoration;
use crate::snapshot::SnapshotMeta;
use crate::store::{
    LogBounds, LogReader, ReadOnlyStores, Relocation, SnapshotStore, StableRecord, StoreError,
    Stores,
};
use crate::time::ClusterTime;

/// What was found in a node's stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Whose they are.
    pub identity: Identity,
    /// Term and vote.
    pub hard_state: HardState,
    /// The newest snapshot: everything through it is known to be committed.
    pub snapshot: Option<LogId>,
    /// What the log begins after.
    pub purged: ChainLink,
    /// The last entry, or the snapshot's end if the log ends before it.
    pub last: ChainLink,
    /// The group's time at the last entry.
    pub time: ClusterTime,
    /// The membership in force.
    pub membership: Membership,
    /// Where it was appended.
    pub membership_at: LogId,
    /// The entries that are not known to be committed.
    pub uncertain: Uncertain,
}

/// Entries behind the snapshot. A majority may have them, or nobody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertain {
    /// Commands among them.
    pub commands: u64,
    /// Memberships among them.
    pub memberships: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl Found {
    /// Everything through here is known to be committed.
    pub fn committed(&self) -> LogIndex {
        self.snapshot.map_or(LogIndex::ZERO, |last| last.index)
    }

    /// The entries that are not known to be committed.
    pub fn uncertain_range(&self) -> Range<LogIndex> {
        self.committed().next()..self.last.id.index.next()
    }
}

/// Reads at most this much of the log at once.
const SCAN_BYTES: usize = 1 << 20;
const LOG: &str = "log";

/// Reads everything, and verifies it.
pub(super) fn survey(stores: &Stores) -> Result<Found, RecoverError> {
    let stable = stores.stable.as_ref();
    Relocation::check(stable)?;
    look(Sources {
        hard_state: HardState::load(stable)?,
        identity: Identity::load(stable)?,
        bounds: stores.log.bounds()?,
        reader: stores.log.reader()?.as_mut(),
        snapshots: stores.snapshots.as_ref(),
    })
}

/// The same, of stores that cannot be changed.
pub(super) fn survey_read_only(stores: &mut ReadOnlyStores) -> Result<Found, RecoverError> {
    let relocation = stores.record::<Relocation>()?;
    relocation.map_or(Ok(()), Relocation::permit)?;
    let (hard_state, identity, bounds) = (stores.record()?, stores.record()?, stores.bounds());
    let (reader, snapshots) = stores.parts();
    look(Sources {
        hard_state,
        identity,
        bounds,
        reader,
        snapshots,
    })
}

/// Where a survey looks.
struct Sources<'a> {
    hard_state: Option<HardState>,
    identity: Option<Identity>,
    bounds: LogBounds,
    reader: &'a mut dyn LogReader,
    snapshots: &'a dyn SnapshotStore,
}

fn look(sources: Sources<'_>) -> Result<Found, RecoverError> {
    let Sources {
        hard_state,
        identity,
        bounds,
        reader,
        snapshots,
    } = sources;
    let list = snapshots.list()?;
    let is_empty = list.is_empty() && hard_state.is_none() && bounds.last == ChainLink::ORIGIN;
    let identity = match identity {
        _ if is_empty => return Err(RecoverError::Empty),
        Some(identity) => identity,
        None => return Err(RecoverError::NoIdentity),
    };
    let hard_state = hard_state.unwrap_or_default();
    let base = base(snapshots, list, bounds.purged.id)?;
    let bounds = match &base {
        Some(base) => continued(bounds, reader, base.header.last)?,
        None => bounds,
    };
    let header = base.as_ref().map(|base| &base.header);
    let recovery = Recovery::new(&Config::default(), hard_state, base.clone(), bounds.purged)?;
    let mut scan = Scan {
        recovery,
        committed: header.map_or(LogIndex::ZERO, |header| header.last.id.index),
        time: header.map_or(ClusterTime::ZERO, |header| header.time),
        membership: header.map(|header| (header.membership_at, (*header.membership).clone())),
        uncertain: Uncertain::default(),
    };
    scan.read_all(reader, &bounds)?;
    let Some((membership_at, membership)) = scan.membership else {
        return Err(RecoverError::NoMembership(identity.node));
    };
    Ok(Found {
        identity,
        hard_state,
        snapshot: base.as_ref().map(SnapshotMeta::id),
        purged: bounds.purged,
        last: bounds.last,
        time: scan.time,
        membership,
        membership_at,
        uncertain: scan.uncertain,
    })
}

/// The newest snapshot that opens, as when a node starts; here it is read to its end as well.
fn base(
    snapshots: &dyn SnapshotStore,
    list: Vec<SnapshotMeta>,
    purged: LogId,
) -> Result<Option<SnapshotMeta>, RecoverError> {
    let mut damage = None;
    let reaches = |meta: &SnapshotMeta| meta.id().index >= purged.index;
    for meta in list.into_iter().filter(reaches) {
        match snapshots.open(meta.id()) {
            Ok((_, mut data)) => {
                let what = meta.to_string();
                let read = io::copy(&mut data, &mut io::sink());
                read.map_err(|error| StoreError::damaged("snapshots", what, &error))?;
                return Ok(Some(meta));
            }
            Err(error) if error.is_damage() => drop(damage.get_or_insert(error)),
            Err(error) => return Err(error.into()),
        }
    }
    match damage {
        Some(error) if purged != LogId::ORIGIN => Err(error.into()),
        _ => Ok(None),
    }
}

/// The log as it continues `base`: whole if it holds that entry, otherwise empty after it.
fn continued(
    bounds: LogBounds,
    reader: &mut dyn LogReader,
    base: ChainLink,
) -> Result<LogBounds, StoreError> {
    let at = base.id.index;
    let held = if at == bounds.purged.id.index {
        Some(bounds.purged)
    } else if bounds.range().contains(&at) {
        let entries = reader.read(at..at.next(), SCAN_BYTES)?;
        entries.first().map(Entry::link)
    } else {
        None
    };
    if held == Some(base) {
        return Ok(bounds);
    }
    if at == bounds.purged.id.index {
        let detail = format!("the snapshot there ends with {base}");
        let what = bounds.purged.to_string();
        return Err(StoreError::damaged(LOG, what, &detail));
    }
    Ok(LogBounds {
        purged: base,
        last: base,
    })
}

/// One pass over the log.
struct Scan {
    recovery: Recovery,
    committed: LogIndex,
    time: ClusterTime,
    membership: Option<(LogId, Membership)>,
    uncertain: Uncertain,
}

impl Scan {
    fn read_all(
        &mut self,
        reader: &mut dyn LogReader,
        bounds: &LogBounds,
    ) -> Result<(), RecoverError> {
        let mut range = bounds.range();
        while !range.is_empty() {
            let entries = reader.read(range.clone(), SCAN_BYTES)?;
            if entries.is_empty() {
                let what = format!("entry {}", range.start);
                return Err(StoreError::damaged(LOG, what, &"it is not there").into());
            }
            for entry in entries {
                range.start = range.start.next();
                self.see(entry)?;
            }
        }
        let last = self.recovery.last();
        if last != bounds.last {
            let detail = format!("entry {last} was read there");
            let what = bounds.last.to_string();
            return Err(StoreError::damaged(LOG, what, &detail).into());
        }
        Ok(())
    }

    fn see(&mut self, entry: Entry) -> Result<(), RecoverError> {
        let is_uncertain = entry.index() > self.committed;
        if is_uncertain {
            self.uncertain.bytes += entry.record_bytes() as u64;
        }
        match entry.payload() {
            Payload::Command(_)
            | Payload::Restoration {
                part: Restoration::End { .. },
                ..
            } if is_uncertain => self.uncertain.commands += 1,
            Payload::Membership { membership, .. } => {
                self.uncertain.memberships += u64::from(is_uncertain);
                let known = self.membership.as_ref().map(|(at, _)| at.index);
                if known.is_none_or(|at| at < entry.index()) {
                    self.membership = Some((entry.id(), (**membership).clone()));
                }
            }
            Payload::Command(_) | Payload::Blank | Payload::Restoration { .. } => {}
        }
        self.time = entry.time();
        Ok(self.recovery.replay(entry)?)
    }
}
