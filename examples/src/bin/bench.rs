//! `bench`: how many writes three nodes take, how long each takes, and what it costs.

use std::process::ExitCode;

use clap::Parser;
use raft_examples::bench::{BenchOptions, run};

fn main() -> ExitCode {
    run(&BenchOptions::parse())
}
