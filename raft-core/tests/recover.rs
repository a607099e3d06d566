//! Recovery of a lost quorum, on the stores of one node.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::Membership;
use raft_core::memory::MemoryStores;
use raft_core::recover::{
    MembershipFile, RecoverError, RecoveryPlan, follow, force_membership, plan,
};
use raft_core::snapshot::SnapshotHeader;
use raft_core::store::{
    LogBounds, LogReader, LogStore, StableKey, StableRecord, StableStore, StoreError, Stores,
};
use raft_core::time::ClusterTime;
use raft_core::{HardState, Identity};

fn voters(ids: &[u64]) -> Membership {
    Membership::of_voters(ids.iter().map(|id| (*id, format!("memory:{id}")))).unwrap()
}

fn identity(node: u64) -> Identity {
    Identity {
        cluster: ClusterId::from_name("lost"),
        group: GroupId::new(0),
        node: NodeId::new(node),
        incarnation: Incarnation::new(node),
        epoch: RecoveryEpoch::default(),
    }
}

/// The membership 1, 2, 3, then `commands` commands; term 5 begins at entry 4.
fn entries(commands: u64) -> Vec<Entry> {
    let mut last = ChainLink::ORIGIN;
    let payloads = std::iter::once(Payload::membership(voters(&[1, 2, 3])).unwrap())
        .chain((0..commands).map(|at| Payload::Command(format!("command {at}").into())));
    (1_u64..)
        .zip(payloads)
        .map(|(index, payload)| {
            let term = Term::new(if index < 4 { 1 } else { 5 });
            let time = ClusterTime::from_micros(index);
            let entry = Entry::new(last, term, time, Sealed::new(payload));
            last = entry.link();
            entry
        })
        .collect()
}

/// What a node of a group of three has left.
fn survivor(node: u64, commands: u64) -> MemoryStores {
    let memory = MemoryStores::new();
    let mut stores = memory.open();
    identity(node).save(&mut *stores.stable).unwrap();
    let hard_state = HardState {
        term: Term::new(7),
        vote: Some(NodeId::new(2)),
    };
    hard_state.save(&mut *stores.stable).unwrap();
    stores.log.append(&entries(commands)).unwrap();
    stores.log.sync().unwrap();
    memory
}

/// Everything that the stores hold, as bytes.
fn bytes(memory: &MemoryStores) -> Vec<u8> {
    let stores = memory.open();
    let mut all = Vec::new();
    for key in [StableKey::Identity, StableKey::HardState] {
        all.extend(stores.stable.get(key).unwrap().unwrap_or_default());
    }
    let bounds = stores.log.bounds().unwrap();
    all.extend(format!("{bounds:?}{:?}", stores.snapshots.list().unwrap()).into_bytes());
    for entry in log(&stores) {
        entry.encode_into(&mut all);
    }
    all
}

