//! Each node's own clock: it starts somewhere, and runs a little fast or slow.

use std::time::Duration;

use crate::time::Timestamp;

/// Translates the world's time into a node's, and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    offset_nanos: i64,
    /// Gains or loses this many nanoseconds a millisecond.
    drift: i64,
}

impl Clock {
    pub(super) fn new(offset_nanos: u64, drift: i64) -> Self {
        Self {
            offset_nanos: i64::try_from(offset_nanos).unwrap_or(i64::MAX / 2),
            drift,
        }
    }

    /// Whether it runs fast or slow.
    pub(super) fn drifts(&self) -> bool {
        self.drift != 0
    }

    /// Shows another time from now on, and runs on from there.
    pub(super) fn jump(&mut self, by: Duration, is_forward: bool) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(0);
        self.offset_nanos += if is_forward { by } else { -by };
    }

    pub(super) fn local(&self, world: Timestamp) -> Timestamp {
        let nanos = i128::from(world.as_nanos());
        let drifted = nanos + nanos * i128::from(self.drift) / 1_000_000;
        let local = drifted + i128::from(self.offset_nanos);
        Timestamp::from_nanos(u64::try_from(local.max(0)).unwrap_or(u64::MAX))
    }

    /// The first world time at which this clock shows at least `local`.
    pub(super) fn world(&self, local: Timestamp) -> Timestamp {
        let since_start = i128::from(local.as_nanos()) - i128::from(self.offset_nanos);
        let world = since_start.max(0) * 1_000_000 / (1_000_000 + i128::from(self.drift));
        let mut world = Timestamp::from_nanos(u64::try_from(world).unwrap_or(u64::MAX));
        while self.local(world) < local {
            world = Timestamp::from_nanos(world.as_nanos() + 1);
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_shows_the_time_after_the_jump() {
        let mut clock = Clock::new(1_000_000, 0);
        let second = Timestamp::from_nanos(1_000_000_000);
        for (by, is_forward, shown) in [(7, true, 8), (3, false, 5)] {
            clock.jump(Duration::from_millis(by), is_forward);
            let expected = Timestamp::from_nanos(1_000_000_000 + shown * 1_000_000);
            assert_eq!(clock.local(second), expected);
            assert_eq!(clock.world(expected), second);
        }
    }

    #[test]
    fn a_local_deadline_is_never_reached_too_early() {
        for drift in [-100_000, -7, 0, 3, 100_000] {
            let clock = Clock::new(12_345, drift);
            for local in [20_000, 1_000_003, 999_999_999_999] {
                let local = Timestamp::from_nanos(local);
                assert!(clock.local(clock.world(local)) >= local, "drift {drift}");
            }
        }
    }
}
