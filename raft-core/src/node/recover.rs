//! What happens to the stores before a node starts: whose they are, and what they hold.
//!
//! The order matters, for a crash may come between any two steps:
//!
//! 0. Stores that were moved away, or are an unfinished copy, are refused: nobody may live twice.
//! 1. Whose stores are these? Empty ones are claimed: the identity is durable before anything else.
//! 2. Stores that hold nothing but their identity, and never held more, take the initial membership as entry one. After a
//!    crash before that entry was durable they still count as empty, so the next start repeats it.
//!    From the first entry, term or snapshot on, an initial membership is ignored.
//! 3. The newest snapshot that is intact is the base, if the log goes on from it. Where another could
//!    take its place, its data are read before anything relies on them.
//! 4. A log that does not hold the base's last entry (the node was killed between receiving the
//!    snapshot and purging the log) continues right after it.
//! 5. Every entry is read once, verified against its predecessor, and shown to the core.
//! 6. The state machine restores the base, unless it has kept a later state by itself.

use std::io;
use std::sync::Arc;

use super::applier::{Applier, Position};
use super::entropy::entropy;
use super::error::StartError;
use super::initial_state::InitialState;
use crate::config::Config;
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{Gathering, Recovery};
use crate::entry::{Entry, Payload, Sealed};
use crate::former_lives::FormerLives;
use crate::hard_state::{HardState, Identity};
use crate::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use crate::membership::Membership;
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{RestoreCheck, StateMachine};
use crate::store::contents::contents;
use crate::store::{
    LogBounds, LogReader, LogStore, Relocation, SnapshotStore, StableRecord, StableStore,
    StoreError, Stores,
};
use crate::time::ClusterTime;

/// Who is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    pub(crate) initial_membership: Option<Membership>,
    /// For empty stores.
    pub(crate) epoch: RecoveryEpoch,
}

/// Everything that was found, ready to run.
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    pub(crate) recovery: Recovery,
    /// What the state machine already holds.
    pub(crate) applied: LogIndex,
    pub(crate) log: Box<dyn LogStore>,
    pub(crate) stable: Box<dyn StableStore>,
    pub(crate) reader: Box<dyn LogReader>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) newest_snapshot: Option<SnapshotMeta>,
    pub(crate) applier: Applier,
    pub(crate) restore_check: Option<RestoreCheck>,
}

/// Reads the log in pieces of this size.
const SCAN_BYTES: usize = 1 << 20;
/// How errors name the log where it contradicts itself.
const LOG: &str = "log";
/// How errors name the snapshots.
const SNAPSHOTS: &str = "snapshots";

/// Prepares the stores and the state machine. Blocks.
pub(crate) fn recover(
    who: &Who,
    config: &Config,
    stores: Stores,
    machine: Box<dyn StateMachine>,
    initial_state: Option<InitialState>,
) -> Result<Recovered, StartError> {
    let Stores {
        mut log,
        mut stable,
        snapshots,
    } = stores;
    Relocation::check(stable.as_ref())?;
    let mut list = snapshots.list()?;
    let damaged = snapshots.damaged()?.into_iter().next();
    let hard_state = HardState::load(stable.as_ref())?;
    let contents = contents(log.bounds()?.last, hard_state, &list, damaged.as_ref());
    let former = FormerLives::load(stable.as_ref())?;
    let identity = claim(who, stable.as_mut(), contents.as_deref(), former.as_ref())?;
    if contents.is_none() && former.is_none() {
        let (snapshots, log) = (snapshots.as_ref(), log.as_mut());
        let founded = bootstrap(who, initial_state, machine.as_ref(), snapshots, log)?;
        list.extend(founded);
    }
    let purged = log.bounds()?.purged;
    let kept = machine.last_applied();
    let base = newest_usable(snapshots.as_ref(), list, damaged, purged.id, kept)?;
    let mut reader = log.reader()?;
    if let Some(base) = &base {
        align(log.as_mut(), reader.as_mut(), base.header.last)?;
    }
    let bounds = log.bounds()?;
    let hard_state = remembered(hard_state);
    let former = former.filter(|_| !mutant(Mutant::FormerLivesNotLoaded));
    // A machine outlives the damage of a log, and its state says nothing about the new one.
    let is_repairing = former.as_ref().is_some_and(|former| !former.is_repaired);
    let (kept, ahead) = match is_repairing {
        true => (None, kept),
        false => (kept, None),
    };
    let mut scan = Scan {
        recovery: Recovery::new(config, hard_state, base.clone(), bounds.purged)?.after(former),
        position: base
            .as_ref()
            .map_or_else(Position::default, |base| Position::after(&base.header)),
        gathering: Gathering::default(),
        kept,
    };
    scan.read_all(reader.as_mut(), &bounds)?;
    let recovery = scan.recovery;
    let applied = scan.position.last.id.index;
    let begin = (scan.position, scan.gathering);
    let mut applier = Applier::new(machine, begin, Arc::clone(&snapshots), log.reader()?);
    applier.pass_over(ahead);
    begin_with(&mut applier, base.as_ref(), kept.or(ahead))?;
    let restore_check = applier.restore_check().map_err(StartError::StateMachine)?;
    tracing::info!(%identity, %applied, "stores recovered");
    Ok(Recovered {
        identity,
        recovery,
        applied,
        log,
        stable,
        reader,
        snapshots,
        newest_snapshot: base,
        applier,
        restore_check,
    })
}

