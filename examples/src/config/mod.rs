//! The configuration file of `kv serve`: what it may say, and what makes sense.

mod explain;
mod fields;
mod sections;
mod words;
mod write;

pub use fields::{Address, NodeName};
pub use sections::{NetworkSection, RedbSection, RocksdbSection, TlsSection};
pub use words::{StoreKind, TransportKind};

#[cfg(not(all(
    feature = "redb",
    feature = "rocksdb",
    feature = "tls",
    feature = "quic"
)))]
pub(crate) use words::not_built;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use raft_core::config::Config;
use raft_core::membership::Membership;
use raft_core::units::{Period, Size};
use serde::Deserialize;

use crate::failure::{Failure, OrFail};

/// What one node of the key-value store needs to know. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// The cluster's name: nodes of other clusters are refused, on the wire and on disk.
    pub cluster: String,
    /// This node's number. It must have a `[peers.N]` table.
    pub id: u64,
    /// Where this node listens for the other nodes.
    pub listen: Address,
    /// Where this node listens for clients.
    pub clients: Address,
    /// Where this node keeps its data. Created if need be. A relative path is taken from the
    /// directory in which the server is started.
    pub directory: PathBuf,
    /// What keeps the log: `"redb"` (the default), `"rocksdb"`, or `"memory"` (for trials: a node that
    /// is restarted has forgotten its votes). The nodes of a cluster may differ.
    #[serde(default)]
    pub store: StoreKind,
    /// What carries messages between the nodes: `"tcp+tls"`, `"quic"`, or `"tcp"`. The last is plain
    /// text, and therefore nothing is the default. The same on every node.
    pub transport: TransportKind,
    /// The recovery epoch of the cluster that a new node joins; zero if it was never recovered. It
    /// counts only while the directory is empty.
    #[serde(default)]
    pub recovery_epoch: u64,
    /// Whether a node that finds its data damaged begins anew by itself: it keeps what is damaged in
    /// `damaged-1` (then `-2`, `-3`) of its directory, gets everything from the others, and is a voter
    /// again when it has it. Otherwise the server ends, and says what is damaged. With fewer than three
    /// peers it always does, for then the others are no majority.
    #[serde(default = "yes")]
    pub self_repair: bool,
    /// Every node of the cluster, this one included, by number.
    pub peers: BTreeMap<NodeName, PeerConfig>,
    /// How patient the nodes are. The same on all of them.
    #[serde(default)]
    pub timing: TimingConfig,
    /// Bounds, in bytes and entries.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Settings of redb. Like the sections that follow it may stay where another word is chosen.
    #[serde(default)]
    pub redb: RedbSection,
    /// Settings of RocksDB.
    #[serde(default)]
    pub rocksdb: RocksdbSection,
    /// Settings of the transport, whichever it is.
    #[serde(default)]
    pub network: NetworkSection,
    /// Certificates, which the transports `"tcp+tls"` and `"quic"` need.
    pub tls: Option<TlsSection>,
}

/// Where one node is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// By the other nodes.
    pub raft: Address,
    /// By clients.
    pub clients: Address,
}

/// See [`raft_core::config::Config`] for meaning and defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingConfig {
    /// A leader is heard at least this often.
    pub heartbeat_interval: Option<Period>,
    /// A follower that heard no leader for this long asks for votes.
    pub election_timeout: Option<Period>,
    /// A leader whose disk stands still for this long gives up its leadership.
    pub disk_stall_timeout: Option<Period>,
    /// A snapshot is taken when something was applied this long ago and is in none.
    pub snapshot_interval: Option<Period>,
    /// Whether reads may trust the clocks of the nodes (`kv get --read lease`).
    pub lease_reads: Option<bool>,
}

/// See [`raft_core::config::Config`] for meaning and defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// The largest command: a key and its value.
    pub entry_bytes_max: Option<Size>,
    /// A snapshot is taken after this many entries.
    pub snapshot_entries: Option<u64>,
    /// A snapshot is taken after entries of this many bytes.
    pub snapshot_bytes: Option<Size>,
    /// Entries kept behind a snapshot for followers that lag a little.
    pub trailing_entries: Option<u64>,
}

