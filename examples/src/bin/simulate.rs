//! `simulate`: lives of whole clusters on virtual time, with everything that can go wrong.

use std::process::ExitCode;

use clap::Parser;
use raft_examples::simulate::{SimulateOptions, run};

fn main() -> ExitCode {
    run(SimulateOptions::parse())
}
