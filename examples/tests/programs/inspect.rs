//! `kv inspect` and `kv migrate` through the real binary.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{PATIENCE, image, kv, refused, running, texts};
use raft_examples::config::StoreKind;
use raft_examples::local::LocalCluster;
use raft_examples::protocol::NodeReport;
use serde_json::Value;

/// A cluster of three nodes that has taken snapshots, and its first node's directory.
async fn used(directory: &Path, store: StoreKind) -> (LocalCluster, PathBuf) {
    let mut cluster = running(directory, 3, |config| {
        config.store = store;
        config.limits.snapshot_entries = Some(40);
        config.limits.trailing_entries = Some(10);
    })
    .await;
    let client = cluster.client();
    for number in 0..150 {
        if number == 100 {
            let has_purged = |node: &NodeReport| node.purged > 0;
            let within = cluster.wait_for(1, &client, PATIENCE, has_purged);
            within.await.unwrap();
        }
        let key = format!("key {number}");
        client.put(&key, b"some value", PATIENCE).await.unwrap();
    }
    let data = cluster.data_directory(1);
    (cluster, data)
}

/// Waits until node 1 has applied everything.
async fn caught_up(cluster: &mut LocalCluster) {
    let client = cluster.client();
    let leader = client.leader(PATIENCE).await.unwrap();
    let leading = client.status_of(&leader, PATIENCE).await.unwrap();
    let has_all = |node: &NodeReport| node.applied >= leading.committed;
    let within = cluster.wait_for(1, &client, PATIENCE, has_all);
    within.await.unwrap();
}

fn inspect(directory: &Path, options: &[&str]) -> std::process::Output {
    kv(&[&["inspect", directory.to_str().unwrap()], options].concat())
}

fn json(directory: &Path) -> Value {
    let output = inspect(directory, &["--verify", "--json"]);
    let (json, said) = texts(&output);
    assert!(output.status.success(), "{said}");
    serde_json::from_str(&json).unwrap()
}

async fn a_killed_node_is_shown(store: StoreKind) {
    let place = tempfile::tempdir().unwrap();
    let (mut cluster, data) = used(place.path(), store).await;
    caught_up(&mut cluster).await;
    let in_use = inspect(&data, &[]);
    assert_eq!(in_use.status.code(), Some(1));
    assert!(texts(&in_use).1.contains("in use"), "{:?}", texts(&in_use));

    // Killed in the middle of something: an opening would have to mend it.
    cluster.kill(1);
    let before = image(&data);
    let report = json(&data);
    assert_eq!(report["store"], store.as_str());
    assert_eq!(report["whose"]["node"], 1);
    let last = report["last"]["index"].as_u64().unwrap();
    assert!(last > 150, "{report}");
    let purged = report["purged"]["index"].as_u64().unwrap();
    assert_eq!(report["counts"]["entries"], last - purged, "{report}");
    assert_eq!(report["membership"]["members"].as_array().unwrap().len(), 3);
    let snapshot = report["snapshots"][0]["last"]["index"].as_u64().unwrap();
    assert!(snapshot >= purged && purged > 0, "{report}");
    assert_eq!(report["damage"].as_array().unwrap().len(), 0);
    let (table, _) = texts(&inspect(&data, &["--verify"]));
    for words in ["last entry", "snapshot through", "every checksum holds"] {
        assert!(table.contains(words), "{words:?} is not in\n{table}");
    }
    let (entries, _) = texts(&inspect(&data, &["--entries", &last.to_string()]));
    assert!(entries.contains("put \"key 149\", 10 bytes"), "{entries}");
    let none = inspect(&data, &["--entries", "1..2"]);
    assert!(
        texts(&none).1.contains("no such entries"),
        "{:?}",
        texts(&none)
    );
    assert!(before == image(&data), "inspecting changed something");

    cluster.start(1).unwrap();
    caught_up(&mut cluster).await;
    cluster.stop_all().await.unwrap();
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_killed_node_on_redb_is_shown_and_nothing_changes() {
    a_killed_node_is_shown(StoreKind::Redb).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn a_killed_node_on_rocksdb_is_shown_and_nothing_changes() {
    a_killed_node_is_shown(StoreKind::Rocksdb).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_damaged_snapshot_is_named_and_the_rest_is_shown() {
    let place = tempfile::tempdir().unwrap();
    let (mut cluster, data) = used(place.path(), StoreKind::Redb).await;
    caught_up(&mut cluster).await;
    cluster.stop_all().await.unwrap();
    let snapshots = fs::read_dir(data.join("snapshots")).unwrap();
    let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "snap");
    let mut paths = snapshots
        .map(|item| item.unwrap().path())
        .filter(is_snapshot);
    let path = paths.next().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = inspect(&data, &["--verify"]);
    let (table, said) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(table.contains("DAMAGED") && table.contains(name), "{table}");
    assert!(table.contains("last entry"), "{table}");
    assert!(said.contains("damaged places: 1"), "{said}");
}

#[test]
fn a_directory_without_a_store_is_refused_and_left_empty() {
    let place = tempfile::tempdir().unwrap();
    let output = inspect(place.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("holds no store"));
    assert!(image(place.path()).is_empty());
}

/// Node 1 goes on with its data in another store, and never again on the old one.
async fn a_node_moves(from: StoreKind, to: StoreKind) {
    let place = tempfile::tempdir().unwrap();
    let (mut cluster, data) = used(place.path(), from).await;
    caught_up(&mut cluster).await;
    let new = place.path().join("moved");
    let (old, fresh) = (data.to_str().unwrap(), new.to_str().unwrap());
    let command = [
        "migrate",
        "--from",
        old,
        "--to",
        fresh,
        "--to-store",
        to.as_str(),
    ];
    let running = kv(&command);
    assert!(
        texts(&running).1.contains("in use"),
        "{:?}",
        texts(&running)
    );
    cluster.kill(1);
    let before = json(&data);
    let done = kv(&command);
    let (told, said) = texts(&done);
    assert!(done.status.success(), "{said}");
    assert!(told.contains("done: node 1"), "{told}");
    let again = texts(&kv(&[&command[..], &["--json"]].concat())).0;
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["was_complete"], true);

    let (code, said) = refused(&cluster.config_path(1)).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("was moved to") && said.contains(fresh),
        "{said}"
    );
    let (retired, after) = (json(&data), json(&new));
    assert!(retired["moved"].as_str().unwrap().contains(fresh));
    assert_eq!(after["store"], to.as_str());
    for part in MOVED {
        assert_eq!(before[part], after[part], "{part}");
    }

    reconfigure(&cluster, (old, from), (fresh, to));
    let client = cluster.client();
    client.put("city", b"Utrecht", PATIENCE).await.unwrap();
    cluster.start(1).unwrap();
    caught_up(&mut cluster).await;
    let read = client.get_from(&cluster.address(1), "city", PATIENCE).await;
    assert_eq!(read.unwrap().as_deref(), Some(&b"Utrecht"[..]));
    assert_eq!(
        json_of_status(&cluster),
        1,
        "the same node, known to the group"
    );
    cluster.stop_all().await.unwrap();
}

