//! Backups: taken from a running group, and the beginning of another one.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use raft_core::change::MembershipChange;
use raft_core::id::{ClusterId, LogId, LogIndex};
use raft_core::memory::MemoryStores;
use raft_core::node::{BackupMeta, NodeBuilder, Outcome, RestoreError, StartError};
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError, Stores};

use crate::support::{Book, Cluster, Member, members, soon};

/// What a group of three holds after `lines` lines.
async fn backup_of(lines: usize) -> (BackupMeta, Vec<u8>) {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..lines).await;
    let (meta, mut data) = soon(cluster.node(leader).backup()).await.unwrap();
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, meta.snapshot.size);
    (meta, bytes)
}

/// A group of three that begins with a backup.
async fn begun_with(meta: &BackupMeta, bytes: &[u8]) -> Cluster {
    let mut cluster = Cluster::start(0).await;
    for id in 1..=3 {
        cluster.disks.insert(id, MemoryStores::new());
    }
    for id in 1..=3 {
        let book = Book::new();
        let builder = with_state(cluster.builder(id, book.clone()), meta, bytes);
        let node = builder.start().await.unwrap();
        cluster.members.insert(id, Member { node, book });
    }
    cluster
}

fn with_state(builder: NodeBuilder, meta: &BackupMeta, bytes: &[u8]) -> NodeBuilder {
    builder.initial_state(meta.clone(), Cursor::new(bytes.to_vec()))
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("line {line}")).collect()
}

/// Wherever the former group was.
#[tokio::test(start_paused = true)]
async fn a_group_begins_with_a_backup_and_goes_on_from_it() {
    for count in [1, 2, 100, 1_000] {
        let (meta, bytes) = backup_of(count).await;
        let mut cluster = begun_with(&meta, &bytes).await;
        let leader = cluster.leader().await;
        cluster.write(leader, count..count + 3).await;
        for id in 1..=3 {
            cluster.book(id).has(count + 3).await;
            assert_eq!(cluster.book(id).lines(), lines(count + 3));
        }
        // It counts once: a restart goes on with what the stores hold.
        cluster.stop_node(2).await;
        let book = Book::new();
        let builder = with_state(cluster.builder(2, book.clone()), &meta, &bytes);
        let node = builder.start().await.unwrap();
        cluster.members.insert(2, Member { node, book });
        cluster.book(2).has(count + 3).await;
        assert_eq!(cluster.book(2).lines(), lines(count + 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_joins_later_gets_the_initial_state_as_a_snapshot() {
    let (meta, bytes) = backup_of(5).await;
    let mut cluster = begun_with(&meta, &bytes).await;
    let leader = cluster.leader().await;
    cluster.disks.insert(4, MemoryStores::new());
    let book = Book::new();
    let joins = cluster.builder_that_joins(4, book.clone());
    let node = joins.start().await.unwrap();
    cluster.members.insert(4, Member { node, book });
    let change = MembershipChange::new().add_voter(4, "memory:4");
    soon(cluster.node(leader).change_membership(change))
        .await
        .unwrap();
    cluster.book(4).has(5).await;
    assert_eq!(cluster.book(4).lines(), lines(5));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_not_what_it_should_be_is_refused_and_leaves_the_stores_empty() {
    let (meta, bytes) = backup_of(5).await;
    let mut cluster = Cluster::start(0).await;
    cluster.disks.insert(1, MemoryStores::new());
    let mut flipped = bytes.clone();
    flipped[3] ^= 1;
    for wrong in [&flipped[..], &bytes[1..], &[]] {
        let builder = with_state(cluster.builder(1, Book::new()), &meta, wrong);
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, StartError::InitialState(_)), "{error}");
    }
    let book = Book::new();
    let builder = with_state(cluster.builder(1, book.clone()), &meta, &bytes);
    let node = builder.initial_membership(members(1)).start().await;
    let node = node.unwrap();
    let mut standing = node.watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    assert_eq!(book.lines(), lines(5));
}

/// Another backup would not help.
#[tokio::test(start_paused = true)]
async fn a_full_disk_is_not_blamed_on_the_state_that_it_does_not_take() {
    let (meta, bytes) = backup_of(5).await;
    let mut cluster = Cluster::start(0).await;
    let disk = MemoryStores::new();
    cluster.disks.insert(1, disk.clone());
    let stores = disk.open();
    let snapshots = Arc::new(Full(stores.snapshots));
    let stores = Stores {
        snapshots,
        ..stores
    };
    let builder = cluster.builder_on(1, stores, Book::new());
    let error = with_state(builder, &meta, &bytes).start().await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, StartError::Store(StoreError::Io { .. })),
        "{error}"
    );
    assert!(!disk.open().has_state().unwrap());
}

/// Begins snapshots, and takes not a byte of them.
struct Full(Arc<dyn SnapshotStore>);

struct FullSink;

impl SnapshotStore for Full {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        self.0.list()
    }

    fn create(&self, _: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        Ok(Box::new(FullSink))
    }

    fn open(&self, last: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        self.0.open(last)
    }

    fn retain(&self, keep: usize, through: LogIndex) -> Result<(), StoreError> {
        self.0.retain(keep, through)
    }
}

