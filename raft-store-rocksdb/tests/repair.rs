//! Damaged stores begin anew: what is kept, what is remembered, and how a node on them is a voter
//! again without an operator.

#![expect(clippy::indexing_slicing, reason = "a test that fails panics")]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::conformance::entries_after;
use raft_core::consensus::RoleName;
use raft_core::id::{ChainLink, ClusterId, GroupId, Incarnation, NodeId, RecoveryEpoch, Term};
use raft_core::membership::Membership;
use raft_core::memory::Network;
use raft_core::node::{EventStream, Node, NodeEvent};
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::store::{Relocation, StableRecord, StoreError, Stores};
use raft_core::{FormerLives, HardState, Identity};
use raft_store_rocksdb::{RocksdbConfig, begin_anew, open, open_or_begin_anew};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// What one of the stored entries holds.
const ENTRY: &[u8] = b"entry 8 of term 1";

fn identity() -> Identity {
    Identity {
        cluster: ClusterId::from_name("tests"),
        group: GroupId::default(),
        node: NodeId::new(3),
        incarnation: Incarnation::new(77),
        epoch: RecoveryEpoch::new(2),
    }
}

/// Closed stores of a node that has voted and stored some entries.
fn used() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let mut stores = open(directory.path()).expect("open");
    identity().save(&mut *stores.stable).expect("save");
    let vote = HardState {
        term: Term::new(1),
        vote: Some(NodeId::new(2)),
    };
    vote.save(&mut *stores.stable).expect("save");
    let entries = entries_after(ChainLink::ORIGIN, 1, 40);
    stores.log.append(&entries).expect("append");
    stores.log.sync().expect("sync");
    directory
}

/// The node lives elsewhere now: here it must not come back to life and say that its former one is over.
#[test]
fn stores_whose_node_was_moved_away_do_not_begin_anew() {
    let directory = used();
    let mut stores = open(directory.path()).expect("open");
    let to = "elsewhere".to_owned();
    let departed = Relocation::Departed { ticket: 7, to };
    departed.save(&mut *stores.stable).expect("save");
    drop(stores);
    fs::remove_file(directory.path().join("floor")).expect("remove");
    assert!(open(directory.path()).expect_err("damaged").is_damage());
    let refused = open_or_begin_anew(directory.path(), &RocksdbConfig::default());
    assert!(
        matches!(refused, Err(StoreError::Moved { .. })),
        "{refused:?}"
    );
    assert!(!directory.path().join("beginning-anew").exists());
    assert!(!directory.path().join("damaged-1").exists());
}

/// Nor if an older record is broken and the mark of the move stands behind it, in the same block of
/// the log of writes or in a later one.
#[test]
fn a_mark_behind_damage_is_read_all_the_same() {
    for entries in [40, 4_000] {
        a_mark_behind_damage_is_read(entries);
    }
}

fn a_mark_behind_damage_is_read(entries: usize) {
    let directory = TempDir::new().expect("a directory");
    // In one life of the database: the next one would begin another log of writes.
    let mut stores = open(directory.path()).expect("open");
    identity().save(&mut *stores.stable).expect("save");
    let entries = entries_after(ChainLink::ORIGIN, 1, entries);
    for part in entries.chunks(entries.len() / 2) {
        stores.log.append(part).expect("append");
        stores.log.sync().expect("sync");
    }
    let to = "elsewhere".to_owned();
    let departed = Relocation::Departed { ticket: 7, to };
    departed.save(&mut *stores.stable).expect("save");
    drop(stores);
    spoil_entry(directory.path());
    refuses(directory.path());
    let refused = open_or_begin_anew(directory.path(), &RocksdbConfig::default());
    assert!(
        matches!(refused, Err(StoreError::Moved { .. })),
        "{refused:?}"
    );
}

/// Whether a broken end was acknowledged is known only when it has been cut off.
#[test]
fn the_last_record_is_kept_too_if_it_was_damaged() {
    let directory = used();
    let path = directory.path();
    let file = log_of_writes(path);
    let length = fs::metadata(&file).expect("a file").len();
    flip(&file, usize::try_from(length).expect("small") - 1);
    let before = fs::read(&file).expect("read");
    refuses(path);
    let _ = begun(path);
    let name = file.file_name().expect("a name");
    let kept = fs::read(path.join("damaged-1/torn").join(name)).expect("it is kept");
    assert!(!kept.is_empty() && before.ends_with(&kept));
}

/// What stores remember that have just begun anew. Nothing of the former life is in them.
#[track_caller]
fn remembered(stores: &Stores) -> FormerLives {
    assert!(stores.log.bounds().expect("the bounds").is_empty());
    let vote = HardState::load(&*stores.stable).expect("readable");
    let identity = Identity::load(&*stores.stable).expect("readable");
    assert_eq!((vote, identity), (None, None));
    let former = FormerLives::load(&*stores.stable).expect("readable");
    former.expect("former lives are remembered")
}

fn begun(directory: &Path) -> FormerLives {
    let config = RocksdbConfig::default();
    remembered(&open_or_begin_anew(directory, &config).expect("begins anew"))
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("read");
    bytes[at] ^= 0xff;
    fs::write(file, bytes).expect("write");
}