impl ServerConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Failure`] names the file, the line and the fix.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .or_fail(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&text).map_err(|failure| Failure::new(format!("{}: {failure}", path.display())))
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// [`Failure`] names the line and the fix.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let config: Self =
            toml::from_str(text).map_err(|error| explain::parse_error(text, &error))?;
        config.check().map_err(Failure::new)?;
        Ok(config)
    }

    /// The nodes of the file as the cluster's first membership.
    ///
    /// # Errors
    /// [`Failure`] if they cannot form a cluster.
    pub fn membership(&self) -> Result<Membership, Failure> {
        let voters = self
            .peers
            .iter()
            .map(|(name, peer)| (name.0, peer.raft.to_string()));
        Membership::of_voters(voters).or_fail(|| "the [peers] tables".into())
    }

    /// The settings of the protocol: the defaults, with what the file changes.
    pub fn raft(&self) -> Config {
        let mut raft = Config::default();
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let (timing, limits) = (&self.timing, &self.limits);
        replace(
            &mut raft.heartbeat_interval,
            timing.heartbeat_interval.map(|p| p.0),
        );
        replace(
            &mut raft.election_timeout,
            timing.election_timeout.map(|p| p.0),
        );
        replace(
            &mut raft.disk_stall_timeout,
            timing.disk_stall_timeout.map(|p| p.0),
        );
        raft.snapshot_interval = timing.snapshot_interval.map(|p| p.0);
        replace(&mut raft.lease_reads, timing.lease_reads);
        replace(&mut raft.entry_bytes_max, limits.entry_bytes_max.map(bytes));
        replace(&mut raft.snapshot_entries, limits.snapshot_entries);
        replace(&mut raft.snapshot_bytes, limits.snapshot_bytes.map(|s| s.0));
        replace(&mut raft.trailing_entries, limits.trailing_entries);
        raft
    }

    /// Whether damage is repaired by the node itself.
    pub fn repairs_itself(&self) -> bool {
        self.self_repair && self.peers.len() > 2
    }

    /// Where clients reach each node.
    pub fn client_addresses(&self) -> BTreeMap<u64, String> {
        let address = |peer: &PeerConfig| peer.clients.to_string();
        self.peers
            .iter()
            .map(|(name, peer)| (name.0, address(peer)))
            .collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.cluster.trim().is_empty() {
            return Err("cluster is empty: give the cluster a name, the same on every node".into());
        }
        if self.directory.as_os_str().is_empty() {
            return Err("directory is empty: say where this node keeps its data".into());
        }
        if !self.peers.contains_key(&NodeName(self.id)) {
            let id = self.id;
            return Err(format!(
                "id is {id}, and there is no [peers.{id}]: list every node, this one included, or \
                 correct the id"
            ));
        }
        if self.listen == self.clients {
            return Err(format!(
                "listen and clients are both {}: nodes and clients need a port each",
                self.listen
            ));
        }
        if self.transport.is_secure() && self.tls.is_none() {
            return Err(format!(
                "transport is {}, and there is no [tls]: say where certificate, key and authorities \
                 are (`kv certs` makes them)",
                self.transport
            ));
        }
        self.check_network()?;
        let mut taken = BTreeSet::new();
        for (name, peer) in &self.peers {
            for address in [&peer.raft, &peer.clients] {
                if !taken.insert(address) {
                    return Err(format!(
                        "[peers.{}] uses {address} again: every address stands once",
                        name.0
                    ));
                }
            }
        }
        self.raft().validate().map_err(|error| error.to_string())
    }

    #[cfg(any(feature = "tcp", feature = "quic"))]
    fn check_network(&self) -> Result<(), String> {
        let checked = self.network.validate();
        checked.map_err(|error| format!("[network]: {error}"))
    }

    #[cfg(not(any(feature = "tcp", feature = "quic")))]
    fn check_network(&self) -> Result<(), String> {
        Ok(())
    }
}

const fn yes() -> bool {
    true
}

fn replace<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}
