//! Three nodes on the two of them.

use std::path::Path;

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
    let node = Node::builder(id, stores, transport, machine)
        .initial_membership(members)
        .start()
        .await
        .unwrap();
    (node, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_on_own_backends_keeps_what_it_was_told_over_a_restart() {
    let directory = TempDir::new().unwrap();
    for life in 0..2_u64 {
        let mut nodes = Vec::new();
        for id in [1, 2, 3] {
            nodes.push(start(directory.path(), id).await);
        }
        let mut standing = nodes[0].0.watch();
        let led = standing.wait_for(|now| now.leader.is_some()).await.unwrap();
        let leader = led.leader.unwrap();
        drop(led);
        for (node, state) in &nodes {
            node.read_barrier(ReadMode::Linearizable).await.unwrap();
            assert_eq!(state.read().len() as u64, life * 100);
        }
        let (node, _) = nodes.iter().find(|(node, _)| node.id() == leader).unwrap();
        for number in 0..100 {
            let key = format!("{life}/{number}");
            let command = Command::Put {
                key,
                value: "value".into(),
            };
            node.propose(command.encode()).await.unwrap();
        }
        for (node, _) in nodes {
            node.shutdown().await.unwrap();
        }
    }
}
