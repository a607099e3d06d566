//! What a seed stands for: the cluster's size and settings, and how likely each fault is.

use std::time::Duration;

use super::adversary::Adversary;
use super::chance::Chance;
use super::mishap::Mishaps;
use crate::config::Config;

/// How one simulated life goes. Rates are per million; many are zero in many seeds, so that each
/// fault also meets a world without the others (swarm testing).
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance begins.
    pub seed: u64,
    /// Voters at the start.
    pub nodes: u64,
    /// Nodes that may join.
    pub spares: u64,
    /// Changes of membership, each millisecond.
    pub churn: u64,
    /// Transfers of leadership, each millisecond.
    pub transfer: u64,
    /// How long faults go on. Then everything heals, and the cluster has to recover.
    pub length: Duration,
    /// The tunables of every node; small, so that limits are met.
    pub config: Config,
    /// Messages lost.
    pub loss: u64,
    /// Messages that arrive twice.
    pub duplication: u64,
    /// Messages that take up to ten election timeouts.
    pub long_delay: u64,
    /// The usual way takes between these.
    pub latency: (Duration, Duration),
    /// A sync takes between these.
    pub sync: (Duration, Duration),
    /// Syncs that stall for up to four seconds.
    pub disk_stall: u64,
    /// Crashes, each millisecond.
    pub crash: u64,
    /// Crashes aimed right after a vote, an election, or the start of a sync.
    pub aimed_crash: u64,
    /// Partitions, each millisecond.
    pub partition: u64,
    /// Pauses of a process, each millisecond.
    pub pause: u64,
    /// Elections begun for no reason, each millisecond.
    pub election_kick: u64,
    /// Snapshots that somebody asks a node for, each millisecond.
    pub snapshot_requests: u64,
    /// Snapshots that fail on their way.
    pub snapshot_failure: u64,
    /// Clock drift, in nanoseconds a millisecond, either way.
    pub drift: u64,
    /// The time between two operations of a client.
    pub think: Duration,
    /// Clients.
    pub clients: u64,
    /// What is aimed at somebody.
    pub adversary: Adversary,
    /// How disks, clocks and links fail.
    pub mishaps: Mishaps,
    /// Disks that are replaced by an older image, or by another node's, each millisecond. Only where
    /// lost nodes are replaced.
    pub tampering: u64,
}

impl Plan {
    /// The plan of a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0);
        let millis = Duration::from_millis;
        // One seed in ten is quiet: what goes wrong there has no excuse.
        let is_quiet = seed % 10 == 9;
        let mut rate = |high: u64| if is_quiet { 0 } else { chance.rate(high) };
        let (loss, duplication, long_delay) = (rate(200_000), rate(100_000), rate(50_000));
        let (disk_stall, crash, aimed_crash) = (rate(10_000), rate(2_000), rate(200_000));
        let (partition, pause, election_kick) = (rate(2_000), rate(1_000), rate(2_000));
        let (snapshot_failure, drift) = (rate(500_000), rate(100_000));
        let (churn, transfer) = (rate(4_000), rate(2_000));
        let nodes = *chance
            .pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 7])
            .unwrap_or(&3);
        let spares = chance.below(4);
        let slow = chance.coin();
        let lease_reads = chance.happens(300_000);
        let adversary = Adversary::from_seed(seed);
        let mut plan = Self {
            seed,
            nodes,
            spares,
            churn,
            transfer,
            length: Duration::from_secs(chance.between(5, 40)),
            config: Config {
                lease_reads,
                ..config(&mut chance)
            },
            loss,
            duplication,
            long_delay,
            latency: (millis(0), millis(if slow { 40 } else { 3 })),
            sync: (millis(0), millis(if chance.coin() { 30 } else { 2 })),
            disk_stall,
            crash,
            aimed_crash,
            partition,
            pause,
            election_kick,
            snapshot_requests: if is_quiet {
                0
            } else {
                Chance::new(seed, 13).rate(2_000)
            },
            snapshot_failure,
            drift,
            think: millis(chance.between(1, 200)),
            clients: chance.between(1, 6),
            adversary: adversary.clone(),
            mishaps: Mishaps::default(),
            tampering: 0,
        };
        adversary.sharpen(&mut plan);
        plan.config.snapshot_interval = snapshot_interval(seed, &plan.config);
        // Only now is it known whether leases trust the clocks.
        plan.mishaps = Mishaps::from_seed(seed, plan.config.lease_reads);
        if plan.mishaps.do_harm() {
            plan.tampering = Chance::new(seed, 16).rate(4_000);
        }
        plan
    }

    /// Three nodes that nothing happens to, and one client that writes and reads now and then.
    pub(super) fn light(seed: u64) -> Self {
        let none = 0;
        Self {
            nodes: 3,
            spares: 0,
            churn: none,
            transfer: none,
            length: Duration::from_secs(600),
            config: Config::default(),
            loss: none,
            duplication: none,
            long_delay: none,
            disk_stall: none,
            crash: none,
            aimed_crash: none,
            partition: none,
            pause: none,
            election_kick: none,
            snapshot_requests: none,
            snapshot_failure: none,
            drift: none,
            think: Duration::from_millis(50),
            clients: 1,
            adversary: Adversary::default(),
            mishaps: Mishaps::default(),
            tampering: none,
            ..Self::from_seed(seed)
        }
    }
}

fn config(chance: &mut Chance) -> Config {
    let mut config = Config::default();
    if chance.coin() {
        config.snapshot_entries = chance.between(2, 50);
        config.trailing_entries = chance.below(30);
    }
    if chance.coin() {
        config.append_bytes_max = usize_between(chance, 1, 400);
        config.in_flight_messages_max = usize_between(chance, 1, 4);
        config.in_flight_bytes_max = usize_between(chance, 1, 1_000);
    }
    if chance.coin() {
        config.cached_bytes_max = usize_between(chance, 1, 1_000);
    }
    if chance.coin() {
        config.applying_bytes_max = usize_between(chance, 1, 500);
    }
    if chance.coin() {
        config.unapplied_bytes_max = usize_between(chance, 1, 500);
    }
    config
}

/// In one life of six a snapshot is due by time, too.
fn snapshot_interval(seed: u64, config: &Config) -> Option<Duration> {
    let mut chance = Chance::new(seed, 34);
    let is_timed = chance.below(6) == 0;
    let (low, high) = (config.election_timeout, 20 * config.election_timeout);
    is_timed.then(|| chance.duration(low, high))
}

fn usize_between(chance: &mut Chance, low: u64, high: u64) -> usize {
    usize::try_from(chance.between(low, high)).unwrap_or(usize::MAX)
}
