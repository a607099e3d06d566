//! What can be said to `simulate`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Simulates whole clusters, faults included, and checks everything that Raft promises.
#[derive(Clone, Debug, Parser)]
#[command(name = "simulate", version)]
pub struct SimulateOptions {
    /// What to do.
    #[command(subcommand)]
    pub command: SimulateCommand,
}

/// What `simulate` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum SimulateCommand {
    /// Simulates so many hours of clusters' lives, each from its own seed, on all cores.
    Run(RunOptions),
    /// Runs one seed again, and shows what happened.
    Replay(ReplayOptions),
    /// Plants deliberate faults into the protocol, and shows which checker finds each.
    Mutants(MutantsOptions),
}

/// How much to simulate.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Simulated hours in all, of whole clusters. Weak runs do not count.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub hours: f64,
    /// The first seed; the others follow it. Without it, every day has seeds of its own.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Which faults to plant.
#[derive(Clone, Debug, Args)]
pub struct MutantsOptions {
    /// Only these, by name.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
}

/// What to show of a seed.
#[derive(Clone, Debug, Args)]
pub struct ReplayOptions {
    /// The seed.
    pub seed: u64,
    /// Write a page that shows nodes as lanes and messages as arrows.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Show the end of the run only: so many simulated seconds.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub last: f64,
    /// Show everything, from the beginning.
    #[arg(long, conflicts_with = "last")]
    pub all: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        Ok(_) => Err("it must be greater than zero".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
