//! The simulator: a whole cluster in one thread, on virtual time, from one seed.
//!
//! It drives the same [`Raft`](crate::consensus::Raft) as the node does, over a network that
//! loses, repeats, delays and reorders, and over disks that keep only what was synced. After every
//! step the checkers in `check` compare what happened with what Raft promises. The same seed
//! always gives the same run, so a failure can be replayed.

mod chance;
mod check;
mod client;
mod clock;
mod cluster;
mod disk;
mod driver;
mod faults;
mod happen;
mod machine;
pub mod model;
#[cfg(feature = "mutants")]
mod mutants;
mod network;
mod observe;
mod plan;
mod recovery;
mod report;
mod situation;
mod story;
mod workload;

#[cfg(feature = "mutants")]
pub use mutants::{Found, Mutant, expect_panics, hunt};
pub use plan::Plan;
pub use report::{FAULTS, Report, Violation};
pub use situation::{Situation, Situations};
pub use story::{Arrow, Line, Mark, Story};

use cluster::Cluster;

/// Runs the life that `seed` stands for, from first election to the recovery after its last fault.
///
/// # Errors
/// The first [`Violation`] of a safety property, or of liveness once the faults have ended.
pub fn run(seed: u64) -> Result<Report, Box<Violation>> {
    Cluster::new(Plan::from_seed(seed)).run()
}

/// The violation that a life shows, without its story.
#[cfg(feature = "mutants")]
fn first_violation(seed: u64) -> Option<Box<Violation>> {
    Cluster::new(Plan::from_seed(seed)).run_guarded().err()
}

/// A run together with its story.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What the seed stands for.
    pub plan: Plan,
    /// How it ended.
    pub outcome: Result<Report, Box<Violation>>,
    /// What happened, the last million lines at most.
    pub story: Story,
}

/// Runs the life of `seed` again, and writes everything down.
pub fn replay(seed: u64) -> Replay {
    let plan = Plan::from_seed(seed);
    let (outcome, story) = Cluster::new(plan.clone()).run_told(STORY_LINES_MAX);
    Replay {
        plan,
        outcome,
        story,
    }
}

const STORY_LINES_MAX: usize = 1_000_000;