/// The newest log of writes: all that a small database has.
fn log_of_writes(directory: &Path) -> PathBuf {
    let items = fs::read_dir(directory.join("raft.rocksdb")).expect("a directory");
    let paths = items.map(|item| item.expect("an item").path());
    let mut logs: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "log"))
        .collect();
    logs.sort();
    logs.pop().expect("a log of writes")
}

/// Flips a byte of an entry in the middle.
fn spoil_entry(directory: &Path) {
    let file = log_of_writes(directory);
    let bytes = fs::read(&file).expect("read");
    let mut windows = bytes.windows(ENTRY.len());
    let at = windows.position(|window| window == ENTRY);
    flip(&file, at.expect("the entry is there"));
}

/// The files of a database.
fn files(database: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(items) = fs::read_dir(database) else {
        return BTreeMap::new();
    };
    let paths = items.map(|item| item.expect("an item").path());
    let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).expect("read"));
    let strip = |(path, bytes): (String, Vec<u8>)| {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        (name, bytes)
    };
    paths.map(read).map(strip).collect()
}

fn refuses(directory: &Path) {
    assert!(open(directory).expect_err("it is damaged").is_damage());
}

#[test]
fn whatever_is_damaged_the_stores_begin_anew_and_nothing_is_deleted() {
    type Spoil = fn(&Path);
    let spoils: [(Spoil, bool); 5] = [
        (
            |path| fs::remove_file(path.join("floor")).expect("remove"),
            true,
        ),
        (
            |path| fs::write(path.join("floor"), "?").expect("write"),
            true,
        ),
        (spoil_entry, true),
        (
            |path| fs::remove_dir_all(path.join("raft.rocksdb")).expect("remove"),
            false,
        ),
        (
            |path| fs::write(path.join("raft.rocksdb/CURRENT"), "my notes\n").expect("write"),
            false,
        ),
    ];
    for (at, (spoil, is_readable)) in spoils.into_iter().enumerate() {
        let directory = used();
        let path = directory.path();
        spoil(path);
        refuses(path);
        let spoilt = files(&path.join("raft.rocksdb"));
        let config = RocksdbConfig::default();
        let former = remembered(&begin_anew(path, &config, "rot").expect("begins anew"));
        let known = former.identity;
        assert_eq!(
            known,
            Some(identity()).filter(|_| is_readable),
            "{at}: {former:?}"
        );
        assert_eq!(former.unknown, !is_readable, "{at}");
        assert!(former.reason == "rot" && !former.is_repaired);
        // To look into it has changed nothing.
        let kept = files(&path.join("damaged-1/raft.rocksdb"));
        assert!(kept == spoilt, "{at}: what was damaged was changed");
        // From here on they are stores like any other.
        assert_eq!(remembered(&open(path).expect("open")), former);
        assert!(!path.join("damaged-2").exists());
    }
}

#[test]
fn damage_before_the_new_life_is_counted_forgets_no_former_one() {
    let directory = used();
    let path = directory.path();
    let config = RocksdbConfig::default();
    let mut stores = begin_anew(path, &config, "rot").expect("begins anew");
    let second = Identity {
        incarnation: Incarnation::new(78),
        ..identity()
    };
    second.save(&mut *stores.stable).expect("save");
    drop(stores);
    let former = remembered(&begin_anew(path, &config, "rot").expect("begins anew"));
    assert_eq!(former.identity, Some(second));
    assert!(former.include(Incarnation::new(77)) && !former.include(Incarnation::new(79)));
    // The marker rots while a beginning is under way: then nothing is known.
    fs::write(path.join("beginning-anew"), "?").expect("write");
    refuses(path);
    assert!(begun(path).unknown);
    // A fourth time the disk is not trusted.
    let refused = begin_anew(path, &config, "rot").map(drop);
    assert!(matches!(
        refused,
        Err(StoreError::KeepsFailing { times: 3, .. })
    ));
    // The stores are as they were.
    assert!(remembered(&open(path).expect("open")).unknown);
}

#[test]
fn a_beginning_that_was_interrupted_is_gone_on_with_by_every_opening() {
    let directory = used();
    let path = directory.path();
    let in_the_way = path.join("raft.rocksdb.tmp");
    fs::write(&in_the_way, "my notes").expect("write");
    let config = RocksdbConfig::default();
    let failed = begin_anew(path, &config, "rot").map(drop);
    assert!(matches!(failed, Err(StoreError::Io { .. })));
    assert!(!path.join("raft.rocksdb").exists());
    // It is no new directory meanwhile.
    assert!(open(path).map(drop).is_err());
    fs::remove_file(&in_the_way).expect("remove");
    let former = remembered(&open(path).expect("open"));
    assert_eq!(former.identity, Some(identity()));
    assert!(!path.join("beginning-anew").exists());
}

/// A machine that keeps its commands as lines.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl StateMachine for Book {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut lines = self.0.lock().expect("no panic");
        for committed in batch {
            lines.push(String::from_utf8_lossy(&committed.command).into_owned());
        }
        Ok(vec![Bytes::new(); batch.len()])
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(
            self.0.lock().expect("no panic").join("\n"),
        ))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        *self.0.lock().expect("no panic") = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, what)
        .await
        .expect("it never happened")
}

