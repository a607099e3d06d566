//! The simulator: a whole cluster in one thread, on virtual time, from one seed.
//!
//! It drives the same [`Raft`](crate::consensus::Raft) as the node does, over a network that
//! loses, repeats, delays and reorders, and over disks that keep only what was synced. After every
//! step the checkers in `check` compare what happened with what Raft promises. The same seed
//! always gives the same run, so a failure can be replayed.
//!
//! ```text
//!               of the node itself                       played by the simulator
//!  start        node::recover                            lent_disk: stores on a simulated disk
//!  writing      node::log_writer                         disk: what a crash leaves
//!  applying     node::applier, node::replacing           replica, or a user's machine (own)
//!  snapshots    node::snapshotting, transport::Inbox     streams: their way to another node
//!  answers      node::callers: waiting, forwarding,      calls: who asks, and hears
//!               administration
//!  event loop   none: one thing happens after another    driver, happen: on virtual time
//! ```

mod adversary;
mod aims;
mod applying;
mod burst;
mod calls;
mod calm;
mod chance;
mod check;
mod client;
mod clock;
mod cluster;
mod damage;
mod disk;
mod driver;
mod faults;
mod happen;
mod hardware;
mod lent_disk;
mod machine;
mod mishap;
pub mod model;
#[cfg(feature = "mutants")]
mod mutants;
mod network;
mod observe;
mod operator;
mod own;
mod parts;
mod plan;
mod repair;
mod replica;
mod report;
mod restoring;
mod rounds;
mod session_life;
mod situation;
mod snapshotting;
mod start;
mod story;
mod streams;
mod tampering;
mod watch;
mod wiped;
mod workload;

pub use adversary::Adversary;
pub use chance::Chance;
pub use mishap::Mishaps;
#[cfg(feature = "mutants")]
pub use mutants::{Found, Mutant, expect_panics, hunt, under};
pub use own::{Ending, Observed, Operation, Workload};
pub use plan::Plan;
pub use report::{FAULTS, Report, Violation};
pub use situation::{Situation, Situations};
pub use story::{Arrow, Line, Mark, Story};

use cluster::Cluster;
use own::Trial;
use session_life::SessionClients;

use crate::state_machine::StateMachine;

/// Runs a user's own machine through the life that `seed` stands for: a cluster of fresh machines
/// from `machine`, clients that do what `workload` says, and every fault that the simulator knows.
///
/// Besides what Raft promises, it checks what a state machine must keep: equal commands make equal
/// states and equal responses on every replica; a snapshot can be restored at any index, and what
/// was restored goes on like what never was; every response equals that of the committed log
/// replayed on a fresh machine; and whatever the workload checks itself. Operations are linearizable,
/// and each is answered or its node is down. See [the chapter of the
/// manual](crate::manual::simulate_your_own_machine).
///
/// # Errors
/// The first [`Violation`]: what was promised, what was seen, and the call that shows it again.
pub fn run<M, F, W>(seed: u64, machine: F, workload: W) -> Result<Report, Box<Violation>>
where
    M: StateMachine,
    F: Fn() -> M + Clone + 'static,
    W: Workload<M>,
{
    run_plan(&Plan::from_seed(seed), machine, workload)
}

/// As [`run`], by a plan of the user's: with their own [configuration](Plan::config), say.
///
/// # Errors
/// The first [`Violation`].
pub fn run_plan<M, F, W>(plan: &Plan, machine: F, workload: W) -> Result<Report, Box<Violation>>
where
    M: StateMachine,
    F: Fn() -> M + Clone + 'static,
    W: Workload<M>,
{
    Cluster::run(move || own(plan, machine.clone(), workload.clone()))
}

/// Runs a user's own machine through the life of `seed` again, and writes everything down.
pub fn replay<M, F, W>(seed: u64, machine: F, workload: W) -> Replay
where
    M: StateMachine,
    F: Fn() -> M + Clone + 'static,
    W: Workload<M>,
{
    replay_plan(&Plan::from_seed(seed), machine, workload)
}

/// As [`replay`], by a plan of the user's.
pub fn replay_plan<M, F, W>(plan: &Plan, machine: F, workload: W) -> Replay
where
    M: StateMachine,
    F: Fn() -> M + Clone + 'static,
    W: Workload<M>,
{
    told(own(plan, machine, workload))
}

fn own<M, F, W>(plan: &Plan, machine: F, workload: W) -> Cluster
where
    M: StateMachine,
    F: Fn() -> M + Clone + 'static,
    W: Workload<M>,
{
    let trial = Trial::new(plan.seed, machine, workload);
    let cluster = Cluster::new(plan.clone()).with(Box::new(trial));
    cluster.shown_by(|seed| format!("raft_core::sim::replay({seed}, machine, workload)"))
}

/// Runs the life that `seed` stands for with the simulator's own machine, from first election to
/// the recovery after its last fault.
///
/// # Errors
/// The first [`Violation`] of a safety property, or of liveness once the faults have ended.
pub fn life(seed: u64) -> Result<Report, Box<Violation>> {
    Cluster::run(|| own_life(seed))
}

/// The figures of a life of three nodes under a light load: no faults, one client, ten minutes.
/// What the simulator itself costs is best seen there.
///
/// # Errors
/// The first [`Violation`].
pub fn light_life(seed: u64) -> Result<Report, Box<Violation>> {
    Cluster::run(|| Cluster::new(Plan::light(seed)))
}

/// In one life of thirteen the clients use [sessions](crate::sessions).
fn own_life(seed: u64) -> Cluster {
    let cluster = Cluster::new(Plan::from_seed(seed));
    if seed % 13 != 6 {
        return cluster;
    }
    let trial = Trial::new(seed, session_life::machine, SessionClients::default());
    cluster.with(Box::new(trial))
}

/// The violation that a life shows, without its story.
#[cfg(feature = "mutants")]
fn first_violation(seed: u64) -> Option<Box<Violation>> {
    own_life(seed).run_guarded().err()
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

/// Runs the [`life`] of `seed` again, and writes everything down.
pub fn replay_life(seed: u64) -> Replay {
    told(own_life(seed))
}

fn told(cluster: Cluster) -> Replay {
    let plan = cluster.plan.clone();
    let (outcome, story) = cluster.run_told(STORY_LINES_MAX);
    Replay {
        plan,
        outcome,
        story,
    }
}

const STORY_LINES_MAX: usize = 1_000_000;
