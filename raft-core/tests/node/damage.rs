//! Snapshot files that rot, under nodes that run and nodes that start.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::config::Config;
use raft_core::node::{Node, NodeEvent, StartError};
use raft_core::store::{FileSnapshotStore, Stores};
use tempfile::TempDir;

use crate::support::{Book, Cluster, Member, event, soon};

fn often() -> Config {
    let mut config = Config::default();
    config.snapshot_entries = 1_000;
    config.trailing_entries = 2;
    config
}

/// The stores of a node: log and records in memory, snapshots as files in `directory`.
fn stores(cluster: &Cluster, id: u64, directory: &Path) -> Stores {
    let snapshots = FileSnapshotStore::open(directory).unwrap();
    Stores {
        snapshots: Arc::new(snapshots),
        ..cluster.disks[&id].open()
    }
}

async fn start_on(cluster: &Cluster, id: u64, directory: &Path) -> Result<Member, StartError> {
    let book = Book::new();
    let stores = stores(cluster, id, directory);
    let node = cluster.builder_on(id, stores, book.clone()).start().await?;
    Ok(Member { node, book })
}

/// The snapshot files, the newest first.
fn files(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = listed.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "snap"));
    files.sort();
    files.reverse();
    files
}

/// Flips a bit of the data, which stand before the 16 bytes of the trailer.
fn spoil_data(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() - 17;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn spoil_description(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[20] ^= 1;
    fs::write(file, bytes).unwrap();
}

async fn snapshot(node: &Node) {
    soon(node.snapshot()).await.unwrap();
    // The log is purged after the answer, on the event loop.
    node.status().await.unwrap();
}

/// One voter with two snapshots, the log purged behind the older one, then stopped.
async fn with_two_snapshots(directory: &Path) -> Cluster {
    let mut config = often();
    config.trailing_entries = 8;
    let mut cluster = Cluster::start_with(1, config, Book::new).await;
    cluster.stop_node(1).await;
    let member = start_on(&cluster, 1, directory).await.unwrap();
    cluster.members.insert(1, member);
    cluster.leader().await;
    cluster.write(1, 0..20).await;
    snapshot(cluster.node(1)).await;
    cluster.write(1, 20..25).await;
    snapshot(cluster.node(1)).await;
    cluster.write(1, 25..27).await;
    let status = cluster.node(1).status().await.unwrap();
    assert!(status.raft.purged.get() > 5, "the log was never purged");
    cluster.stop_node(1).await;
    assert_eq!(files(directory).len(), 2);
    cluster
}

#[tokio::test(start_paused = true)]
async fn damaged_data_of_the_newest_snapshot_give_way_to_an_older_one_that_the_log_continues() {
    for spoil in [spoil_data, spoil_description] {
        let directory = TempDir::new().unwrap();
        let cluster = with_two_snapshots(directory.path()).await;
        spoil(&files(directory.path())[0]);
        let member = start_on(&cluster, 1, directory.path()).await.unwrap();
        member.book.has(27).await;
        let lines: Vec<String> = (0..27).map(|line| format!("line {line}")).collect();
        assert_eq!(member.book.lines(), lines);
        soon(member.node.shutdown()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_intact_snapshot_a_purged_log_does_not_start_and_the_file_is_named() {
    for spoil in [spoil_data, spoil_description] {
        let directory = TempDir::new().unwrap();
        let cluster = with_two_snapshots(directory.path()).await;
        let files = files(directory.path());
        for file in &files {
            spoil(file);
        }
        let error = start_on(&cluster, 1, directory.path()).await.err().unwrap();
        assert!(error.is_damage(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&files[0].display().to_string())
                || text.contains(&files[1].display().to_string()),
            "{text}"
        );
        assert!(
            text.contains("as a new member with an empty directory"),
            "{text}"
        );
    }
}

/// All that is left of this node is a snapshot that cannot be read: it had data once.
#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_alone_is_no_empty_store() {
    let directory = TempDir::new().unwrap();
    let mut cluster = with_two_snapshots(directory.path()).await;
    for file in files(directory.path()) {
        spoil_description(&file);
    }
    cluster
        .disks
        .insert(1, raft_core::memory::MemoryStores::new());
    let error = start_on(&cluster, 1, directory.path()).await.err().unwrap();
    assert!(matches!(error, StartError::NoIdentity { .. }), "{error}");
    assert!(error.is_damage());
}

/// Node 3 comes to a group whose leader has a snapshot that rotted.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_snapshot_rots_says_so_and_hands_over() {
    let directories = [(); 2].map(|()| TempDir::new().unwrap());
    let mut cluster = Cluster::start_with(3, often(), Book::new).await;
    for id in 1..=3 {
        cluster.stop_node(id).await;
    }
    for (id, directory) in (1..).zip(&directories) {
        let member = start_on(&cluster, id, directory.path()).await.unwrap();
        cluster.members.insert(id, member);
    }
    let leader = cluster.leader().await;
    let heir = cluster.other_than(leader);
    cluster.write(leader, 0..20).await;
    cluster.book(heir).has(20).await;
    for id in [1, 2] {
        snapshot(cluster.node(id)).await;
    }
    let place = usize::try_from(leader).unwrap() - 1;
    spoil_data(&files(directories[place].path())[0]);
    let mut events = cluster.node(leader).events();
    cluster.start_node(3).await;
    let (to, detail) = event(&mut events, |event| match event {
        NodeEvent::SnapshotUnreadable { to, detail } => Some((*to, detail.clone())),
        _ => None,
    })
    .await;
    assert_eq!(to.get(), 3);
    assert!(detail.contains("damaged at"), "{detail}");
    assert_eq!(cluster.leader_other_than(leader).await, heir);
    cluster.book(3).has(20).await;
    // The damaged one was replaced, and is sent like any other.
    let taken = event(&mut events, |event| match event {
        NodeEvent::SnapshotTaken(meta) => Some(meta.id()),
        _ => None,
    });
    taken.await;
}
