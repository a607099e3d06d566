//! The memory stores, each broken in one way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::conformance::Backend;
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogId};
use raft_core::memory::MemoryStores;
use raft_core::snapshot::Kept;
use raft_core::store::{LogBounds, Stores};

use crate::log::BrokenLog;
use crate::snapshots::BrokenSnapshots;
use crate::stable::BrokenStable;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    // The log.
    NewLogBeginsSomewhere,
    AltersAPayload,
    BlankBecomesCommand,
    CutsLargeEntries,
    AcceptsAGap,
    AcceptsABrokenChain,
    AcceptsAFallingTerm,
    AppendsWhatStandsBeforeAGap,
    SyncDoesNothing,
    LosesTheLastEntryOnReopening,
    ForgetsTruncationOnReopening,
    TruncatesTheLastEntryFromBeyond,
    TruncatesThePurged,
    ForgetsThePurgeOnReopening,
    EmptyLogForgetsItsEnd,
    PurgeBeyondTheEndDoesNothing,
    PurgeThroughAnotherEntryKeepsTheLog,
    PurgeMovesBack,
    BoundsIgnoreBufferedCalls,
    // Its readers.
    GivesNothingOverTheLimit,
    GivesOneEntryTooFew,
    ReadsPastTheRange,
    ReturnsPurgedEntries,
    EndsInSilence,
    RemembersWhatItRead,
    ShowsGarbageUntilTheSync,
    CountsIndexesInSixteenBits,
    // The stable records.
    AbsentIsEmpty,
    RecordIsNotDurable,
    RecordKeepsTheTailOfALongerOne,
    RecordsTouchEachOther,
    EmptyIsAbsent,
    // The snapshots.
    ListsAPhantom,
    ForgetsSnapshotsOnReopening,
    LeavesOutEmptySnapshots,
    ShowsUnfinishedSnapshots,
    ListsTheOldestFirst,
    FinishesOnlyOnce,
    SinksShareABuffer,
    RetainsNone,
    RemovesNewerSnapshots,
    KeptOneByteMore,
    MixesPartsOfSnapshots,
    DiscardedPartComesBack,
    TwoAttemptsMix,
    ReaderStartsElsewhere,
    AbsenceIsDamage,
    ReaderEndsWithTheRemoval,
    HidesDamage,
    FinishesLater,
}

/// A clone is another handle to what the fault remembers.
#[derive(Clone)]
pub(crate) struct Remembered(Arc<Mutex<Memory>>);

pub(crate) struct Memory {
    pub(crate) fault: Option<Fault>,
    pub(crate) openings: usize,
    pub(crate) appended: Vec<Entry>,
    /// What the latest truncation removed.
    pub(crate) removed: Vec<Entry>,
    pub(crate) synced: LogBounds,
    pub(crate) is_dirty: bool,
    pub(crate) moved_back: Option<ChainLink>,
    pub(crate) record: Option<Vec<u8>>,
    pub(crate) buffer: Vec<u8>,
    pub(crate) kept: Kept,
    pub(crate) hidden: BTreeSet<LogId>,
    pub(crate) attempts: usize,
    pub(crate) late: Vec<u8>,
}

impl Remembered {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self(Arc::new(Mutex::new(Memory {
            fault,
            openings: 0,
            appended: Vec::new(),
            removed: Vec::new(),
            synced: LogBounds::default(),
            is_dirty: false,
            moved_back: None,
            record: None,
            buffer: Vec::new(),
            kept: Kept::NOTHING,
            hidden: BTreeSet::new(),
            attempts: 0,
            late: Vec::new(),
        })))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is what is wrong.
    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.get().fault == Some(fault)
    }
}

/// Memory stores that lose power whenever they are closed.
pub(crate) struct Broken {
    memory: MemoryStores,
    remembered: Remembered,
}

impl Broken {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self {
            memory: MemoryStores::new(),
            remembered: Remembered::new(fault),
        }
    }
}

impl Backend for Broken {
    fn open(&mut self) -> Stores {
        self.memory.crash();
        let mut stores = self.memory.open();
        self.remembered.get().openings += 1;
        spoil(&mut stores, &self.remembered);
        let synced = stores.log.bounds().unwrap();
        self.remembered.get().synced = synced;
        self.remembered.get().record = None;
        Stores {
            log: Box::new(BrokenLog::new(stores.log, self.remembered.clone())),
            stable: Box::new(BrokenStable::new(stores.stable, self.remembered.clone())),
            snapshots: Arc::new(BrokenSnapshots::new(
                stores.snapshots,
                self.remembered.clone(),
            )),
        }
    }

    fn long_log_entries(&self) -> usize {
        70_000
    }
}

/// What happens to the data while the store is closed.
fn spoil(stores: &mut Stores, remembered: &Remembered) {
    let bounds = stores.log.bounds().unwrap();
    if remembered.is(Fault::LosesTheLastEntryOnReopening) && !bounds.is_empty() {
        stores.log.truncate_suffix(bounds.last.id.index).unwrap();
        stores.log.sync().unwrap();
    }
    let removed = std::mem::take(&mut remembered.get().removed);
    if let Some(first) = removed.first() {
        stores.log.truncate_suffix(first.index()).unwrap();
        stores.log.append(&removed).unwrap();
        stores.log.sync().unwrap();
    }
}
