//! A stable hash of 128 bits, by which equal situations are recognised.
//!
//! Every node's clock begins at [`CLOCK_START`], beyond every other number of the core. So a time
//! can be told from a count, and enters the hash by its distance from the node's present: two
//! situations that differ only in when they came about are one.

use std::hash::{Hash, Hasher};

use crate::time::Timestamp;

/// Where the clocks of the model begin.
pub(super) const CLOCK_START: Timestamp = Timestamp::from_nanos(CLOCK_START_NANOS);

const CLOCK_START_NANOS: u64 = 1 << 63;

/// Hashes values, with times relative to a present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprinter {
    now: u64,
    low: u64,
    high: u64,
}

/// The hash of `value`, in which no time occurs.
pub(super) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = Fingerprinter::at(CLOCK_START);
    value.hash(&mut hasher);
    hasher.finish()
}

/// The fingerprint of `value` at the time `now`.
pub(super) fn fingerprint_of(value: &impl Hash, now: Timestamp) -> u128 {
    let mut hasher = Fingerprinter::at(now);
    value.hash(&mut hasher);
    u128::from(hasher.high) << 64 | u128::from(hasher.finish())
}

impl Fingerprinter {
    fn at(now: Timestamp) -> Self {
        Self {
            now: now.as_nanos(),
            low: 0x243f_6a88_85a3_08d3,
            high: 0x1319_8a2e_0370_7344,
        }
    }

    fn mix(&mut self, number: u64) {
        self.low = folded(self.low ^ number, 0x9e37_79b9_7f4a_7c15);
        self.high = folded(self.high.rotate_left(29) ^ number, 0xd6e8_feb8_6659_fd93);
    }
}

/// Both halves of the product, one onto the other: every bit of the input moves every other.
fn folded(number: u64, by: u64) -> u64 {
    let [low, high] = halves(u128::from(number) * u128::from(by));
    low ^ high ^ number.rotate_left(32)
}

fn halves(number: u128) -> [u64; 2] {
    let bytes = number.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    [low, high].map(|half| half.try_into().map_or(0, u64::from_le_bytes))
}

impl Hasher for Fingerprinter {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        if number >= CLOCK_START_NANOS {
            self.mix(number.wrapping_sub(self.now) ^ CLOCK_START_NANOS);
        } else {
            self.mix(number);
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        folded(self.low ^ self.high, 0xa076_1d64_78bd_642f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_distance_from_the_present_counts() {
        let minute = Duration::from_secs(60);
        let (early, late) = (CLOCK_START, CLOCK_START + minute);
        let of = |heard: Timestamp, now| fingerprint_of(&(7_u64, Some(heard)), now);
        assert_eq!(of(early, early), of(late, late));
        assert_ne!(of(early, early), of(early, late));
        assert_eq!(of(Timestamp::ZERO, early), of(Timestamp::ZERO, late));
    }

    #[test]
    fn small_differences_change_both_halves() {
        let halves_of = |number: u64| halves(fingerprint_of(&(number, 0_u64), CLOCK_START));
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..10_000 {
            for half in halves_of(number) {
                assert!(seen.insert(half), "{number}");
            }
        }
    }
}
