//! The only file that reads the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::time::Timestamp;

/// Turns the system's monotonic clock into the core's [`Timestamp`] and back.
///
/// It is tokio's clock, so that a test which pauses time pauses the node too, and with it the time
/// that the machine has slept: the monotonic clock of Linux stands still then, while leases run out
/// everywhere else.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    start: Instant,
    asleep: Asleep,
}

/// How long the machine has slept, as far as this was noticed. Clones agree on it.
#[derive(Clone, Debug)]
struct Asleep {
    before: Duration,
    /// Nanoseconds since the start.
    since: Arc<AtomicU64>,
}

/// The two clocks are read one after the other: less than this is no sleep.
const SLEEP_MIN: Duration = Duration::from_millis(1);

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            // Measured too short, it would look like a sleep later: the longest of three counts.
            asleep: Asleep::start(time_suspended().max(time_suspended()).max(time_suspended())),
        }
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Timestamp {
        let asleep = self.asleep.observe(time_suspended());
        Timestamp::ZERO + self.start.elapsed() + asleep
    }

    /// When the timer must fire for `at`.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        let since_start = at.since(Timestamp::ZERO);
        self.start + since_start.saturating_sub(self.asleep.known())
    }
}

impl Asleep {
    fn start(before: Duration) -> Self {
        let since = Arc::default();
        Self { before, since }
    }

    /// The sleep since the start, given all that was measured since the machine started. A thread
    /// that is interrupted between the two clocks measures too little: time never goes back for it.
    fn observe(&self, measured: Duration) -> Duration {
        let since = measured.saturating_sub(self.before);
        if since >= self.known() + SLEEP_MIN {
            let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
            self.since.fetch_max(nanos, Ordering::Relaxed);
        }
        self.known()
    }

    fn known(&self) -> Duration {
        Duration::from_nanos(self.since.load(Ordering::Relaxed))
    }
}

/// What the machine has slept since it started: at most that, for the clock that goes on is read
/// first.
#[cfg(target_os = "linux")]
fn time_suspended() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let time = clock_gettime(clock);
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
    };
    let awake_and_asleep = read(ClockId::Boottime);
    awake_and_asleep.saturating_sub(read(ClockId::Monotonic))
}

/// Elsewhere only the monotonic clock is read.
#[cfg(not(target_os = "linux"))]
fn time_suspended() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn time_that_the_machine_has_slept_has_passed() {
        let asleep = Asleep::start(HOUR);
        assert_eq!(asleep.observe(HOUR), Duration::ZERO);
        assert_eq!(asleep.observe(3 * HOUR), 2 * HOUR);
        // Interrupted between the clocks, and then the noise of reading two of them.
        assert_eq!(asleep.observe(2 * HOUR), 2 * HOUR);
        assert_eq!(asleep.observe(3 * HOUR + SLEEP_MIN / 2), 2 * HOUR);
        assert_eq!(asleep.observe(4 * HOUR), 3 * HOUR);
    }

    #[test]
    fn a_timer_fires_at_the_time_it_was_set_for() {
        let clock = Clock::start();
        let at = Timestamp::from_millis(7_200_000);
        assert_eq!(clock.instant(at), clock.start + 2 * HOUR);
        clock.asleep.observe(clock.asleep.before + HOUR);
        assert_eq!(clock.instant(at), clock.start + HOUR);
    }

    /// Neither clock is one that an administrator sets.
    #[test]
    fn a_machine_that_is_awake_measures_the_same_again() {
        let asleep = Asleep::start(time_suspended());
        assert!(asleep.observe(time_suspended()) < HOUR);
    }
}