/// Term and vote that the stores hold. New ones hold none.
fn remembered(stored: Option<HardState>) -> HardState {
    let stored = stored.filter(|_| !mutant(Mutant::HardStateNotLoaded));
    stored.unwrap_or_default()
}

/// Restores the base, unless the machine has kept a later state by itself.
fn begin_with(
    applier: &mut Applier,
    base: Option<&SnapshotMeta>,
    kept: Option<LogId>,
) -> Result<(), StartError> {
    match base {
        Some(base) if kept.is_none_or(|id| id.index < base.id().index) => {
            let snapshot = base.id();
            let restored = applier.restore(base);
            restored.map_err(|reason| StartError::Restore { snapshot, reason })?;
            Ok(())
        }
        Some(_) | None => applier.tell_membership().map_err(StartError::StateMachine),
    }
}

/// Checks whose stores these are, and claims empty ones.
fn claim(
    who: &Who,
    stable: &mut dyn StableStore,
    contents: Option<&str>,
    former: Option<&FormerLives>,
) -> Result<Identity, StartError> {
    let expected = |incarnation, epoch| Identity {
        cluster: who.cluster,
        group: who.group,
        node: who.node,
        incarnation,
        epoch,
    };
    // What began anew belongs to whom it belonged to before.
    let before = former.and_then(|former| former.identity);
    if let Some(found) = before.filter(|it| *it != expected(it.incarnation, it.epoch)) {
        return Err(StartError::WrongIdentity {
            found: Box::new(found),
            expected: Box::new(expected(found.incarnation, found.epoch)),
        });
    }
    match (Identity::load(stable)?, contents) {
        (Some(found), _) if found == expected(found.incarnation, found.epoch) => Ok(found),
        (Some(found), _) => Err(StartError::WrongIdentity {
            found: Box::new(found),
            expected: Box::new(expected(found.incarnation, found.epoch)),
        }),
        (None, Some(what)) if former.is_none() => Err(StartError::NoIdentity { what: what.into() }),
        (None, _) => {
            // Nothing of an earlier epoch may count in a later one, snapshots that were kept included.
            let epoch = match (before, contents) {
                (Some(before), Some(_)) => before.epoch,
                (Some(before), None) => before.epoch.max(who.epoch),
                (None, _) => who.epoch,
            };
            let identity = expected(Incarnation::new(entropy().max(1)), epoch);
            identity.save(stable)?;
            Ok(identity)
        }
    }
}

/// Makes the initial membership the first entry of an empty log, or, with an initial state, a
/// snapshot of that entry.
fn bootstrap(
    who: &Who,
    initial_state: Option<InitialState>,
    machine: &dyn StateMachine,
    snapshots: &dyn SnapshotStore,
    log: &mut dyn LogStore,
) -> Result<Option<SnapshotMeta>, StartError> {
    // A group of a later epoch was recovered: it is joined, and never founded again.
    let founds = who.epoch == RecoveryEpoch::default();
    let Some(membership) = who.initial_membership.clone().filter(|_| founds) else {
        tracing::warn!(
            node = %who.node,
            "empty stores and no initial membership: the node waits to be added to a group"
        );
        return Ok(None);
    };
    if let Some(state) = initial_state {
        let check = machine.restore_check();
        let founded = state.found(membership, check.as_ref(), snapshots, log)?;
        return Ok(Some(founded));
    }
    tracing::info!(node = %who.node, %membership, "empty stores: begins with this membership");
    let payload = Payload::membership(membership).map_err(|error| StoreError::Misuse {
        place: LOG.into(),
        detail: error.to_string(),
    })?;
    let term = Term::ZERO.next();
    let first = Entry::new(
        ChainLink::ORIGIN,
        term,
        ClusterTime::ZERO,
        Sealed::new(payload),
    );
    log.append(&[first])?;
    log.sync()?;
    Ok(None)
}

