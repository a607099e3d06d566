//! Bad input through the real binary: one clear error each, which says what to do, and nothing is
//! lost.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{PATIENCE, kv, refused, running, texts};
use raft_examples::config::ServerConfig;
use raft_examples::local::LocalCluster;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A cluster of one node that has stored `city`, and is stopped.
async fn with_data(directory: &Path) -> LocalCluster {
    let mut cluster = running(directory, 1, |_| {}).await;
    let client = cluster.client();
    client
        .put("city", VALUE.as_bytes(), PATIENCE)
        .await
        .unwrap();
    cluster.stop_all().await.unwrap();
    cluster
}

/// The node comes up again and still has `city`.
async fn assert_intact(mut cluster: LocalCluster) {
    cluster.start(1).unwrap();
    let client = cluster.client();
    cluster
        .wait_for(1, &client, PATIENCE, |_| true)
        .await
        .unwrap();
    let city = client.get("city", PATIENCE).await.unwrap();
    assert_eq!(city.as_deref(), Some(VALUE.as_bytes()));
    cluster.stop_all().await.unwrap();
}

/// A copy of node 1's configuration with one text replaced.
fn changed_config(cluster: &LocalCluster, from: &str, to: &str) -> PathBuf {
    let path = cluster.config_path(1);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    let changed = path.with_file_name("changed.toml");
    fs::write(&changed, text.replace(from, to)).unwrap();
    changed
}

#[tokio::test]
async fn a_configuration_with_an_unknown_key_is_refused_by_line_and_with_the_nearest_key() {
    let directory = tempfile::tempdir().unwrap();
    let kv = Path::new(crate::common::KV);
    let cluster = LocalCluster::create(kv, directory.path(), "test", 1, |_| {}).unwrap();
    let (code, said) = refused(&changed_config(&cluster, "listen =", "lissen =")).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("changed.toml: line 3: unknown field `lissen`"),
        "{said}"
    );
    assert!(said.contains("did you mean `listen`?"), "{said}");
    assert!(
        !cluster.data_directory(1).exists(),
        "a refused configuration makes no data"
    );
}

#[tokio::test]
async fn a_bad_address_is_refused_by_line_and_with_an_example() {
    let directory = tempfile::tempdir().unwrap();
    let kv = Path::new(crate::common::KV);
    let cluster = LocalCluster::create(kv, directory.path(), "test", 1, |_| {}).unwrap();
    let (code, said) = refused(&changed_config(
        &cluster,
        "listen = \"127.0.0.1:",
        "listen = \"127.0.0.1;",
    ))
    .await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("line 3") && said.contains("write HOST:PORT"),
        "{said}"
    );
}

#[tokio::test]
async fn an_address_that_is_not_of_this_machine_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let kv = Path::new(crate::common::KV);
    let cluster = LocalCluster::create(kv, directory.path(), "test", 1, |_| {}).unwrap();
    let (code, said) = refused(&changed_config(
        &cluster,
        "clients = \"127.0.0.1:",
        "clients = \"192.0.2.1:",
    ))
    .await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("cannot listen for clients on 192.0.2.1:"),
        "{said}"
    );
}

#[tokio::test]
async fn the_data_of_another_node_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = with_data(directory.path()).await;
    let changed = changed_config(&cluster, "id = 1", "id = 2");
    let text = fs::read_to_string(&changed).unwrap();
    fs::write(&changed, text.replace("[peers.1]", "[peers.2]")).unwrap();
    let (code, said) = refused(&changed).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("belong to node 1") && said.contains("not to node 2"),
        "{said}"
    );
    assert_intact(cluster).await;
}

#[tokio::test]
async fn the_data_of_another_cluster_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = with_data(directory.path()).await;
    let (code, said) = refused(&changed_config(&cluster, "\"test\"", "\"other\"")).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("belong to") && said.contains("give this node its own"),
        "{said}"
    );
    assert_intact(cluster).await;
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 1, |_| {}).await;
    let client = cluster.client();
    client
        .put("city", VALUE.as_bytes(), PATIENCE)
        .await
        .unwrap();
    // The same data, and addresses of its own.
    let other = tempfile::tempdir().unwrap();
    let data = cluster.data_directory(1);
    let adjust = |config: &mut ServerConfig| config.directory = data.clone();
    let kv = Path::new(crate::common::KV);
    let second = LocalCluster::create(kv, other.path(), "test", 1, adjust).unwrap();
    let (code, said) = refused(&second.config_path(1)).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("in use") && said.contains("another directory"),
        "{said}"
    );
    client.put("more", b"1", PATIENCE).await.unwrap();
    cluster.stop_all().await.unwrap();
    assert_intact(cluster).await;
}