fn log(stores: &Stores) -> Vec<Entry> {
    let range = stores.log.bounds().unwrap().range();
    if range.is_empty() {
        return Vec::new();
    }
    let mut reader = stores.log.reader().unwrap();
    reader.read(range, usize::MAX).unwrap()
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

/// Snapshots are of committed entries.
fn take_snapshot(memory: &MemoryStores, last: ChainLink) {
    let header = SnapshotHeader {
        last,
        time: ClusterTime::from_micros(last.id.index.get()),
        membership: Arc::new(voters(&[1, 2, 3])),
        membership_at: id(1, 1),
    };
    let mut sink = memory.open().snapshots.create(&header).unwrap();
    sink.write_all(b"state").unwrap();
    sink.finish().unwrap();
}

fn assert_recovered(memory: &MemoryStores, plan: &RecoveryPlan) {
    let stores = memory.open();
    let found = Identity::load(&*stores.stable).unwrap().unwrap();
    assert_eq!(found.epoch, plan.epoch);
    let hard_state = HardState::load(&*stores.stable).unwrap().unwrap();
    assert_eq!(
        (hard_state.term, hard_state.vote),
        (plan.term, Some(found.node))
    );
    let entries = log(&stores);
    let last = entries.last().unwrap();
    assert_eq!(last.term(), plan.term);
    let held = match last.payload() {
        Payload::Membership { membership, .. } => Some(&**membership),
        _ => None,
    };
    assert_eq!(held, Some(&plan.membership));
}

#[test]
fn a_dry_run_says_what_is_there_and_changes_nothing() {
    let memory = survivor(1, 5);
    take_snapshot(&memory, entries(5)[2].link());
    let before = bytes(&memory);
    let plan = plan(&memory.open(), voters(&[1])).unwrap();
    assert_eq!(bytes(&memory), before);
    assert_eq!(plan.found.last.id, id(5, 6));
    assert_eq!(plan.found.snapshot, Some(id(1, 3)));
    assert_eq!(plan.found.membership, voters(&[1, 2, 3]));
    assert_eq!(
        (plan.term, plan.epoch),
        (Term::new(8), RecoveryEpoch::new(1))
    );
    assert_eq!(plan.lost, [NodeId::new(2), NodeId::new(3)]);
    let text = plan.to_string();
    for part in [
        "recovery epoch 0",
        "term 7 vote 2",
        "at least through entry 3",
        "voters 1,2,3 (entry 1.1)",
        "voters given up  2,3",
        "after entry 6.5: everything",
        "entries 4 to 6 (3 commands, 0 memberships",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let json = serde_json::to_string_pretty(&plan).unwrap();
    assert_eq!(serde_json::from_str::<RecoveryPlan>(&json).unwrap(), plan);
}

#[test]
fn a_forced_membership_keeps_every_entry_and_is_done_once() {
    let memory = survivor(1, 5);
    let plan = plan(&memory.open(), voters(&[1, 4])).unwrap();
    force_membership(&mut memory.open(), &plan).unwrap();
    assert_recovered(&memory, &plan);
    assert_eq!(log(&memory.open())[..6], entries(5));
    let after = bytes(&memory);
    force_membership(&mut memory.open(), &plan).unwrap();
    assert_eq!(bytes(&memory), after);
}

#[test]
fn a_snapshot_beyond_the_log_is_what_is_carried_on() {
    let memory = survivor(1, 2);
    let last = ChainLink {
        id: id(6, 90),
        checksum: 9,
    };
    take_snapshot(&memory, last);
    let before = bytes(&memory);
    let plan = plan(&memory.open(), voters(&[1])).unwrap();
    assert_eq!(bytes(&memory), before);
    assert_eq!(plan.found.last, last);
    assert!(plan.found.uncertain_range().is_empty());
    for calls in 0..4 {
        force_failing(&memory, &plan, calls);
    }
    force_membership(&mut memory.open(), &plan).unwrap();
    assert_recovered(&memory, &plan);
    assert_eq!(log(&memory.open()).last().unwrap().id(), id(8, 91));
}

/// Lets so many writes through, then none.
#[derive(Clone)]
struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn spend(&self) -> Result<(), StoreError> {
        let spent = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        let dead = std::io::Error::other("the power is gone");
        spent
            .map(|_| ())
            .map_err(|_| StoreError::io("test", "write")(dead))
    }
}

struct Failing<S> {
    store: S,
    budget: Budget,
}

impl StableStore for Failing<Box<dyn StableStore>> {
    fn get(&self, key: StableKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn set(&mut self, key: StableKey, value: &[u8]) -> Result<(), StoreError> {
        self.budget.spend()?;
        self.store.set(key, value)
    }
}

impl LogStore for Failing<Box<dyn LogStore>> {
    fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.store.bounds()
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.budget.spend()?;
        self.store.append(entries)
    }

    fn truncate_suffix(&mut self, from: LogIndex) -> Result<(), StoreError> {
        self.budget.spend()?;
        self.store.truncate_suffix(from)
    }

    fn purge_prefix(&mut self, through: ChainLink) -> Result<(), StoreError> {
        self.budget.spend()?;
        self.store.purge_prefix(through)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.budget.spend()?;
        self.store.sync()
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StoreError> {
        self.store.reader()
    }
}

/// Recovers until `writes` were made; then the power fails.
fn force_failing(memory: &MemoryStores, plan: &RecoveryPlan, writes: usize) {
    let stores = memory.open();
    let budget = Budget(Arc::new(AtomicUsize::new(writes)));
    let mut stores = Stores {
        log: Box::new(Failing {
            store: stores.log,
            budget: budget.clone(),
        }),
        stable: Box::new(Failing {
            store: stores.stable,
            budget,
        }),
        snapshots: stores.snapshots,
    };
    let stopped = force_membership(&mut stores, plan);
    assert!(
        matches!(stopped, Err(RecoverError::Store(StoreError::Io { .. }))),
        "{stopped:?}"
    );
    memory.crash();
}

#[test]
fn a_crash_between_any_two_steps_leaves_nobody_who_decides_and_is_repaired_by_a_repeat() {
    for writes in 0..4 {
        let memory = survivor(1, 5);
        let first = plan(&memory.open(), voters(&[1])).unwrap();
        force_failing(&memory, &first, writes);
        let now = plan(&memory.open(), voters(&[1])).unwrap();
        // Without the new epoch there is no new membership, and the old one decides nothing alone.
        assert_eq!(
            now.found.membership,
            voters(&[1, 2, 3]),
            "after {writes} writes"
        );
        assert_eq!(now.found.last, first.found.last);
        assert_eq!(
            now.found.identity.epoch,
            RecoveryEpoch::new(u64::from(writes > 0))
        );
        let again = if writes % 2 == 0 { &first } else { &now };
        force_membership(&mut memory.open(), again).unwrap();
        assert_recovered(&memory, again);
        assert_eq!(log(&memory.open())[..6], entries(5));
    }
}

#[test]
fn a_membership_without_this_node_or_without_voters_is_refused() {
    let memory = survivor(1, 2);
    let error = plan(&memory.open(), voters(&[2, 3])).unwrap_err();
    assert!(matches!(error, RecoverError::NotAVoter { .. }), "{error}");
    let learner = Membership::new([(2, "b:1")], [(1, "a:1")]).unwrap();
    let error = plan(&memory.open(), learner).unwrap_err();
    assert!(error.to_string().contains("name it as a voter"), "{error}");
    let file: MembershipFile = serde_json::from_str("[]").unwrap();
    file.membership().unwrap_err();
}

#[test]
fn a_file_names_members_and_who_votes() {
    let text = r#"[
        { "id": 1, "address": "a:7000", "voter": true },
        { "id": 4, "address": "d:7000" },
        { "id": 5, "address": "e:7000", "voter": false }
    ]"#;
    let file: MembershipFile = serde_json::from_str(text).unwrap();
    assert_eq!(
        file.membership().unwrap().to_string(),
        "voters 1,4 learners 5"
    );
    let twice = r#"[{ "id": 1, "address": "a" }, { "id": 1, "address": "b" }]"#;
    let twice: MembershipFile = serde_json::from_str(twice).unwrap();
    twice.membership().unwrap_err();
    let unknown = r#"[{ "id": 1, "address": "a", "non_voter": true }]"#;
    assert!(serde_json::from_str::<MembershipFile>(unknown).is_err());
}

#[test]
fn empty_foreign_and_damaged_stores_are_refused() {
    let empty = MemoryStores::new();
    let error = plan(&empty.open(), voters(&[1])).unwrap_err();
    assert!(matches!(error, RecoverError::Empty), "{error}");
    let memory = MemoryStores::new();
    memory.open().log.append(&entries(1)).unwrap();
    let error = plan(&memory.open(), voters(&[1])).unwrap_err();
    assert!(matches!(error, RecoverError::NoIdentity), "{error}");
    let memory = survivor(1, 2);
    memory
        .open()
        .stable
        .set(StableKey::HardState, b"rot")
        .unwrap();
    let error = plan(&memory.open(), voters(&[1])).unwrap_err();
    assert!(
        matches!(&error, RecoverError::Store(store) if store.is_damage()),
        "{error}"
    );
    let memory = survivor(1, 5);
    memory
        .open()
        .log
        .purge_prefix(entries(5)[1].link())
        .unwrap();
    let error = plan(&memory.open(), voters(&[1])).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged(_)), "{error}");
}