/// The newest snapshot that is intact, if the log continues it.
fn newest_usable(
    snapshots: &dyn SnapshotStore,
    list: Vec<SnapshotMeta>,
    mut damage: Option<StoreError>,
    purged: LogId,
    kept: Option<LogId>,
) -> Result<Option<SnapshotMeta>, StartError> {
    let reaches = |meta: &SnapshotMeta| meta.id().index >= purged.index;
    let mut usable = list.into_iter().filter(reaches).peekable();
    while let Some(meta) = usable.next() {
        let is_restored = kept.is_none_or(|id| id.index < meta.id().index);
        // Without another the restore itself will tell, and the data are read only once.
        let has_other = usable.peek().is_some() || purged == LogId::ORIGIN;
        match open(snapshots, &meta, is_restored && has_other) {
            Ok(()) => return Ok(Some(meta)),
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "a snapshot is damaged: the one before it is tried");
                damage.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match damage {
        // Without it the log alone would not be the whole history.
        Some(error) if purged != LogId::ORIGIN => Err(error.into()),
        _ => Ok(None),
    }
}

/// Opens a snapshot, and reads it to its end if its `data` must be known to be intact.
pub(super) fn open(
    snapshots: &dyn SnapshotStore,
    meta: &SnapshotMeta,
    data: bool,
) -> Result<(), StoreError> {
    let (_, mut reader) = snapshots.open(meta.id())?;
    if !data {
        return Ok(());
    }
    let Err(error) = io::copy(&mut reader, &mut io::sink()) else {
        return Ok(());
    };
    let is_damage = error.kind() == io::ErrorKind::InvalidData;
    Err(match error.downcast::<StoreError>() {
        Ok(named) => named,
        Err(error) if is_damage => StoreError::damaged(SNAPSHOTS, meta.to_string(), &error),
        Err(error) => StoreError::io(SNAPSHOTS, "read")(error),
    })
}

/// Lets the log continue right after `base`, unless it holds exactly that entry.
fn align(
    log: &mut dyn LogStore,
    reader: &mut dyn LogReader,
    base: ChainLink,
) -> Result<(), StartError> {
    let bounds = log.bounds()?;
    let at = base.id.index;
    if at == bounds.purged.id.index {
        return if bounds.purged == base {
            Ok(())
        } else {
            let detail = format!("the snapshot there ends with {base}");
            Err(StoreError::damaged(LOG, bounds.purged.to_string(), &detail).into())
        };
    }
    let held = if bounds.range().contains(&at) {
        let entries = reader.read(at..at.next(), SCAN_BYTES)?;
        entries.first().map(Entry::link)
    } else {
        None
    };
    if held != Some(base) && !mutant(Mutant::LogNotAligned) {
        tracing::info!(%base, "the log continues after the snapshot");
        log.purge_prefix(base)?;
        log.sync()?;
    }
    Ok(())
}

/// The one pass over the stored log.
struct Scan {
    recovery: Recovery,
    /// Where the state machine stands, as far as it was scanned.
    position: Position,
    /// Of a restoration that is under way there.
    gathering: Gathering,
    /// The last command that the state machine kept by itself.
    kept: Option<LogId>,
}

impl Scan {
    fn read_all(
        &mut self,
        reader: &mut dyn LogReader,
        bounds: &LogBounds,
    ) -> Result<(), StartError> {
        if let Some(machine) = self.kept.filter(|id| id.index > bounds.last.id.index) {
            let last = bounds.last.id;
            return Err(StartError::MachineAhead { machine, last });
        }
        let mut range = bounds.range();
        let mut last = bounds.purged;
        while !range.is_empty() {
            let entries = reader.read(range.clone(), SCAN_BYTES)?;
            if entries.is_empty() {
                let what = format!("entry {}", range.start);
                return Err(StoreError::damaged(LOG, what, &"it is not there").into());
            }
            for entry in entries {
                range.start = range.start.next();
                last = entry.link();
                self.see(entry, bounds.last.id)?;
            }
        }
        if last != bounds.last {
            let detail = format!("entry {last} was read there");
            return Err(StoreError::damaged(LOG, bounds.last.to_string(), &detail).into());
        }
        Ok(())
    }

    fn see(&mut self, entry: Entry, last: LogId) -> Result<(), StartError> {
        if let Some(machine) = self.kept {
            if entry.index() == machine.index && entry.id() != machine {
                return Err(StartError::MachineAhead { machine, last });
            }
            let at = entry.index();
            if at <= machine.index && at > self.position.last.id.index {
                self.position.advance(&entry);
                // What was whole is in the machine already.
                let _ = self.gathering.take(&entry);
            }
        }
        Ok(self.recovery.replay(entry)?)
    }
}
