//! Kills (SIGKILL) and restarts nodes at random points of a running workload, again and again, and
//! checks that no acknowledged write is lost. For each store that keeps anything:
//!
//! ```sh
//! RAFT_KILLS=200 cargo test --release -p raft-examples --test programs kill_and_restart -- --nocapture
//! ```
//!
//! `RAFT_KILLS=N` says how often, `RAFT_TRANSPORT=WORD` over which transport; `RAFT_SEED=N` repeats the
//! choices of a run. The timing is the machine's own.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use crate::common::PATIENCE;
use raft_examples::client::Client;
use raft_examples::config::{StoreKind, TransportKind};
use raft_examples::local::LocalCluster;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Chooses by a seed.
struct Dice(Pcg64);

/// Writers that count what was acknowledged to them.
struct Workload {
    client: Client,
    done: AtomicBool,
    acknowledged: watch::Sender<u64>,
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn no_acknowledged_write_is_lost_on_redb() {
    survive(StoreKind::Redb).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn no_acknowledged_write_is_lost_on_rocksdb() {
    survive(StoreKind::Rocksdb).await;
}

async fn survive(store: StoreKind) {
    let mut dice = Dice::from_environment();
    let kills = chosen("RAFT_KILLS").unwrap_or(KILLS);
    let transport = chosen("RAFT_TRANSPORT").unwrap_or(TransportKind::Tcp);
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = crate::common::running(directory.path(), NODES, |config| {
        config.store = store;
        config.transport = transport;
        // Small enough that restarts meet snapshots, and laggards receive them.
        config.limits.snapshot_entries = Some(1_000);
        config.limits.trailing_entries = Some(100);
    })
    .await;
    let load = Arc::new(Workload {
        client: cluster.client(),
        done: AtomicBool::new(false),
        acknowledged: watch::Sender::new(0),
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(Arc::clone(&load), writer));
    }
    for kill in 0..kills {
        kill_and_restart(&mut cluster, &load, &mut dice, kill).await;
    }
    load.wait_for_more(1).await;
    load.done.store(true, Ordering::Relaxed);
    let mut counts = Vec::new();
    while let Some(written) = writers.join_next().await {
        counts.push(written.unwrap());
    }
    println!(
        "{} writes were acknowledged",
        counts.iter().map(|(_, count)| count).sum::<u64>()
    );
    for node in 1..=u64::from(NODES) {
        read_back(&cluster, &load, node, &counts).await;
    }
    let mut digests = Vec::new();
    for node in 1..=u64::from(NODES) {
        let address = cluster.address(node);
        digests.push(
            load.client
                .digest_of(&address, PATIENCE)
                .await
                .unwrap()
                .digest,
        );
    }
    assert!(
        digests.windows(2).all(|pair| pair[0] == pair[1]),
        "{digests:?}"
    );
    cluster.stop_all().await.unwrap();
}

/// Lets some writes pass, kills one node or all of them, lets some more pass if that is possible,
/// and starts them again.
async fn kill_and_restart(cluster: &mut LocalCluster, load: &Workload, dice: &mut Dice, kill: u64) {
    load.wait_for_more(dice.below(120)).await;
    let all = dice.below(6) == 0;
    let victims: Vec<u64> = match all {
        true => (1..=NODES.into()).collect(),
        false => vec![1 + dice.below(NODES.into())],
    };
    println!(
        "kill {kill}: nodes {victims:?}, {} writes acknowledged",
        load.count()
    );
    for victim in &victims {
        cluster.kill(*victim);
    }
    // The others go on: the victim comes back at once, or late. Without a majority nothing passes.
    if !all && dice.below(2) == 0 {
        load.wait_for_more(dice.below(120)).await;
    }
    for victim in victims {
        cluster.start(victim).unwrap();
    }
}

async fn write(load: Arc<Workload>, writer: u64) -> (u64, u64) {
    let mut count = 0;
    while !load.done.load(Ordering::Relaxed) {
        let (key, value) = entry(writer, count);
        load.client
            .put(&key, value.as_bytes(), PATIENCE)
            .await
            .unwrap();
        count += 1;
        load.acknowledged
            .send_modify(|acknowledged| *acknowledged += 1);
    }
    (writer, count)
}

async fn read_back(cluster: &LocalCluster, load: &Arc<Workload>, node: u64, counts: &[(u64, u64)]) {
    let mut readers = JoinSet::new();
    for &(writer, count) in counts {
        let (load, address) = (Arc::clone(load), cluster.address(node));
        readers.spawn(async move {
            for number in 0..count {
                let (key, value) = entry(writer, number);
                let read = load
                    .client
                    .get_from(&address, &key, PATIENCE)
                    .await
                    .unwrap();
                assert_eq!(
                    read.as_deref(),
                    Some(value.as_bytes()),
                    "{key} at node {node}"
                );
            }
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

fn entry(writer: u64, number: u64) -> (String, String) {
    (
        format!("{writer}/{number}"),
        format!("value {number} of writer {writer}"),
    )
}

impl Workload {
    fn count(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    async fn wait_for_more(&self, count: u64) {
        let mut acknowledged = self.acknowledged.subscribe();
        let wanted = self.count() + count;
        let reached = acknowledged.wait_for(|now| *now >= wanted);
        timeout(PATIENCE, reached).await.unwrap().unwrap();
    }
}

/// What a variable of the environment says, if it is there.
fn chosen<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

impl Dice {
    fn from_environment() -> Self {
        let seed = chosen("RAFT_SEED").unwrap_or_else(|| {
            UNIX_EPOCH
                .elapsed()
                .unwrap_or(Duration::ZERO)
                .subsec_nanos()
                .into()
        });
        println!("RAFT_SEED={seed}");
        Self(Pcg64::seed_from_u64(seed))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
}

const NODES: u16 = 3;
const WRITERS: u64 = 16;
/// In the gate; by hand many more.
const KILLS: u64 = 50;
