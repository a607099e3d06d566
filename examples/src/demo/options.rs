//! What can be said about the demonstration.

use std::path::PathBuf;

use clap::Args;

use crate::config::{StoreKind, TransportKind};
use crate::failure::Failure;

/// The demonstration's options.
#[derive(Clone, Debug, Args)]
pub struct DemoOptions {
    /// How many entries to write.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub entries: u64,
    /// A file to stream in, one entry a line, repeated under new keys until there are enough.
    /// Default: this workspace's Cargo.lock, one entry a package.
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// How many writers there are at once, each waiting for its answer before it goes on.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub writers: u16,
    /// Where to keep the data: a directory that is empty or does not exist. Default: a new one
    /// among the system's temporary files, removed after success.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// What keeps the logs: redb, rocksdb or memory. Three words, one for each node, mix them. In memory
    /// the killed node has forgotten everything: it gets all from the others, and has no vote any more.
    #[arg(long, value_delimiter = ',', default_value = "redb")]
    pub store: Vec<StoreKind>,
    /// What carries messages between the nodes: tcp+tls, quic, or tcp, which is plain text. Certificates
    /// are made on the spot.
    #[arg(long, default_value_t = TransportKind::preferred())]
    pub transport: TransportKind,
    /// Leave the cluster running, and say how to talk to it.
    #[arg(long)]
    pub keep: bool,
}

impl DemoOptions {
    /// The store of each node.
    pub(super) fn stores(&self) -> Result<[StoreKind; 3], Failure> {
        match self.store.as_slice() {
            [all] => Ok([*all; 3]),
            [first, second, third] => Ok([*first, *second, *third]),
            _ => Err(Failure::new(
                "--store takes one word for all nodes, or three, one for each: redb,memory,redb",
            )),
        }
    }

    /// What the nodes are made of, for people.
    pub(super) fn backends(&self) -> String {
        let stores: Vec<&str> = self.store.iter().map(|kind| kind.as_str()).collect();
        let plain = if self.transport.is_secure() {
            ""
        } else {
            " (plain text)"
        };
        format!("{} over {}{plain}", stores.join(", "), self.transport)
    }
}
