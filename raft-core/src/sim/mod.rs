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
mod network;
mod plan;
mod recovery;
mod report;
mod workload;

pub use plan::Plan;
pub use report::{Report, Violation};

use cluster::Cluster;

/// Runs the life that `seed` stands for, from first election to the recovery after its last fault.
///
/// # Errors
/// The first [`Violation`] of a safety property, or of liveness once the faults have ended.
pub fn run(seed: u64) -> Result<Report, Box<Violation>> {
    Cluster::new(Plan::from_seed(seed)).run()
}