#[test]
fn stores_in_use_are_refused() {
    let memory = survivor(1, 2);
    let mut stale = memory.open();
    let plan_made = plan(&stale, voters(&[1])).unwrap();
    let _node = memory.open();
    let error = plan(&stale, voters(&[1])).unwrap_err();
    assert!(
        matches!(error, RecoverError::Store(StoreError::InUse { .. })),
        "{error}"
    );
    let error = force_membership(&mut stale, &plan_made).unwrap_err();
    assert!(
        matches!(error, RecoverError::Store(StoreError::InUse { .. })),
        "{error}"
    );
}

#[test]
fn a_plan_that_was_overtaken_does_nothing() {
    let memory = survivor(1, 2);
    let old = plan(&memory.open(), voters(&[1])).unwrap();
    let more = entries(3);
    memory.open().log.append(&more[3..]).unwrap();
    let before = bytes(&memory);
    let error = force_membership(&mut memory.open(), &old).unwrap_err();
    assert!(matches!(error, RecoverError::Overtaken { .. }), "{error}");
    let elsewhere = survivor(2, 3);
    let other = plan(&elsewhere.open(), voters(&[2])).unwrap();
    let error = force_membership(&mut memory.open(), &other).unwrap_err();
    assert!(matches!(error, RecoverError::Overtaken { .. }), "{error}");
    assert_eq!(bytes(&memory), before);
    for _ in 0..2 {
        let next = plan(&memory.open(), voters(&[1])).unwrap();
        force_membership(&mut memory.open(), &next).unwrap();
    }
    let error = force_membership(&mut memory.open(), &old).unwrap_err();
    assert!(matches!(error, RecoverError::OlderEpoch { .. }), "{error}");
}

#[test]
fn another_survivor_follows_only_whoever_holds_as_much() {
    let (long, short) = (survivor(1, 5), survivor(2, 3));
    let wrong = plan(&short.open(), voters(&[1, 2])).unwrap();
    let error = follow(&mut long.open(), &wrong).unwrap_err();
    assert!(matches!(error, RecoverError::Ahead { .. }), "{error}");
    let right = plan(&long.open(), voters(&[1, 2])).unwrap();
    force_membership(&mut long.open(), &right).unwrap();
    for _ in 0..2 {
        follow(&mut short.open(), &right).unwrap();
        let followed = Identity::load(&*short.open().stable).unwrap().unwrap();
        assert_eq!(
            (followed.epoch, followed.node),
            (right.epoch, NodeId::new(2))
        );
    }
    let stranger = survivor(3, 1);
    let error = follow(&mut stranger.open(), &right).unwrap_err();
    assert!(matches!(error, RecoverError::NotAVoter { .. }), "{error}");
}
