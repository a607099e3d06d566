//! Three nodes on the two of them.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use raft_core::config::Config;
use raft_core::membership::Membership;
use raft_core::node::{Node, ReadMode};
use raft_examples::kv::{Command, KvMachine, SharedState};
use raft_examples::own::{file_store, unix_transport};
use raft_transport_stream::TransportConfig;
use tempfile::TempDir;

async fn start(directory: &Path, id: u64) -> (Node, SharedState) {
    let socket = |id: u64| directory.join(format!("{id}.sock")).display().to_string();
    let transport = unix_transport::bind(socket(id), TransportConfig::default()).unwrap();
    let stores = file_store::open(directory.join(id.to_string())).unwrap();
    let (machine, state) = KvMachine::new();
    let members = Membership::of_voters([1, 2, 3].map(|id| (id, socket(id)))).unwrap();
    let mut config = Config::default();
    // A stall of the machine moves no leader.
    config.election_timeout = Duration::from_secs(2);
    config.disk_stall_timeout = Duration::from_secs(20);
    let node = Node::builder(id, stores, transport, machine)
        .config(config)
        .initial_membership(members)
        .start()
        .await
        .unwrap();
    (node, state)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, what)
        .await
        .expect("it never happened")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_on_own_backends_keeps_what_it_was_told_over_a_restart() {
    let directory = TempDir::new().unwrap();
    for life in 0..2_u64 {
        let mut nodes = Vec::new();
        for id in [1, 2, 3] {
            nodes.push(start(directory.path(), id).await);
        }
        nodes[0].0.campaign();
        let mut leader = nodes[0].0.id();
        for (node, state) in &nodes {
            let mut standing = node.watch();
            let led = soon(standing.wait_for(|now| now.leader.is_some())).await;
            leader = led.unwrap().leader.unwrap();
            soon(node.read_barrier(ReadMode::Linearizable))
                .await
                .unwrap();
            assert_eq!(state.read().len() as u64, life * 100);
        }
        let (leader, _) = nodes.iter().find(|(node, _)| node.id() == leader).unwrap();
        for number in 0..100 {
            let key = format!("{life}/{number}");
            let command = Command::Put {
                key,
                value: "value".into(),
            };
            soon(leader.propose(command.encode())).await.unwrap();
        }
        for (node, _) in nodes {
            soon(node.shutdown()).await.unwrap();
        }
    }
}
