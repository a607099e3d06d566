//! When a stream has to be made anew, because what its trust rests on has changed.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::chance::jittered;

/// Tells the holder of a stream that certificates, authorities or revocations were read anew since
/// the stream was made, so that trust that was withdrawn ends.
///
/// Clones know what the original knew: a clone of one that is due is due.
#[derive(Clone, Debug)]
pub struct Renewals {
    /// Changes with every reload. None where trust does not change.
    generation: Option<watch::Receiver<u64>>,
    within: Duration,
}

/// How long the other end may take to notice.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

impl Renewals {
    /// For streams whose trust never changes.
    pub fn never() -> Self {
        Self {
            generation: None,
            within: Duration::ZERO,
        }
    }

    /// For a stream that is about to be made: due `within` a change of `generation`. Take it before
    /// anything of that generation is looked at.
    pub fn after(generation: watch::Receiver<u64>, within: Duration) -> Self {
        Self {
            generation: Some(generation),
            within,
        }
    }

    /// Waits until the stream has to be made anew. Not all streams are due at once. Call it once a
    /// stream: a wait that was dropped may not come back.
    pub async fn due(mut self) {
        self.changed().await;
        sleep(jittered(self.within)).await;
    }

    /// Waits until nothing of that age should be left, whatever the other end does.
    pub async fn over(mut self) {
        self.changed().await;
        sleep(self.within + PATIENCE).await;
    }

    /// Whether a new stream should not be made on what this stands for.
    pub fn is_old(&self) -> bool {
        let changed = |generation: &watch::Receiver<u64>| generation.has_changed().unwrap_or(false);
        self.generation.as_ref().is_some_and(changed)
    }

    async fn changed(&mut self) {
        let Some(generation) = &mut self.generation else {
            return pending().await;
        };
        if generation.changed().await.is_err() {
            // Nobody is left who could change it.
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    const WITHIN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_due_within_the_bound_after_a_change_and_never_before() {
        let (change, generation) = watch::channel(0);
        let renewals = Renewals::after(generation, WITHIN);
        let early = timeout(10 * WITHIN, renewals.clone().due()).await;
        assert!(early.is_err() && !renewals.is_old());
        change.send_replace(1);
        assert!(renewals.is_old());
        let began = Instant::now();
        renewals.clone().due().await;
        assert!((WITHIN / 2..=WITHIN).contains(&began.elapsed()));
        renewals.over().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_was_made_after_the_change_is_not_due() {
        let (change, generation) = watch::channel(0);
        change.send_replace(1);
        let renewals = Renewals::after(change.subscribe(), WITHIN);
        drop(generation);
        assert!(timeout(10 * WITHIN, renewals.clone().due()).await.is_err());
        drop(change);
        assert!(timeout(10 * WITHIN, renewals.over()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_changes_nothing_is_due() {
        let never = timeout(10 * WITHIN, Renewals::never().due()).await;
        assert!(never.is_err() && !Renewals::never().is_old());
    }
}
