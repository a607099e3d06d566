//! Chance that begins with a seed.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Random numbers, and whether anybody wanted one.
#[derive(Debug)]
pub(crate) struct Chance {
    numbers: Pcg64,
    was_asked: bool,
}

impl Chance {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self {
            numbers: Pcg64::seed_from_u64(seed),
            was_asked: false,
        }
    }

    /// Whether it has decided anything.
    pub(crate) fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.was_asked = true;
        self.numbers.next_u64() % bound
    }

    /// Which of so many bytes.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let chosen = self.below(u64::try_from(length).expect("a length"));
        usize::try_from(chosen).expect("below a length")
    }
}
