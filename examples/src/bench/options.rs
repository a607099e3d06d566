//! What can be said about the benchmark.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::config::{StoreKind, TransportKind};

/// Three nodes, N writers in a closed loop, 256 bytes a write: writes a second, latency, and CPU
/// time a write.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", version)]
pub struct BenchOptions {
    /// Only these settings. Default: all that this build has.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Setting>,
    /// How many writers, each waiting for its answer before it writes again.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256, 1024])]
    pub writers: Vec<u16>,
    /// How long to measure each line, after half as long to warm up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Where the nodes are, and what they are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Setting {
    /// In one process, in memory, without a network; nodes and writers on one thread.
    Memory,
    /// Over TCP, in memory; each node on threads of its own.
    Tcp,
    /// Over TCP with TLS, in memory; each node on threads of its own.
    Tls,
    /// Over QUIC, in memory; each node on threads of its own.
    Quic,
    /// Over TCP, on redb with fsync; each node on threads of its own.
    Redb,
    /// Over TCP, on RocksDB with fsync; each node on threads of its own.
    Rocksdb,
}

impl BenchOptions {
    /// The settings to measure, each once.
    pub fn settings(&self) -> Vec<Setting> {
        let is_wanted = |setting: &Setting| match self.only.is_empty() {
            true => setting.lacks_feature().is_none(),
            false => self.only.contains(setting),
        };
        Setting::ALL.into_iter().filter(is_wanted).collect()
    }

    /// How long to measure each line.
    pub fn measured_time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl Setting {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 6] = [
        Self::Memory,
        Self::Tcp,
        Self::Tls,
        Self::Quic,
        Self::Redb,
        Self::Rocksdb,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Memory => "in process, in memory, one thread for all",
            Self::Tcp => "over TCP (loopback), in memory",
            Self::Tls => "over TCP with TLS (loopback), in memory",
            Self::Quic => "over QUIC (loopback), in memory",
            Self::Redb => "over TCP (loopback), on redb with fsync",
            Self::Rocksdb => "over TCP (loopback), on RocksDB with fsync",
        }
    }

    /// For programs, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Redb => "redb",
            Self::Rocksdb => "rocksdb",
        }
    }

    /// What the nodes are made of. Without a transport they are in one process.
    pub const fn backends(self) -> (StoreKind, Option<TransportKind>) {
        match self {
            Self::Memory => (StoreKind::Memory, None),
            Self::Tcp => (StoreKind::Memory, Some(TransportKind::Tcp)),
            Self::Tls => (StoreKind::Memory, Some(TransportKind::TcpTls)),
            Self::Quic => (StoreKind::Memory, Some(TransportKind::Quic)),
            Self::Redb => (StoreKind::Redb, Some(TransportKind::Tcp)),
            Self::Rocksdb => (StoreKind::Rocksdb, Some(TransportKind::Tcp)),
        }
    }

    /// The Cargo feature that this build lacks for it, if it does.
    fn lacks_feature(self) -> Option<&'static str> {
        let (store, transport) = self.backends();
        let of_transport = transport.and_then(TransportKind::lacks_feature);
        store.lacks_feature().or(of_transport)
    }
}
