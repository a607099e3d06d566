//! `kv`: a replicated key-value store, its client, and its demonstration.

use std::process::ExitCode;

use clap::Parser;
use raft_examples::cli::{KvOptions, run};

fn main() -> ExitCode {
    run(KvOptions::parse())
}