async fn event(events: &mut EventStream, wanted: impl Fn(&NodeEvent) -> bool) {
    soon(async {
        loop {
            if wanted(&events.next().await.expect("the node has stopped")) {
                return;
            }
        }
    })
    .await;
}

async fn start(network: &Network, id: u64, directory: &Path) -> (Node, Book) {
    let book = Book::default();
    let stores = open_or_begin_anew(directory, &RocksdbConfig::default()).expect("open");
    let members = (1..=3_u64).map(|id| (id, format!("memory:{id}")));
    let mut config = Config::default();
    // A stall of the machine moves no leader.
    config.election_timeout = Duration::from_secs(2);
    config.disk_stall_timeout = Duration::from_secs(20);
    let node = Node::builder(id, stores, network.transport(id), book.clone())
        .config(config)
        .initial_membership(Membership::of_voters(members).expect("voters"))
        .runtime(Handle::current());
    (node.start().await.expect("it starts"), book)
}

async fn leader(nodes: &BTreeMap<u64, (Node, Book)>) -> u64 {
    let waits = nodes.iter().map(|(id, (node, _))| {
        let (id, mut standing) = (*id, node.watch());
        let wait: Pin<Box<dyn Future<Output = u64>>> = Box::pin(async move {
            let leads = standing.wait_for(|now| now.role == RoleName::Leader);
            leads.await.expect("it runs");
            id
        });
        wait
    });
    let mut waits: Vec<_> = waits.collect();
    soon(std::future::poll_fn(|context| {
        let polled = waits.iter_mut().map(|wait| wait.as_mut().poll(context));
        let ready = polled.filter(Poll::is_ready).last();
        ready.unwrap_or(Poll::Pending)
    }))
    .await
}

async fn write(nodes: &BTreeMap<u64, (Node, Book)>, lines: std::ops::Range<u32>) {
    let leader = leader(nodes).await;
    for line in lines {
        soon(nodes[&leader].0.propose(format!("line {line}")))
            .await
            .expect("written");
    }
}

#[tokio::test]
async fn a_group_writes_on_while_one_of_its_logs_rots_and_gets_the_voter_back() {
    let directories: Vec<TempDir> = (0..3).map(|_| TempDir::new().expect("one")).collect();
    let network = Network::new();
    let mut nodes = BTreeMap::new();
    for (id, directory) in (1..).zip(&directories) {
        nodes.insert(id, start(&network, id, directory.path()).await);
    }
    write(&nodes, 0..30).await;
    // All have met: from here on any of them may lose its disk.
    for (node, _) in nodes.values() {
        let mut events = node.events();
        let status = soon(node.status()).await.expect("it runs");
        if status.raft.membership.unrecorded().next().is_some() {
            event(&mut events, |event| match event {
                NodeEvent::MembershipChanged { membership, .. } => {
                    membership.unrecorded().next().is_none()
                }
                _ => false,
            })
            .await;
        }
    }
    let leads = leader(&nodes).await;
    let victim = if leads == 3 { 2 } else { 3 };
    let (node, _) = nodes.remove(&victim).expect("it runs");
    soon(node.shutdown()).await.expect("stopped");
    // A handle keeps the snapshots open.
    drop(node);
    let place = usize::try_from(victim - 1).expect("small");
    let file = log_of_writes(directories[place].path());
    let length = fs::metadata(&file).expect("a file").len();
    for at in (0..length).step_by(512) {
        flip(&file, usize::try_from(at).expect("small"));
    }
    write(&nodes, 30..60).await;
    refuses(directories[place].path());
    let (node, book) = start(&network, victim, directories[place].path()).await;
    let mut events = node.events();
    let status = soon(node.status()).await.expect("it runs");
    if status.raft.repairing.is_some() {
        event(&mut events, |event| matches!(event, NodeEvent::Repaired)).await;
    }
    let status = soon(node.status()).await.expect("it runs");
    assert!(status.raft.repairing.is_none() && status.raft.displaced_by.is_none());
    let own = status.identity.incarnation;
    assert!(status.raft.membership.admits(NodeId::new(victim), own));
    nodes.insert(victim, (node, book));
    // Its vote and its disk are as good as any: the group needs them now.
    let other = *nodes
        .keys()
        .find(|id| **id != leads && **id != victim)
        .expect("three");
    let (node, _) = nodes.remove(&other).expect("it runs");
    soon(node.shutdown()).await.expect("stopped");
    write(&nodes, 60..90).await;
    let (node, book) = &nodes[&victim];
    soon(node.read_barrier(raft_core::node::ReadMode::Linearizable))
        .await
        .expect("confirmed");
    let expected: Vec<String> = (0..90).map(|line| format!("line {line}")).collect();
    assert_eq!(*book.0.lock().expect("no panic"), expected);
    // RocksDB must be closed before the process ends.
    for (node, _) in nodes.values() {
        soon(node.shutdown()).await.expect("stopped");
    }
}
