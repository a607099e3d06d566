//! What can be said about the benchmark.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Three nodes, N writers in a closed loop, 256 bytes a write: writes a second, latency, and CPU
/// time a write.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", version)]
pub struct BenchOptions {
    /// Only these settings.
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
    /// Over TCP, on redb with fsync; each node on threads of its own.
    Redb,
}

impl BenchOptions {
    /// The settings to measure, each once.
    pub fn settings(&self) -> Vec<Setting> {
        let wanted = |setting: &Setting| self.only.is_empty() || self.only.contains(setting);
        let all = [Setting::Memory, Setting::Tcp, Setting::Redb];
        all.into_iter().filter(wanted).collect()
    }

    /// How long to measure each line.
    pub fn measured_time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl Setting {
    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Memory => "in process, in memory, one thread for all",
            Self::Tcp => "over TCP (loopback), in memory",
            Self::Redb => "over TCP (loopback), on redb with fsync",
        }
    }

    /// For programs, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tcp => "tcp",
            Self::Redb => "redb",
        }
    }
}
