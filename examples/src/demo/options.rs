//! What can be said about the demonstration.

use std::path::PathBuf;

use clap::Args;

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
    /// Leave the cluster running, and say how to talk to it.
    #[arg(long)]
    pub keep: bool,
}
