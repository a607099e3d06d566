//! A node's data moves from one store to another, whatever interrupts it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use raft_core::entry::{Entry, Sealed};
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::Membership;
use raft_core::memory::{MemoryStores, Network};
use raft_core::migrate::{MigrateError, Moved, Places, migrate};
use raft_core::node::Node;
use raft_core::recover::plan;
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::store::{
    LogBounds, LogReader, LogStore, Relocation, SnapshotRead, SnapshotSink, SnapshotStore,
    StableKey, StableRecord, StableStore, StoreError, Stores,
};
use raft_core::time::ClusterTime;
use raft_core::{HardState, Identity};

const PLACES: Places<'static> = Places {
    from: "the old disk",
    to: "the new disk",
};

fn identity(node: u64) -> Identity {
    Identity {
        cluster: ClusterId::from_name("tests"),
        group: GroupId::new(0),
        node: NodeId::new(node),
        incarnation: Incarnation::new(77),
        epoch: RecoveryEpoch::new(0),
    }
}

fn entries_after(mut last: ChainLink, count: u64) -> Vec<Entry> {
    let next = |number| {
        let payload = format!("command {number}");
        let entry = Entry::new(
            last,
            Term::new(3),
            ClusterTime::ZERO,
            Sealed::command(payload),
        );
        last = entry.link();
        entry
    };
    (0..count).map(next).collect()
}

fn append(stores: &mut Stores, count: u64) {
    let last = stores.log.bounds().unwrap().last;
    stores.log.append(&entries_after(last, count)).unwrap();
    stores.log.sync().unwrap();
}

fn take_snapshot(stores: &Stores, last: ChainLink) {
    let header = SnapshotHeader {
        last,
        time: ClusterTime::ZERO,
        membership: Arc::new(Membership::of_voters([(1, "a:1")]).unwrap()),
        membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
    };
    let mut sink = stores.snapshots.create(&header).unwrap();
    let state = format!("the state at {last}");
    sink.write_all(state.repeat(100).as_bytes()).unwrap();
    sink.finish().unwrap();
}

/// A node with a snapshot at entry 10, entries 6 to 30, and a vote.
fn used() -> MemoryStores {
    let memory = MemoryStores::new();
    let mut stores = memory.open();
    identity(1).save(stores.stable.as_mut()).unwrap();
    let vote = HardState {
        term: Term::new(4),
        vote: Some(NodeId::new(2)),
    };
    vote.save(stores.stable.as_mut()).unwrap();
    let entries = entries_after(ChainLink::ORIGIN, 30);
    stores.log.append(&entries).unwrap();
    stores.log.sync().unwrap();
    take_snapshot(&stores, entries[9].link());
    stores.log.purge_prefix(entries[4].link()).unwrap();
    stores.log.sync().unwrap();
    memory
}

fn run(from: &MemoryStores, to: &MemoryStores) -> Result<Moved, MigrateError> {
    migrate(&mut from.open(), &mut to.open(), PLACES, &mut |_| {})
}

/// As [`run`], but the target breaks down after so many writes. The log goes over in several batches.
fn cut_off(from: &MemoryStores, to: &MemoryStores, writes: usize) -> Result<Moved, MigrateError> {
    let endless = Arc::new(AtomicUsize::new(usize::MAX));
    let mut source = fragile(from, &endless);
    let mut target = fragile(to, &Arc::new(AtomicUsize::new(writes)));
    migrate(&mut source, &mut target, PLACES, &mut |_| {})
}

/// Whether a node would start here: it has a name, and no move forbids it.
fn is_startable(memory: &MemoryStores) -> bool {
    let stores = memory.open();
    let named = Identity::load(stores.stable.as_ref()).unwrap().is_some();
    named && Relocation::check(stores.stable.as_ref()).is_ok()
}

/// Everything but the identity and the mark of the move.
type Contents = (
    LogBounds,
    Vec<Entry>,
    Vec<(SnapshotMeta, Vec<u8>)>,
    Option<HardState>,
);

fn contents(memory: &MemoryStores) -> Contents {
    let stores = memory.open();
    let bounds = stores.log.bounds().unwrap();
    let mut reader = stores.log.reader().unwrap();
    let entries = reader.read(bounds.range(), usize::MAX).unwrap();
    let mut snapshots = Vec::new();
    for meta in stores.snapshots.list().unwrap() {
        let (_, mut data) = stores.snapshots.open(meta.id()).unwrap();
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        snapshots.push((meta, bytes));
    }
    let vote = HardState::load(stores.stable.as_ref()).unwrap();
    (bounds, entries, snapshots, vote)
}

/// Stores that break down after so many writes.
fn fragile(memory: &MemoryStores, left: &Arc<AtomicUsize>) -> Stores {
    let Stores {
        log,
        stable,
        snapshots,
    } = memory.open();
    Stores {
        log: Box::new(FragileLog(log, Arc::clone(left))),
        stable: Box::new(FragileStable(stable, Arc::clone(left))),
        snapshots: Arc::new(FragileSnapshots(snapshots, Arc::clone(left))),
    }
}

