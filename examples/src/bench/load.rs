//! Writers in a closed loop, and what they measure.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use raft_core::node::Node;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::machine::cpu_time;
use super::options::BenchOptions;
use crate::failure::{Failure, OrFail};

/// What one line of the table is made of.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) took: Duration,
    /// CPU time of the whole process: all nodes and all writers.
    pub(super) cpu: Duration,
    /// Of each write, in microseconds.
    pub(super) latency: Histogram<u64>,
    /// Writes that failed, for instance because the leader changed.
    pub(super) failed: u64,
}

/// What the writers share.
struct Load {
    leader: Node,
    payload: Bytes,
    phase: AtomicU8,
    failed: AtomicU64,
    latency: Mutex<Histogram<u64>>,
}

/// Has `writers` writers write for the time that the options say.
pub(super) async fn measure(
    cluster: &Cluster,
    writers: u16,
    options: &BenchOptions,
) -> Result<Measured, Failure> {
    let latency = Histogram::new_with_bounds(1, 120_000_000, 3);
    let load = Arc::new(Load {
        leader: cluster.leader().await?,
        payload: Bytes::from(vec![0x5a; PAYLOAD_BYTES]),
        phase: AtomicU8::new(WARMING_UP),
        failed: AtomicU64::new(0),
        latency: Mutex::new(latency.or_fail(|| "latencies".into())?),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        tasks.spawn(write(Arc::clone(&load)));
    }
    sleep(options.measured_time() / 2).await;
    let (started, cpu_before) = (Instant::now(), cpu_time());
    load.phase.store(MEASURING, Ordering::Relaxed);
    sleep(options.measured_time()).await;
    load.phase.store(DONE, Ordering::Relaxed);
    let (took, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu_before));
    while let Some(writer) = tasks.join_next().await {
        writer.or_fail(|| "a writer failed".into())??;
    }
    let latency = load.latency.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Measured {
        took,
        cpu,
        latency: latency.clone(),
        failed: load.failed.load(Ordering::Relaxed),
    })
}

async fn write(load: Arc<Load>) -> Result<(), Failure> {
    loop {
        let asked = Instant::now();
        let answer = load.leader.propose(load.payload.clone()).await;
        let phase = load.phase.load(Ordering::Relaxed);
        if phase == DONE {
            return Ok(());
        }
        match answer {
            Ok(_) if phase == MEASURING => {
                let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                let latency = load.latency.lock();
                latency
                    .unwrap_or_else(PoisonError::into_inner)
                    .saturating_record(micros);
            }
            Ok(_) => {}
            Err(error) if error.is_retryable() => {
                let failed = load.failed.fetch_add(1, Ordering::Relaxed) + 1;
                if failed > FAILED_MAX {
                    return Err(Failure::new(format!("{failed} writes failed: {error}")));
                }
                sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(Failure::of(&error)),
        }
    }
}

/// The payload of a write.
pub(super) const PAYLOAD_BYTES: usize = 256;

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const DONE: u8 = 2;
const FAILED_MAX: u64 = 100_000;
const RETRY_PAUSE: Duration = Duration::from_millis(5);