#[tokio::test]
async fn a_damaged_log_is_named_and_kept_and_an_intact_copy_brings_the_node_back() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = with_data(directory.path()).await;
    let file = file_that_contains(&cluster.data_directory(1), VALUE.as_bytes());
    let intact = fs::read(&file).unwrap();
    let mut damaged = intact.clone();
    for at in places_of(&intact, VALUE.as_bytes()) {
        damaged[at + 3] ^= 0x10;
    }
    fs::write(&file, &damaged).unwrap();
    let (code, said) = refused(&cluster.config_path(1)).await;
    assert_eq!(code, Some(1));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(said.contains("damaged") && said.contains(name), "{said}");
    assert!(said.contains("intact copy"), "{said}");
    fs::write(&file, &intact).unwrap();
    assert_intact(cluster).await;
}

/// The same with two others that have the data: nobody is asked.
#[tokio::test]
async fn a_damaged_node_of_three_repairs_itself_and_is_a_voter_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, |_| {}).await;
    let client = cluster.client();
    let leader = client.leader(PATIENCE).await.unwrap();
    let leader = cluster.id_at(&leader).unwrap();
    client
        .put("city", VALUE.as_bytes(), PATIENCE)
        .await
        .unwrap();
    let victim = if leader == 3 { 2 } else { 3 };
    cluster
        .wait_for(victim, &client, PATIENCE, |report| report.keys == 1)
        .await
        .unwrap();
    cluster.kill(victim);
    let file = file_that_contains(&cluster.data_directory(victim), VALUE.as_bytes());
    let mut damaged = fs::read(&file).unwrap();
    for at in places_of(&damaged.clone(), VALUE.as_bytes()) {
        damaged[at + 3] ^= 0x10;
    }
    fs::write(&file, &damaged).unwrap();
    client.put("river", b"Vecht", PATIENCE).await.unwrap();
    cluster.start(victim).unwrap();
    cluster
        .wait_for(victim, &client, PATIENCE, |report| {
            report.repairing.is_none() && report.keys == 2
        })
        .await
        .unwrap();
    let kept = cluster.data_directory(victim).join("damaged-1");
    let name = file.file_name().unwrap();
    assert!(kept.join(name).exists(), "what is damaged is kept");
    // The others are no majority without it.
    let other = (1..=3).find(|id| *id != victim && *id != leader).unwrap();
    cluster.kill(other);
    client.put("tower", b"Dom", PATIENCE).await.unwrap();
    cluster.stop_all().await.unwrap();
}

#[tokio::test]
async fn an_entry_over_the_size_limit_is_refused_and_the_store_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let limit = "1KiB".parse().unwrap();
    let mut cluster = running(directory.path(), 1, |config| {
        config.limits.entry_bytes_max = Some(limit);
    })
    .await;
    let config = cluster.config_path(1);
    let config = config.to_str().unwrap();
    assert!(
        kv(&["put", "city", VALUE, "--config", config])
            .status
            .success()
    );
    // One that the server reads and the node refuses, and one that is not even read.
    for bytes in [1_024, 2_000_000 / 20] {
        let big = "x".repeat(bytes);
        let output = kv(&["put", "city", &big, "--config", config]);
        let (_, said) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("the limit is 1024") && said.contains("entry_bytes_max"),
            "{said}"
        );
    }
    cluster.stop_all().await.unwrap();
    assert_intact(cluster).await;
}

#[tokio::test]
async fn a_client_that_speaks_something_else_is_sent_away_and_the_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 1, |_| {}).await;
    let mut stranger = TcpStream::connect(cluster.address(1)).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // The connection ends, in one way or another, without an answer.
    let ended = timeout(PATIENCE, stranger.read_to_end(&mut answer)).await;
    assert!(ended.is_ok() && answer.is_empty(), "{answer:?}");
    let client = cluster.client();
    client
        .put("city", VALUE.as_bytes(), PATIENCE)
        .await
        .unwrap();
    cluster.stop_all().await.unwrap();
}

const VALUE: &str = "Utrecht aan de Vecht";

fn file_that_contains(directory: &Path, part: &[u8]) -> PathBuf {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut holding = files.filter(|path| {
        path.is_file() && places_of(&fs::read(path).unwrap(), part).next().is_some()
    });
    holding.next().expect("some file holds the value")
}

fn places_of<'a>(bytes: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.windows(part.len()).enumerate();
    windows.filter_map(move |(at, window)| (window == part).then_some(at))
}
