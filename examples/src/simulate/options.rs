//! What can be said to `simulate`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use raft_core::sim::model::{Bounds, NODES_MAX, Start};

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
    /// Simulates a small bank with a bug, and the mended one: how to simulate your own machine.
    Example(ExampleOptions),
    /// Plants deliberate faults into the protocol, and shows which checker finds each.
    Mutants(MutantsOptions),
    /// Searches every order of events of a small group, within bounds.
    Model(ModelOptions),
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

/// How large a world to search. Messages have no bound: each may be late, lost, and repeated.
#[derive(Clone, Debug, Args)]
pub struct ModelOptions {
    /// Actions in a trace.
    #[arg(long, default_value_t = 14)]
    pub depth: u32,
    /// Voters.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(NODES_MAX)))]
    pub nodes: u8,
    /// Election timeouts, and so terms beyond the first.
    #[arg(long, default_value_t = 2)]
    pub timeouts: u8,
    /// Heartbeats of leaders beyond their first.
    #[arg(long, default_value_t = 1)]
    pub heartbeats: u8,
    /// Election timeouts of each single node. By default as many as of all together.
    #[arg(long)]
    pub timeouts_each: Option<u8>,
    /// Begin where two leaders have each left an entry in their own logs (thesis figure 3.7, b).
    #[arg(long)]
    pub two_rivals: bool,
    /// Commands proposed.
    #[arg(long, default_value_t = 1)]
    pub proposals: u8,
    /// Crashes, each with a restart.
    #[arg(long, default_value_t = 1)]
    pub crashes: u8,
    /// Transfers of leadership.
    #[arg(long, default_value_t = 0)]
    pub transfers: u8,
    /// Changes of membership: a voter is removed, or comes back.
    #[arg(long, default_value_t = 0)]
    pub changes: u8,
    /// Nodes take snapshots, and purge their logs.
    #[arg(long)]
    pub snapshots: bool,
    /// Every write is durable at once, instead of some time later.
    #[arg(long)]
    pub fast_disks: bool,
    /// State machines take their time.
    #[arg(long)]
    pub slow_machines: bool,
    /// Pre-votes travel like other messages, instead of being answered at once.
    #[arg(long)]
    pub pre_votes: bool,
    /// Stop when so many states are known: a million takes about 100 MiB.
    #[arg(long, default_value_t = 20_000_000)]
    pub states_max: usize,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

impl ModelOptions {
    /// What they mean.
    pub fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.depth = self.depth;
        bounds.nodes = self.nodes;
        bounds.timeouts_each = self.timeouts_each.unwrap_or(u8::MAX);
        if self.two_rivals {
            bounds.start = Start::TwoRivals;
        }
        bounds.timeouts = self.timeouts;
        bounds.heartbeats = self.heartbeats;
        bounds.proposals = self.proposals;
        bounds.crashes = self.crashes;
        bounds.transfers = self.transfers;
        bounds.changes = self.changes;
        bounds.snapshots = self.snapshots;
        bounds.slow_disks = !self.fast_disks;
        bounds.slow_machines = self.slow_machines;
        bounds.pre_votes = self.pre_votes;
        bounds.states_max = self.states_max;
        bounds
    }
}

/// How long to look for the bugs.
#[derive(Clone, Debug, Args)]
pub struct ExampleOptions {
    /// So many seeds at most for each bank.
    #[arg(long, default_value_t = 20)]
    pub seeds: u64,
}

/// Which faults to plant.
#[derive(Clone, Debug, Args)]
pub struct MutantsOptions {
    /// Only these, by name.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Look no further than so many seeds, whatever the budget.
    #[arg(long, value_name = "SEEDS")]
    pub seeds: Option<u64>,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
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
