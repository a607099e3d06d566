//! What a run showed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::situation::Situations;

/// The figures of a run without a violation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Simulated time.
    pub time: Duration,
    /// How much of it passed while faults went on. The rest is recovery, calm, and lives without faults.
    pub faulty_time: Duration,
    /// Voters.
    pub nodes: u64,
    /// Calls of [`crate::consensus::Raft::step`].
    pub steps: u64,
    /// Entries committed.
    pub committed: u64,
    /// Writes acknowledged to clients.
    pub writes: u64,
    /// Reads answered, of every kind.
    pub reads: u64,
    /// Elections won.
    pub elections: u64,
    /// What happened how often: [faults](FAULTS), and what became of operations.
    pub counts: BTreeMap<&'static str, u64>,
    /// The rare situations that were met.
    pub situations: Situations,
}

/// The names of the faults among [`Report::counts`].
pub const FAULTS: &[&str] = &[
    "crashes",
    "aimed crashes",
    "disk stalls",
    "slow disks",
    "full disks",
    "writes without room",
    "failed writes",
    "failed syncs",
    "rotten records",
    "rotten votes",
    "rotten snapshots",
    "rotten descriptions",
    "lost disks",
    "disks rolled back",
    "disks swapped",
    "disks wiped",
    "disks stalled by aim",
    "clock jumps",
    "drifting clocks",
    "partitions",
    "one-way partitions",
    "flapping links",
    "pauses",
    "elections kicked",
    "messages lost",
    "messages repeated",
    "messages delayed",
    "messages reordered",
    "snapshots lost",
];

/// A promise of Raft that was broken, and how to see it again.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which run.
    pub seed: u64,
    /// When, in simulated time.
    pub at: Duration,
    /// Which property, as the thesis names it.
    pub property: &'static str,
    /// What was seen.
    pub detail: String,
    /// The last steps before it.
    pub trace: Vec<String>,
    /// The call that runs it again and tells its whole story.
    pub again: String,
}

impl Report {
    /// How many faults of every kind there were.
    pub fn faults(&self) -> u64 {
        let counts = FAULTS.iter().filter_map(|fault| self.counts.get(fault));
        counts.sum()
    }

    /// Whether so little happened that it proves nothing: nobody was elected, hardly anything was
    /// committed, or nothing went wrong.
    pub fn is_weak(&self) -> bool {
        self.elections == 0 || self.committed < COMMITTED_LEAST || self.faults() == 0
    }

    /// Adds the figures of another run.
    pub fn add(&mut self, other: &Self) {
        self.time += other.time;
        self.faulty_time += other.faulty_time;
        self.nodes = self.nodes.max(other.nodes);
        self.steps += other.steps;
        self.committed += other.committed;
        self.writes += other.writes;
        self.reads += other.reads;
        self.elections += other.elections;
        self.situations.add(&other.situations);
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {} after {:?}: {}: {}\nreplay: {}",
            self.seed, self.at, self.property, self.detail, self.again
        )
    }
}

impl std::error::Error for Violation {}

/// A life with fewer commits is weak.
const COMMITTED_LEAST: u64 = 20;
