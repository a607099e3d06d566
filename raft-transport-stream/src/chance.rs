//! A little chance, so that many do not do the same at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A random duration between a half and the whole of `pause`.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // The hasher is seeded by chance, which is all that is asked for here.
    let chance = RandomState::new().hash_one(pause);
    let half = pause / 2;
    half + half.mul_f64(f64::from(u32::try_from(chance >> 32).unwrap_or(0)) / f64::from(u32::MAX))
}
