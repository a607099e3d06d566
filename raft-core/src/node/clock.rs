//! The only file that reads the clock.

use tokio::time::Instant;

use crate::time::Timestamp;

/// Turns the system's monotonic clock into the core's [`Timestamp`] and back.
///
/// It is tokio's clock, so that a test which pauses time pauses the node too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.start.elapsed()
    }

    /// When the timer must fire for `at`.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(Timestamp::ZERO)
    }
}
