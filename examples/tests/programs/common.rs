//! What the tests of the programs share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use raft_core::units::Period;
use raft_examples::config::ServerConfig;
use raft_examples::local::{LocalCluster, NodeProcess};

/// The real `kv` binary.
pub(crate) const KV: &str = env!("CARGO_BIN_EXE_kv");

/// A cluster of real processes in `directory`, running, each node up.
pub(crate) async fn running(
    directory: &Path,
    count: u16,
    adjust: impl Fn(&mut ServerConfig),
) -> LocalCluster {
    let mut cluster =
        LocalCluster::create(Path::new(KV), directory, "test", count, adjust).unwrap();
    cluster.start_all().unwrap();
    let client = cluster.client();
    for id in 1..=u64::from(count) {
        cluster
            .wait_for(id, &client, PATIENCE, |_| true)
            .await
            .unwrap();
    }
    client.leader(PATIENCE).await.unwrap();
    cluster
}

/// A stall of the machine moves no leader.
pub(crate) fn unhurried(config: &mut ServerConfig) {
    config.timing.election_timeout = Some(Period::from_millis(2_000));
    config.timing.disk_stall_timeout = Some(Period::from_millis(20_000));
}

/// Every file below, with its bytes.
pub(crate) fn image(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for item in fs::read_dir(directory).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files.extend(image(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// Runs `kv` to its end. Commands bound themselves by `--within`.
pub(crate) fn kv(arguments: &[&str]) -> Output {
    Command::new(KV).args(arguments).output().unwrap()
}

/// Starts a server that must fail, and returns its exit code and what it said.
pub(crate) async fn refused(config: &Path) -> (Option<i32>, String) {
    let log = config.with_extension("refused.log");
    let mut server = NodeProcess::start(Path::new(KV), config, log.clone()).unwrap();
    let status = server.wait(PATIENCE).await;
    let said = fs::read_to_string(&log).unwrap();
    let status = status.expect("a server that is refused ends by itself");
    (status.code(), said)
}

/// The standard output and the standard error, as text.
pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Far longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
