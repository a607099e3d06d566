//! The commands of `kv` through the real binary: what they print, and how they end.

use crate::common::{PATIENCE, kv, running, texts, unhurried};
use raft_examples::config::StoreKind;
use raft_examples::local::free_ports;

#[tokio::test]
async fn what_is_put_is_read_at_every_node_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, |_| {}).await;
    let config = cluster.config_path(2);
    let config = config.to_str().unwrap();
    let put = kv(&["put", "city", "Utrecht", "--config", config]);
    assert!(put.status.success(), "{:?}", texts(&put));
    for id in 1..=3 {
        let one = cluster.address(id);
        let get = kv(&["get", "city", "--servers", &one]);
        assert_eq!(texts(&get).0, "Utrecht\n", "node {id}");
        // Whoever is asked, the change reaches the leader.
        let put = kv(&["put", "city", "Utrecht", "--servers", &one]);
        assert!(put.status.success(), "{:?}", texts(&put));
    }
    assert!(
        texts(&kv(&["del", "city", "--config", config]))
            .0
            .starts_with("removed")
    );
    let get = kv(&["get", "city", "--config", config]);
    assert_eq!(get.status.code(), Some(1));
    assert!(texts(&get).1.contains("there is no key \"city\""));
    cluster.stop_all().await.unwrap();
}

#[tokio::test]
async fn nodes_in_memory_form_a_cluster_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, |config| {
        config.store = StoreKind::Memory;
    })
    .await;
    let client = cluster.client();
    client.put("city", b"Utrecht", PATIENCE).await.unwrap();
    for id in 1..=3 {
        let read = client
            .get_from(&cluster.address(id), "city", PATIENCE)
            .await;
        assert_eq!(read.unwrap().as_deref(), Some(b"Utrecht".as_slice()));
        assert!(!cluster.data_directory(id).exists(), "nothing is written");
    }
    cluster.stop_all().await.unwrap();
}

#[tokio::test]
async fn the_status_is_a_table_for_people_and_json_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, unhurried).await;
    let config = cluster.config_path(1);
    let config = config.to_str().unwrap();
    let (table, _) = texts(&kv(&["status", "--digest", "--config", config]));
    assert_eq!(
        table.matches("leader").count(),
        2,
        "a heading and a role: {table}"
    );
    assert_eq!(table.matches("follower").count(), 2, "{table}");
    cluster.kill(3);
    let (json, _) = texts(&kv(&["status", "--json", "--config", config]));
    let nodes: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(nodes[0]["node"]["id"], 1);
    assert!(
        nodes[2]["error"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{json}"
    );
    cluster.stop_all().await.unwrap();
}

#[tokio::test]
async fn a_change_without_a_majority_ends_as_unknown_or_as_not_done_and_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, |_| {}).await;
    let leader = cluster.client().leader(PATIENCE).await.unwrap();
    let leader = cluster.id_at(&leader).unwrap();
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.kill(id);
    }
    let config = cluster.config_path(1);
    let config = config.to_str().unwrap();
    let put = kv(&[
        "put", "city", "Utrecht", "--within", "2s", "--config", config,
    ]);
    let (_, said) = texts(&put);
    match put.status.code() {
        Some(3) => assert!(said.contains("the outcome is unknown"), "{said}"),
        Some(1) => assert!(said.contains("nothing was done"), "{said}"),
        other => panic!("exit code {other:?}: {said}"),
    }
    let get = kv(&["get", "city", "--within", "1s", "--config", config]);
    assert_eq!(
        get.status.code(),
        Some(1),
        "a read without a majority is refused"
    );
    cluster.kill(leader);
}

#[test]
fn servers_that_are_not_there_are_reported_with_their_address() {
    let port = free_ports(1).unwrap()[0];
    let nobody = format!("127.0.0.1:{port}");
    let get = kv(&["get", "city", "--within", "300ms", "--servers", &nobody]);
    assert_eq!(get.status.code(), Some(1));
    let (_, said) = texts(&get);
    assert!(
        said.contains(&format!("{nobody} cannot be reached")),
        "{said}"
    );
    let status = kv(&["status", "--servers", &nobody]);
    assert_eq!(status.status.code(), Some(1));
    assert!(texts(&status).1.contains("no server answered"));
}

#[test]
fn a_command_without_servers_or_with_a_bad_address_is_refused() {
    assert_eq!(kv(&["get", "city"]).status.code(), Some(2));
    let bad = kv(&["get", "city", "--servers", "localhost"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(texts(&bad).1.contains("write HOST:PORT"));
}

#[tokio::test]
async fn the_leadership_is_handed_over_and_the_members_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, unhurried).await;
    let client = cluster.client();
    client.put("city", b"Utrecht", PATIENCE).await.unwrap();
    let config = cluster.config_path(1);
    let config = config.to_str().unwrap();
    let leader = cluster
        .id_at(&client.leader(PATIENCE).await.unwrap())
        .unwrap();
    let heir = 1 + leader % 3;
    let (told, said) = texts(&kv(&["transfer", &heir.to_string(), "--config", config]));
    assert_eq!(told, format!("node {heir} leads\n"), "{said}");
    let (table, said) = texts(&kv(&["members", "--config", config]));
    assert_eq!(table.matches("leader").count(), 1, "{table}{said}");
    assert_eq!(table.matches("voter").count(), 2, "{table}");
    let (json, _) = texts(&kv(&["members", "--json", "--config", config]));
    let members: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(members[2]["id"], 3);
    assert_eq!(members[2]["voter"], true);
    let refused = kv(&["transfer", "9", "--config", config]);
    assert_eq!(refused.status.code(), Some(1));
    let (_, said) = texts(&refused);
    assert!(said.contains('9'), "{said}");
    let best = kv(&["transfer", "--config", config]);
    assert!(best.status.success(), "{:?}", texts(&best));
    cluster.stop_all().await.unwrap();
}

#[tokio::test]
async fn a_value_is_read_as_fresh_as_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, |config| {
        config.timing.lease_reads = Some(true);
    })
    .await;
    let client = cluster.client();
    client.put("city", b"Utrecht", PATIENCE).await.unwrap();
    let config = cluster.config_path(1);
    let config = config.to_str().unwrap();
    for freshness in ["linearizable", "lease", "bounded=1us"] {
        let get = kv(&["get", "city", "--read", freshness, "--config", config]);
        assert_eq!(texts(&get).0, "Utrecht\n", "{freshness}");
    }
    // Without the others, only what the node has is left.
    let last = cluster.id_at(&client.leader(PATIENCE).await.unwrap());
    let last = last.unwrap();
    for id in (1..=3).filter(|id| *id != last) {
        cluster.kill(id);
    }
    let address = cluster.address(last);
    let servers = ["--within", "2s", "--servers", &address];
    let get = |freshness| {
        let words = ["get", "city", "--read", freshness];
        kv(&[&words[..], &servers].concat())
    };
    assert_eq!(texts(&get("local")).0, "Utrecht\n");
    assert_eq!(get("linearizable").status.code(), Some(1));
    let bad = get("fresh");
    assert_eq!(bad.status.code(), Some(2));
    assert!(texts(&bad).1.contains("bounded=2s"), "{:?}", texts(&bad));
    cluster.kill(last);
}
