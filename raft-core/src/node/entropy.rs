//! Chance from the system, for names that must differ from run to run.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that nobody can guess or repeat.
pub(super) fn entropy() -> u64 {
    // The standard library seeds every such state from the system's random numbers.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u8(0);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_differ() {
        assert_ne!(entropy(), entropy());
    }
}
