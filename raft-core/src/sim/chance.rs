//! Chance from a seed, one stream a concern, so that one does not shift the others.

use std::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A stream of random choices. The same seed gives the same stream.
#[derive(Clone, Debug)]
pub struct Chance(Pcg64Mcg);

impl Chance {
    pub(super) fn new(seed: u64, concern: u64) -> Self {
        // Neighbouring seeds must not give neighbouring streams.
        let mixed = (seed ^ concern.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(Pcg64Mcg::seed_from_u64(
            mixed ^ seed.rotate_left(17) ^ concern,
        ))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, or zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a million.
    pub fn happens(&mut self, per_million: u64) -> bool {
        self.below(1_000_000) < per_million
    }

    /// One of two, evenly.
    pub fn coin(&mut self) -> bool {
        self.number() & (1 << 40) != 0
    }

    /// A rate between one in a million and `high`, every order of magnitude alike; often zero.
    pub(super) fn rate(&mut self, high: u64) -> u64 {
        if self.coin() {
            return 0;
        }
        high >> self.below(u64::from(high.max(1).ilog2()) + 1)
    }

    /// A duration from `low` to `high`, both included.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(self.between(nanos(low), nanos(high.max(low))))
    }

    /// One of them, each as likely; `None` if there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(at)
    }
}