/// What a move keeps.
const MOVED: [&str; 7] = [
    "whose",
    "last",
    "purged",
    "counts",
    "snapshots",
    "term",
    "vote",
];

/// Gives node 1 another directory, and another store.
fn reconfigure(cluster: &LocalCluster, old: (&str, StoreKind), new: (&str, StoreKind)) {
    let path = cluster.config_path(1);
    let mut config = fs::read_to_string(&path).unwrap();
    let directory = |of: &str| format!("directory = {of:?}");
    let store = |of: StoreKind| format!("store = \"{of}\"");
    for (from, to) in [
        (directory(old.0), directory(new.0)),
        (store(old.1), store(new.1)),
    ] {
        assert!(config.contains(&from), "{from} is not in {config}");
        config = config.replace(&from, &to);
    }
    fs::write(&path, config).unwrap();
}

/// Node 1 as it names itself.
fn json_of_status(cluster: &LocalCluster) -> u64 {
    let (status, _) = texts(&kv(&["status", "--json", "--servers", &cluster.address(1)]));
    let status: Value = serde_json::from_str(&status).unwrap();
    status[0]["node"]["id"].as_u64().unwrap()
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_node_moves_to_a_new_database_and_goes_on() {
    a_node_moves(StoreKind::Redb, StoreKind::Redb).await;
}

#[cfg(all(feature = "redb", feature = "rocksdb"))]
#[tokio::test]
async fn a_node_moves_from_redb_to_rocksdb() {
    a_node_moves(StoreKind::Redb, StoreKind::Rocksdb).await;
}

#[cfg(all(feature = "redb", feature = "rocksdb"))]
#[tokio::test]
async fn a_node_moves_from_rocksdb_to_redb() {
    a_node_moves(StoreKind::Rocksdb, StoreKind::Redb).await;
}

#[cfg(feature = "redb")]
#[test]
fn a_move_into_memory_or_into_the_same_place_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    for (to, store, words) in [
        ("/elsewhere", "memory", "gone with its process"),
        (path, "redb", "the same directory"),
        ("/elsewhere", "redb", "holds no store"),
    ] {
        let refused = kv(&["migrate", "--from", path, "--to", to, "--to-store", store]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(texts(&refused).1.contains(words), "{:?}", texts(&refused));
    }
    assert!(image(place.path()).is_empty());
}
