//! How many snapshots travel at once, and how fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::config::TransportConfig;

/// The bounds of all streams together.
#[derive(Debug)]
pub(crate) struct SnapshotStreams {
    pub(crate) outgoing: Arc<Semaphore>,
    pub(crate) incoming: Arc<Semaphore>,
    pub(crate) pace: Pace,
}

/// Lets so many bytes pass in a second. Streams that ask at the same time take turns.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next bytes may pass.
    next: Mutex<Instant>,
}

impl SnapshotStreams {
    pub(crate) fn new(config: &TransportConfig) -> Self {
        let room = || Arc::new(Semaphore::new(config.snapshot_streams_max));
        Self {
            outgoing: room(),
            incoming: room(),
            pace: Pace::new(config.snapshot_rate.map(|rate| rate.0)),
        }
    }
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until `bytes` may pass. What was not used while nobody sent is not saved up.
    pub(crate) async fn pass(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            let micros = bytes.saturating_mul(1_000_000) / rate.max(1);
            *next = turn + Duration::from_micros(micros);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_given_rate_whoever_asks() {
        let pace = Arc::new(Pace::new(Some(1_000)));
        let began = Instant::now();
        let streams = (0..4).map(|_| {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move {
                for _ in 0..5 {
                    pace.pass(100).await;
                }
            })
        });
        for stream in streams.collect::<Vec<_>>() {
            stream.await.unwrap();
        }
        // The last of 20 parts waits for the 19 before it.
        assert_eq!(began.elapsed().as_millis(), 1_900);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_not_saved_up() {
        let pace = Pace::new(Some(1_000));
        tokio::time::advance(Duration::from_secs(60)).await;
        let began = Instant::now();
        for _ in 0..3 {
            pace.pass(1_000).await;
        }
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let began = Instant::now();
        Pace::new(None).pass(u64::MAX).await;
        assert!(began.elapsed().is_zero());
    }
}
