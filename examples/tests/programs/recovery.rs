//! `kv recover` through the real binary: two of three nodes are gone for ever.

use crate::common::{PATIENCE, image, kv, running, texts};

#[tokio::test]
async fn a_cluster_that_lost_two_of_three_nodes_goes_on_with_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = running(directory.path(), 3, |_| {}).await;
    let client = cluster.client();
    client.put("city", b"Utrecht", PATIENCE).await.unwrap();
    let last = client.leader(PATIENCE).await.unwrap();
    let last = cluster.id_at(&last).unwrap();
    let config = cluster.config_path(last);
    let config = config.to_str().unwrap().to_owned();
    let in_use = kv(&["recover", "--config", &config]);
    assert_eq!(in_use.status.code(), Some(1));
    assert!(texts(&in_use).1.contains("in use"), "{:?}", texts(&in_use));
    cluster.stop_all().await.unwrap();

    let data = cluster.data_directory(last);
    let before = image(&data);
    let (plan, _) = texts(&kv(&["recover", "--config", &config]));
    assert!(before == image(&data), "a dry run changed something");
    for part in [
        "voters given up",
        "recovery epoch   1",
        "nothing was changed",
    ] {
        assert!(plan.contains(part), "{part:?} is not in\n{plan}");
    }
    let nobody = directory.path().join("nobody.json");
    std::fs::write(&nobody, "[]").unwrap();
    let refused = kv(&[
        "recover",
        "--config",
        &config,
        "--membership",
        nobody.to_str().unwrap(),
        "--yes",
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        texts(&refused).1.contains("at least one voter"),
        "{:?}",
        texts(&refused)
    );
    let done = kv(&["recover", "--config", &config, "--yes"]);
    assert!(done.status.success(), "{:?}", texts(&done));
    assert!(
        texts(&done).0.contains("recovery_epoch = 1"),
        "{:?}",
        texts(&done)
    );

    cluster.start(last).unwrap();
    let address = cluster.address(last);
    let get = kv(&["get", "city", "--servers", &address]);
    assert_eq!(texts(&get).0, "Utrecht\n", "{:?}", texts(&get));
    let put = kv(&["put", "city", "Delft", "--servers", &address]);
    assert!(put.status.success(), "{:?}", texts(&put));
    cluster.stop_all().await.unwrap();
}