fn spend(left: &AtomicUsize) -> Result<(), StoreError> {
    let spent = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    match spent {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::io("a disk", "write")(io::Error::other(
            "power failed",
        ))),
    }
}

struct FragileLog(Box<dyn LogStore>, Arc<AtomicUsize>);

impl LogStore for FragileLog {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.0.bounds()
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        spend(&self.1)?;
        self.0.append(entries)
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        spend(&self.1)?;
        self.0.truncate_suffix(from)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        spend(&self.1)?;
        self.0.purge_prefix(through)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        spend(&self.1)?;
        self.0.sync()
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(Sips(self.0.reader()?)))
    }
}

/// Reads a few entries at a time, whatever it is asked for.
struct Sips(Box<dyn LogReader>);

impl LogReader for Sips {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let end = range.end.min(range.start.plus(7));
        self.0.read(range.start..end, bytes_max)
    }
}

struct FragileStable(Box<dyn StableStore>, Arc<AtomicUsize>);

impl StableStore for FragileStable {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        spend(&self.1)?;
        self.0.set(key, value)
    }
}

struct FragileSnapshots(Arc<dyn SnapshotStore>, Arc<AtomicUsize>);

impl SnapshotStore for FragileSnapshots {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        self.0.list()
    }

    fn create(&self, header: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        spend(&self.1)?;
        self.0.create(header)
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        self.0.open(last)
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        self.0.retain(keep, through)
    }
}

#[test]
fn everything_arrives_and_the_node_starts_there_and_here_no_more() {
    let (from, to) = (used(), MemoryStores::new());
    let before = contents(&from);
    let moved = run(&from, &to).unwrap();
    assert_eq!(moved.identity, identity(1));
    assert!(!moved.was_complete);
    assert_eq!(contents(&to), before);
    let stores = to.open();
    let arrived = Identity::load(stores.stable.as_ref()).unwrap();
    assert_eq!(arrived, Some(identity(1)), "the same life goes on");
    assert!(is_startable(&to) && !is_startable(&from));
    let error = Relocation::check(from.open().stable.as_ref()).unwrap_err();
    assert!(error.to_string().contains("the new disk"), "{error}");
    assert!(
        run(&from, &to).unwrap().was_complete,
        "again changes nothing"
    );
}

#[test]
fn a_move_that_is_cut_off_anywhere_leaves_one_life_and_goes_on() {
    for writes in 0.. {
        let (from, to) = (used(), MemoryStores::new());
        let before = contents(&from);
        let left = Arc::new(AtomicUsize::new(writes));
        let outcome = {
            let (mut source, mut target) = (fragile(&from, &left), fragile(&to, &left));
            migrate(&mut source, &mut target, PLACES, &mut |_| {})
        };
        from.crash();
        to.crash();
        let (here, there) = (is_startable(&from), is_startable(&to));
        assert!(!(here && there), "after {writes} writes it lives twice");
        if outcome.is_ok() {
            assert!(there && writes > 12, "{writes} places to fail at");
            return;
        }
        assert_eq!(contents(&from), before, "after {writes} writes");
        run(&from, &to).unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
        assert_eq!(contents(&to), before, "after {writes} writes");
        assert!(is_startable(&to) && !is_startable(&from));
    }
}

#[test]
fn what_the_node_did_between_two_attempts_arrives_too() {
    // It goes on; it replaces its tail; it takes a snapshot and purges all that was copied.
    let changes: [fn(&mut Stores); 3] = [
        |stores| append(stores, 9),
        |stores| {
            stores.log.truncate_suffix(LogIndex::new(20)).unwrap();
            stores.log.sync().unwrap();
            append(stores, 15);
        },
        |stores| {
            append(stores, 40);
            let last = stores.log.bounds().unwrap().last;
            take_snapshot(stores, last);
            stores.log.purge_prefix(last).unwrap();
            stores.log.sync().unwrap();
        },
    ];
    // The mark is there; the log is half there; all is there, and the source not retired yet.
    for (change, writes) in changes.into_iter().flat_map(|change| {
        let writes = [1, 9, 12, 13];
        writes.map(|writes| (change, writes))
    }) {
        let (from, to) = (used(), MemoryStores::new());
        assert!(cut_off(&from, &to, writes).is_err() && is_startable(&from));
        change(&mut from.open());
        let before = contents(&from);
        run(&from, &to).unwrap();
        assert_eq!(contents(&to), before);
    }
}

#[test]
fn a_source_that_was_moved_elsewhere_completes_no_older_copy() {
    let (from, old, new) = (used(), MemoryStores::new(), MemoryStores::new());
    cut_off(&from, &old, 9).unwrap_err();
    run(&from, &new).unwrap();
    let again = run(&from, &old);
    assert!(
        matches!(again, Err(MigrateError::Departed { .. })),
        "{again:?}"
    );
    assert!(is_startable(&new) && !is_startable(&old) && !is_startable(&from));
    // From there it moves on; to where it came from it does not come back.
    let back = run(&new, &from);
    assert!(
        matches!(back, Err(MigrateError::Occupied { .. })),
        "{back:?}"
    );
    let third = MemoryStores::new();
    run(&new, &third).unwrap();
    assert!(is_startable(&third) && !is_startable(&new));
}

