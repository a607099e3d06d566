//! The core's timers: deadlines that it gives out, and time that comes back as an argument.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::time::Timestamp;

/// What time can bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// No leader was heard for too long (thesis §3.4).
    Election,
    /// A leader must be heard again.
    Heartbeat,
    /// A transfer of leadership has taken too long.
    Transfer,
    /// Reads that were forwarded to the leader are sent again, or given up.
    Reads,
    /// Proposals that were forwarded to the leader are given up.
    Forwards,
    /// What was applied is to be in a snapshot.
    Snapshot,
}

const COUNT: usize = Timer::Snapshot as usize + 1;

/// A deadline for each timer that runs, and the chance that elections need.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    deadlines: [Option<Timestamp>; COUNT],
    chance: Pcg64Mcg,
}

/// What is still to be drawn by chance is no part of the situation.
impl Hash for Timers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            deadlines,
            chance: _,
        } = self;
        deadlines.hash(state);
    }
}

impl Timers {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            deadlines: [None; COUNT],
            chance: Pcg64Mcg::seed_from_u64(seed),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a place for every timer"
    )]
    pub(super) fn set(&mut self, timer: Timer, deadline: Timestamp) {
        self.deadlines[timer as usize] = Some(deadline);
    }

    /// Moves the deadline of `timer` to `deadline`, unless it is earlier already.
    pub(super) fn hasten(&mut self, timer: Timer, deadline: Timestamp) {
        let known = self.deadline(timer).unwrap_or(deadline);
        self.set(timer, known.min(deadline));
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a place for every timer"
    )]
    pub(super) fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a place for every timer"
    )]
    pub(super) fn deadline(&self, timer: Timer) -> Option<Timestamp> {
        self.deadlines[timer as usize]
    }

    /// The deadline of `timer` if it has passed; the timer is then stopped.
    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a place for every timer"
    )]
    pub(super) fn take_due(&mut self, timer: Timer, now: Timestamp) -> Option<Timestamp> {
        self.deadlines[timer as usize].take_if(|deadline| *deadline <= now)
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// A random time between `least` and twice that, drawn anew each time, so that two nodes that
    /// collide once do not collide again (thesis §3.4, §9.3).
    pub(super) fn randomised(&mut self, least: Duration) -> Duration {
        let nanos = u64::try_from(least.as_nanos())
            .unwrap_or(u64::MAX / 2)
            .max(1);
        least + Duration::from_nanos(self.chance.next_u64() % nanos)
    }

    /// A random time up to `most`.
    pub(super) fn within(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.chance.next_u64() % nanos)
    }

    /// A number that an earlier life of this node hardly used.
    pub(super) fn arbitrary(&mut self) -> u64 {
        self.chance.next_u64() >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_drawn_anew_and_differs_between_nodes() {
        const LEAST: Duration = Duration::from_millis(300);
        let draw = |seed| {
            let mut timers = Timers::new(seed);
            [(); 8].map(|()| timers.randomised(LEAST))
        };
        let (one, other) = (draw(1), draw(2));
        for waits in [one, other] {
            assert!(waits.iter().all(|wait| (LEAST..2 * LEAST).contains(wait)));
            assert!(waits.windows(2).all(|pair| pair[0] != pair[1]), "{waits:?}");
        }
        let collisions = one.iter().zip(other).filter(|(a, b)| **a == *b);
        assert_eq!(collisions.count(), 0);
    }
}
