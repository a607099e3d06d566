//! Streams the entries in with many writers, and measures.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::input::Input;
use crate::client::{Changed, Client};
use crate::failure::{Failure, OrFail};
use crate::terminal::say;

/// The stream while it runs. Shared by its writers.
#[derive(Debug)]
pub(super) struct Stream {
    input: Arc<Input>,
    client: Arc<Client>,
    bar: ProgressBar,
    next: AtomicU64,
    acknowledged: AtomicU64,
    half: Notify,
    three_quarters: Notify,
    outage: Mutex<Option<Outage>>,
    recovered: OnceLock<(Duration, String)>,
    latency: Mutex<Histogram<u64>>,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// Of the whole stream.
    pub(super) took: Duration,
    /// Of each write in microseconds, repetitions included.
    pub(super) latency: Histogram<u64>,
    /// From the kill to the first acknowledgement of another leader, and that leader's address.
    pub(super) outage: Option<(Duration, String)>,
}

/// A leader that was killed.
#[derive(Debug)]
struct Outage {
    began: Instant,
    killed: String,
}

impl Stream {
    pub(super) fn new(
        input: Arc<Input>,
        client: Arc<Client>,
        bar: ProgressBar,
    ) -> Result<Arc<Self>, Failure> {
        // In microseconds, up to two minutes, three digits.
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3);
        Ok(Arc::new(Self {
            input,
            client,
            bar,
            next: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            half: Notify::new(),
            three_quarters: Notify::new(),
            outage: Mutex::new(None),
            recovered: OnceLock::new(),
            latency: Mutex::new(latency.or_fail(|| "latencies".into())?),
        }))
    }

    /// Writes everything with `writers` writers at once.
    pub(super) async fn run(self: Arc<Self>, writers: u16) -> Result<Measured, Failure> {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            tasks.spawn(Arc::clone(&self).write());
        }
        while let Some(writer) = tasks.join_next().await {
            writer.or_fail(|| "a writer failed".into())??;
        }
        let took = started.elapsed();
        self.bar.finish_and_clear();
        let outage = self.recovered.get().cloned();
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Measured {
            took,
            latency: latency.clone(),
            outage,
        })
    }

    /// Says something without disturbing the progress bar.
    pub(super) fn tell(&self, words: fmt::Arguments<'_>) {
        self.bar.suspend(|| say(words));
    }

    /// Waits until half of the entries are acknowledged.
    pub(super) async fn half_done(&self) {
        self.half.notified().await;
    }

    /// Waits until three quarters are.
    pub(super) async fn three_quarters_done(&self) {
        self.three_quarters.notified().await;
    }

    /// How many entries are acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Says that the leader at this address is killed now.
    pub(super) fn leader_killed(&self, killed: String) {
        let began = Instant::now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        *outage = Some(Outage { began, killed });
    }

    /// One writer: takes the next entry, writes it, waits for the answer, and so on.
    async fn write(self: Arc<Self>) -> Result<(), Failure> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((key, value)) = self.input.entry(number) else {
                return Ok(());
            };
            let asked = Instant::now();
            let changed = self.client.put(&key, &value, WRITE_WITHIN).await;
            let changed = changed.or_fail(|| format!("entry {number} could not be written"))?;
            self.count(asked.elapsed(), changed);
        }
    }

    fn count(&self, took: Duration, changed: Changed) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saturating_record(micros);
        let acknowledged = self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
        let entries = self.input.entries();
        if acknowledged == entries / 2 {
            self.half.notify_one();
        }
        if acknowledged == entries - entries / 4 {
            self.three_quarters.notify_one();
        }
        self.bar.inc(1);
        if self.recovered.get().is_none() {
            let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
            // Answers that the killed leader had sent may still come in.
            if let Some(outage) = outage.as_ref().filter(|outage| outage.killed != changed.by) {
                let first = (outage.began.elapsed(), changed.by);
                // Only one task runs at a time here, and the first one counts.
                let _ = self.recovered.set(first);
            }
        }
    }
}

/// An election takes well below a second; half a minute means that something is wrong.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