impl Write for FullSink {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for FullSink {
    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        unreachable!("no byte was taken")
    }

    fn discard(self: Box<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn founding_members_with_different_states_do_not_go_on_together() {
    let (meta, bytes) = backup_of(5).await;
    let (other_meta, other_bytes) = backup_of(6).await;
    let mut cluster = Cluster::start(0).await;
    for id in 1..=2 {
        cluster.disks.insert(id, MemoryStores::new());
    }
    for (id, meta, bytes) in [(1, &meta, &bytes), (2, &other_meta, &other_bytes)] {
        let book = Book::new();
        let builder = with_state(cluster.builder(id, book.clone()), meta, bytes);
        let node = builder.start().await.unwrap();
        cluster.members.insert(id, Member { node, book });
    }
    let (one, two) = (cluster.node(1).stopped(), cluster.node(2).stopped());
    let reason = soon(async {
        tokio::select! { reason = one => reason, reason = two => reason }
    })
    .await;
    assert!(reason.to_string().contains("protect its data"), "{reason}");
}

/// As if production and a test cluster had been mixed up.
#[tokio::test(start_paused = true)]
async fn another_cluster_begins_with_a_backup_only_if_that_is_meant() {
    let (meta, bytes) = backup_of(5).await;
    let (production, test) = (meta.cluster.unwrap(), ClusterId::from_name("test"));
    let mut cluster = Cluster::start(0).await;
    cluster.disks.insert(1, MemoryStores::new());
    let start = |meta: &BackupMeta, book: &Book| {
        let builder = cluster.builder(1, book.clone()).cluster(test);
        let builder = builder.initial_membership(members(1));
        with_state(builder, meta, &bytes).start()
    };
    let error = start(&meta, &Book::new()).await.unwrap_err();
    assert!(matches!(error, StartError::ForeignState(_)), "{error}");
    assert!(!error.is_damage());
    let said = error.to_string();
    for part in [
        &production.to_string(),
        &test.to_string(),
        "for_any_cluster",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // Nothing is in the stores.
    let book = Book::new();
    let node = start(&meta.for_any_cluster(), &book).await.unwrap();
    let mut standing = node.watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    assert_eq!(book.lines(), lines(5));
    let (taken, _) = soon(node.backup()).await.unwrap();
    assert_eq!(taken.cluster, Some(test), "from now on it is its own");
}

#[tokio::test(start_paused = true)]
async fn a_running_group_takes_a_backup_of_another_cluster_only_if_that_is_meant() {
    let (mut meta, bytes) = backup_of(5).await;
    let here = meta.cluster.replace(ClusterId::from_name("elsewhere"));
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..7).await;
    let data = || Cursor::new(bytes.clone());
    let error = soon(cluster.node(leader).restore(meta.clone(), data())).await;
    let error = error.unwrap_err();
    let RestoreError::Foreign(foreign) = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (Some(foreign.backup), Some(foreign.here)),
        (meta.cluster, here)
    );
    assert_eq!(error.outcome(), Outcome::NeverApplied);
    assert_eq!(cluster.book(leader).lines(), lines(7));
    soon(cluster.node(leader).restore(meta.for_any_cluster(), data()))
        .await
        .unwrap();
    for id in 1..=3 {
        cluster.book(id).holds(&lines(5)).await;
    }
}

/// It is kept outside, by whatever its user likes, and may outlive this build.
#[tokio::test(start_paused = true)]
async fn the_description_of_a_backup_keeps_its_fields_in_a_file() {
    let (meta, _) = backup_of(5).await;
    let mut kept = serde_json::to_value(&meta).unwrap();
    let read: BackupMeta = serde_json::from_str(&kept.to_string()).unwrap();
    assert_eq!(read, meta);
    let fields: Vec<String> = kept.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["cluster", "snapshot"]);
    let cluster = meta.cluster.unwrap().to_string();
    assert_eq!(kept["cluster"].as_str(), Some(&*cluster));
    let mut for_any = kept.clone();
    for_any["cluster"].take();
    let read: BackupMeta = serde_json::from_value(for_any).unwrap();
    assert_eq!(read, meta.for_any_cluster());
    // One that never named a cluster is not taken for one that any cluster may have.
    let alone = kept["snapshot"].take();
    assert!(serde_json::from_value::<BackupMeta>(alone).is_err());
}