#[test]
fn what_is_no_empty_target_is_refused_and_kept() {
    let from = used();
    let other = used();
    identity(2).save(other.open().stable.as_mut()).unwrap();
    let kept = contents(&other);
    let refused = run(&from, &other).unwrap_err().to_string();
    assert!(refused.contains("node 2"), "{refused}");
    assert_eq!(contents(&other), kept);
    // An unfinished copy of another node may be all that is left of that one.
    let half = MemoryStores::new();
    cut_off(&other, &half, 9).unwrap_err();
    let kept = contents(&half);
    let refused = run(&from, &half);
    assert!(
        matches!(refused, Err(MigrateError::Occupied { .. })),
        "{refused:?}"
    );
    assert_eq!(contents(&half), kept);
    assert!(is_startable(&from));
    let nobody = run(&MemoryStores::new(), &MemoryStores::new());
    assert!(matches!(nobody, Err(MigrateError::NoNode)), "{nobody:?}");
}

/// A log that flips a bit in what it stores is not taken for a copy.
struct Forgetful(Box<dyn LogStore>);

impl LogStore for Forgetful {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.0.bounds()
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.0.append(entries)
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        self.0.truncate_suffix(from)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        self.0.purge_prefix(through)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        Ok(Box::new(OtherReader(self.0.reader()?)))
    }
}

/// Gives another entry 20 than is stored, intact in itself.
struct OtherReader(Box<dyn LogReader>);

impl LogReader for OtherReader {
    fn read(&mut self, range: Range<LogIndex>, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.0.read(range, bytes_max)?;
        let at = LogIndex::new(20);
        if let Some(entry) = entries.iter_mut().find(|entry| entry.index() == at) {
            let before = ChainLink {
                id: LogId::new(Term::new(3), LogIndex::new(19)),
                checksum: entry.previous_checksum(),
            };
            *entry = Entry::new(
                before,
                Term::new(3),
                ClusterTime::ZERO,
                Sealed::command("another command"),
            );
        }
        Ok(entries)
    }
}

#[test]
fn a_copy_that_differs_does_not_count() {
    let (from, to) = (used(), MemoryStores::new());
    let stores = to.open();
    let mut target = Stores {
        log: Box::new(Forgetful(stores.log)),
        ..stores
    };
    let differs = migrate(&mut from.open(), &mut target, PLACES, &mut |_| {});
    let error = differs.unwrap_err().to_string();
    assert!(error.contains("entry 20.3"), "{error}");
    drop(target);
    assert!(is_startable(&from) && !is_startable(&to));
}

#[test]
fn progress_rises_to_its_end_in_every_stage() {
    let (from, to) = (used(), MemoryStores::new());
    let mut seen = Vec::new();
    let watch = &mut |progress| seen.push(progress);
    migrate(&mut from.open(), &mut to.open(), PLACES, watch).unwrap();
    for pair in seen.windows(2) {
        if pair[0].stage == pair[1].stage {
            assert!(pair[0].done <= pair[1].done, "{pair:?}");
        } else {
            assert_eq!(pair[0].done, pair[0].total, "{pair:?}");
        }
    }
    let stages = seen.chunk_by(|one, other| one.stage == other.stage).count();
    assert_eq!(stages, 4);
}

/// A machine that is never asked anything.
struct Idle;

impl StateMachine for Idle {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        Ok(vec![Bytes::new(); batch.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(Vec::new()))
    }

    fn restore(&mut self, _: &SnapshotMeta, _: &mut dyn Read) -> Result<(), StateMachineError> {
        Ok(())
    }
}

/// Why no node starts here.
async fn refusal(memory: &MemoryStores) -> String {
    let transport = Network::new().transport(1);
    let node = Node::builder(1, memory.open(), transport, Idle)
        .cluster(ClusterId::from_name("tests"))
        .start()
        .await;
    node.unwrap_err().to_string()
}

#[tokio::test]
async fn no_node_starts_on_what_was_moved_away_or_is_an_unfinished_copy() {
    for writes in [1, 9, 12] {
        let (from, half) = (used(), MemoryStores::new());
        cut_off(&from, &half, writes).unwrap_err();
        let why = refusal(&half).await;
        assert!(why.contains("unfinished copy of the old disk"), "{why}");
    }
    let (from, to) = (used(), MemoryStores::new());
    run(&from, &to).unwrap();
    let why = refusal(&from).await;
    assert!(why.contains("moved to the new disk"), "{why}");
    // A recovery would begin with a vote.
    let alone = Membership::of_voters([(1, "a:1")]).unwrap();
    let why = plan(&from.open(), alone).unwrap_err().to_string();
    assert!(why.contains("moved to the new disk"), "{why}");
}
