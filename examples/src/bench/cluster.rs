//! Three nodes in this process.

use std::path::Path;
use std::time::Duration;

use raft_core::consensus::RoleName;
use raft_core::id::ClusterId;
use raft_core::membership::Membership;
use raft_core::memory::{MemoryStores, Network};
use raft_core::node::{Node, NodeBuilder};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::options::Setting;
use super::sink::Sink;
use crate::backend::{StoreSettings, TransportSettings, bind};
use crate::config::{StoreKind, TransportKind};
use crate::failure::{Failure, OrFail};
use crate::local::{certified, free_ports};

/// The nodes, and what lives as long as they do.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    _directory: TempDir,
}

impl Cluster {
    pub(super) async fn start(setting: Setting) -> Result<Self, Failure> {
        let directory = tempfile::tempdir().or_fail(|| "no temporary directory".into())?;
        let ports = free_ports(NODES)?;
        let addresses: Vec<(u64, String)> = (1..)
            .zip(ports)
            .map(|(id, port)| (id, format!("127.0.0.1:{port}")))
            .collect();
        let members = Membership::of_voters(addresses.clone()).or_fail(|| "members".into())?;
        let network = Network::new();
        let mut nodes = Vec::new();
        for (id, address) in addresses {
            let directory = directory.path();
            let builder = match setting.backends() {
                (_, None) => {
                    let stores = MemoryStores::new().open();
                    Node::builder(id, stores, network.transport(id), Sink::default())
                        .runtime(Handle::current())
                }
                (store, Some(transport)) => on_sockets(id, &address, store, transport, directory)?,
            };
            let node = builder
                .cluster(ClusterId::from_name(CLUSTER))
                .initial_membership(members.clone())
                .start()
                .await;
            nodes.push(node.or_fail(|| format!("node {id} cannot start"))?);
        }
        Ok(Self {
            nodes,
            _directory: directory,
        })
    }

    /// The node that leads, once one does.
    pub(super) async fn leader(&self) -> Result<Node, Failure> {
        let mut elections = JoinSet::new();
        for node in &self.nodes {
            let (node, mut standing) = (node.clone(), node.watch());
            elections.spawn(async move {
                let leads = standing.wait_for(|now| now.role == RoleName::Leader).await;
                leads.is_ok().then_some(node)
            });
        }
        let first = timeout(ELECT_WITHIN, elections.join_next()).await;
        match first {
            Ok(Some(Ok(Some(leader)))) => Ok(leader),
            _ => Err(Failure::new(format!("no leader within {ELECT_WITHIN:?}"))),
        }
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        for node in &self.nodes {
            node.shutdown().await.or_fail(|| "a node failed".into())?;
        }
        Ok(())
    }
}

fn on_sockets(
    id: u64,
    address: &str,
    store: StoreKind,
    transport: TransportKind,
    directory: &Path,
) -> Result<NodeBuilder, Failure> {
    let stores = StoreSettings::default().open(store, &directory.join(id.to_string()))?;
    let settings = TransportSettings {
        tls: certified(CLUSTER, id, transport, directory)?,
        ..TransportSettings::default()
    };
    let transport = bind(transport, address, &settings)?;
    let machine = Box::new(Sink::default());
    Ok(Node::builder_boxed(id, stores, transport, machine))
}

const CLUSTER: &str = "bench";
const NODES: usize = 3;
const ELECT_WITHIN: Duration = Duration::from_secs(20);
