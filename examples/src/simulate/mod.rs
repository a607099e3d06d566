//! `simulate`: runs the simulator of raft-core for long, replays single seeds, and shows them.

mod example;
mod lives;
mod model;
mod mutants;
mod options;
mod page;
mod replay;
mod report;

pub use options::{
    ExampleOptions, ModelOptions, MutantsOptions, ReplayOptions, RunOptions, SimulateCommand,
    SimulateOptions,
};

use std::process::ExitCode;

use crate::failure::Failure;
use crate::terminal::complain;

/// Carries out the command. Fails on a violation of what Raft promises.
pub fn run(options: SimulateOptions) -> ExitCode {
    let done = match options.command {
        SimulateCommand::Run(options) => lives::run(&options),
        SimulateCommand::Replay(options) => replay::run(&options),
        SimulateCommand::Example(options) => example::run(&options),
        SimulateCommand::Mutants(options) => mutants::run(&options),
        SimulateCommand::Model(options) => model::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(format_args!("simulate: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// The command that shows a seed again.
fn replay_command(seed: u64) -> String {
    format!(
        "cargo run --release -p raft-examples --bin simulate -- replay {seed} --html seed-{seed}.html"
    )
}

/// What to say of a violation: what was seen, and how to see it again.
fn violated(violation: &raft_core::sim::Violation) -> Failure {
    let (seed, at) = (violation.seed, violation.at);
    let (property, detail) = (violation.property, &violation.detail);
    let again = replay_command(seed);
    Failure::new(format!(
        "VIOLATION of {property} in seed {seed} after {at:?}: {detail}\nsee it again: {again}"
    ))
}
