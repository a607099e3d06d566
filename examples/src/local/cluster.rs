//! Several servers that form a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::certificates::certified;
use super::ports::free_ports;
use super::process::NodeProcess;
use crate::client::Client;
use crate::config::{
    Address, LimitsConfig, NetworkSection, NodeName, PeerConfig, RedbSection, RocksdbSection,
    ServerConfig, StoreKind, TimingConfig, TransportKind,
};
use crate::failure::{Failure, OrFail};
use crate::protocol::NodeReport;

/// The servers, running or not, and where each is reached. Dropping it kills them.
#[derive(Debug)]
pub struct LocalCluster {
    program: PathBuf,
    directory: PathBuf,
    configs: BTreeMap<u64, ServerConfig>,
    running: BTreeMap<u64, NodeProcess>,
}

impl LocalCluster {
    /// Writes the configurations of `count` nodes into `directory`, with free ports, changed by
    /// `adjust`. Starts nothing. `program` is the `kv` binary.
    ///
    /// # Errors
    /// [`Failure`] if there are no ports, or the files cannot be written.
    pub fn create(
        program: &Path,
        directory: &Path,
        name: &str,
        count: u16,
        adjust: impl Fn(&mut ServerConfig),
    ) -> Result<Self, Failure> {
        let ports = free_ports(2 * usize::from(count))?;
        let mut free = ports
            .into_iter()
            .map(|port| Address::parse(&format!("127.0.0.1:{port}")).map_err(Failure::new));
        let mut address = move || {
            free.next()
                .unwrap_or_else(|| Err(Failure::new("no free port")))
        };
        let mut peers = BTreeMap::new();
        for id in 1..=u64::from(count) {
            let (raft, clients) = (address()?, address()?);
            peers.insert(NodeName(id), PeerConfig { raft, clients });
        }
        let mut cluster = Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            configs: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        for (name_of_node, peer) in &peers {
            let id = name_of_node.0;
            let mut config = ServerConfig {
                cluster: name.to_owned(),
                id,
                listen: peer.raft.clone(),
                clients: peer.clients.clone(),
                directory: directory.join(format!("node-{id}")),
                store: StoreKind::default(),
                transport: TransportKind::preferred(),
                recovery_epoch: 0,
                self_repair: true,
                peers: peers.clone(),
                timing: TimingConfig::default(),
                limits: LimitsConfig::default(),
                redb: RedbSection::default(),
                rocksdb: RocksdbSection::default(),
                network: NetworkSection::default(),
                tls: None,
            };
            adjust(&mut config);
            if config.tls.is_none() {
                config.tls = certified(name, id, config.transport, directory)?;
            }
            let path = cluster.config_path(id);
            std::fs::write(&path, config.to_string())
                .or_fail(|| format!("cannot write {}", path.display()))?;
            cluster.configs.insert(id, config);
        }
        Ok(cluster)
    }

    /// Every node's number.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.configs.keys().copied()
    }

    /// Where this node's configuration is.
    pub fn config_path(&self, id: u64) -> PathBuf {
        self.directory.join(format!("node-{id}.toml"))
    }

    /// Where this node's data is.
    pub fn data_directory(&self, id: u64) -> PathBuf {
        self.directory.join(format!("node-{id}"))
    }

    /// Where clients reach this node.
    pub fn address(&self, id: u64) -> String {
        let config = self.configs.get(&id);
        config.map_or(String::new(), |config| config.clients.to_string())
    }

    /// The node that clients reach there.
    pub fn id_at(&self, address: &str) -> Option<u64> {
        let mut all = self.configs.iter();
        let (id, _) = all.find(|(_, config)| config.clients.as_str() == address)?;
        Some(*id)
    }

    /// A client of all nodes.
    pub fn client(&self) -> Client {
        Client::new(self.configs.values().map(|config| config.clients.as_str()))
    }

    /// The processes' numbers, by node.
    pub fn processes(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.running
            .iter()
            .filter_map(|(id, process)| Some((*id, process.id()?)))
    }

    /// Starts a node that is not running.
    ///
    /// # Errors
    /// [`Failure`] if the system does not start the process.
    pub fn start(&mut self, id: u64) -> Result<(), Failure> {
        let log = self.directory.join(format!("node-{id}.log"));
        let process = NodeProcess::start(&self.program, &self.config_path(id), log)?;
        self.running.insert(id, process);
        Ok(())
    }

    /// Starts every node.
    ///
    /// # Errors
    /// As [`LocalCluster::start`].
    pub fn start_all(&mut self) -> Result<(), Failure> {
        let ids: Vec<u64> = self.ids().collect();
        ids.into_iter().try_for_each(|id| self.start(id))
    }

    /// Kills a node (SIGKILL).
    pub fn kill(&mut self, id: u64) {
        self.running.remove(&id);
    }

    /// Stops every node in an orderly way.
    ///
    /// # Errors
    /// [`Failure`] if one did not stop cleanly; the others are stopped all the same.
    pub async fn stop_all(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while let Some((_, mut process)) = self.running.pop_first() {
            outcome = outcome.and(process.stop(STOP_WITHIN).await);
        }
        outcome
    }

    /// Lets every node run on when this process ends.
    pub fn let_go(mut self) {
        while let Some((_, process)) = self.running.pop_first() {
            process.let_go();
        }
    }

    /// Waits until a node's status is as wanted, and returns it.
    ///
    /// # Errors
    /// [`Failure`] if the node's process ended, or time ran out.
    pub async fn wait_for(
        &mut self,
        id: u64,
        client: &Client,
        within: Duration,
        wanted: impl Fn(&NodeReport) -> bool,
    ) -> Result<NodeReport, Failure> {
        let (address, deadline) = (self.address(id), Instant::now() + within);
        loop {
            let heard = client.status_of(&address, LOOK_WITHIN).await;
            if let Some(report) = heard.as_ref().ok().filter(|report| wanted(report)) {
                return Ok(report.clone());
            }
            if let Some(process) = self.running.get_mut(&id)
                && let Some(status) = process.ended()
            {
                return Err(process.failed(&format!("(node {id}) ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "node {id} was not as it should be within {within:?}: {heard:?}"
                )));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

const STOP_WITHIN: Duration = Duration::from_secs(60);
const LOOK_WITHIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
