//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use raft_core::units::Period;

use super::migrate::MigrateOptions;
use super::recover::RecoverOptions;
use crate::client::Client;
use crate::config::{Address, ServerConfig};
use crate::demo::DemoOptions;
use crate::failure::Failure;
use crate::inspect::InspectOptions;
use crate::protocol::Freshness;

/// A replicated key-value store on raft-core.
///
/// Exit codes: 0 done; 1 not done, or no such key; 2 the command line is wrong; 3 the outcome of a
/// change is unknown.
#[derive(Debug, Parser)]
#[command(name = "kv", version)]
pub struct KvOptions {
    /// What to do.
    #[command(subcommand)]
    pub command: KvCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// Run three nodes on this machine, stream data in, kill the leader half way, and check
    /// everything.
    Demo(DemoOptions),
    /// Run one node.
    Serve {
        /// The configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Stop when the standard input ends.
        #[arg(long, hide = true)]
        stop_with_parent: bool,
    },
    /// Set a key to a value. Safe to repeat.
    Put {
        /// The key.
        key: String,
        /// The value; `-` takes it from the standard input.
        value: String,
        /// The servers.
        #[command(flatten)]
        servers: ServersOptions,
    },
    /// Print the value of a key, by default as new as every change acknowledged before.
    Get {
        /// The key.
        key: String,
        /// How new: linearizable, lease, bounded=LAG (for example bounded=2s) or local.
        #[arg(long, default_value_t)]
        read: Freshness,
        /// The servers.
        #[command(flatten)]
        servers: ServersOptions,
    },
    /// Remove a key. Safe to repeat.
    Del {
        /// The key.
        key: String,
        /// The servers.
        #[command(flatten)]
        servers: ServersOptions,
    },
    /// Hand the leadership over to a node, or to the one that suits best.
    Transfer {
        /// The node's number.
        node: Option<u64>,
        /// The servers.
        #[command(flatten)]
        servers: ServersOptions,
    },
    /// Show who belongs to the cluster, and how the leader feeds each.
    Members {
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
        /// The servers.
        #[command(flatten)]
        servers: ServersOptions,
    },
    /// Recover a cluster whose majority is lost for ever: shows what would be lost, and does nothing
    /// without `--yes`.
    Recover(RecoverOptions),
    /// Show what a stopped node keeps, without changing it.
    Inspect(InspectOptions),
    /// Move a stopped node's data to another kind of store, verified; interrupted, it goes on when it is
    /// repeated.
    Migrate(MigrateOptions),
    /// Make certificates for the nodes of a cluster, and an authority that signs them.
    #[cfg(any(feature = "tls", feature = "quic"))]
    Certs(crate::certs::CertsOptions),
    /// Show how each node is.
    Status {
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Ask each node for the digest of its state too.
        #[arg(long)]
        digest: bool,
        /// The servers.
        #[command(flatten)]
        servers: ServersOptions,
    },
}

/// Whom to talk to, and for how long.
#[derive(Debug, Args)]
pub struct ServersOptions {
    #[command(flatten)]
    source: Source,
    /// How long to go on trying.
    #[arg(long, default_value = "10s")]
    within: Period,
}

/// Where the addresses come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A server's configuration file: its peers are the servers.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where the servers listen for clients: HOST:PORT,HOST:PORT,...
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
}

impl ServersOptions {
    /// The addresses at which the servers listen for clients.
    ///
    /// # Errors
    /// [`Failure`] for a configuration that cannot be read, or what is no address.
    pub fn addresses(&self) -> Result<Vec<String>, Failure> {
        if let Some(path) = &self.source.config {
            let config = ServerConfig::read(path)?;
            return Ok(config.client_addresses().into_values().collect());
        }
        let checked = self.source.servers.iter().map(|text| Address::parse(text));
        let addresses: Result<Vec<Address>, String> = checked.collect();
        let addresses = addresses.map_err(Failure::new)?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    /// A client of these servers.
    ///
    /// # Errors
    /// As [`ServersOptions::addresses`].
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.addresses()?))
    }

    /// How long to go on trying.
    pub fn within(&self) -> Duration {
        self.within.0
    }
}
