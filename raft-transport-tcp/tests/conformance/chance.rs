//! Chance that begins with a seed.

/// A stream of numbers in which no order is to be seen (splitmix64).
#[derive(Debug)]
pub(crate) struct Chance {
    state: u64,
    was_asked: bool,
}

impl Chance {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self {
            state: seed,
            was_asked: false,
        }
    }

    /// Whether it has decided anything.
    pub(crate) fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Which of so many bytes.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let chosen = self.below(u64::try_from(length).expect("a length"));
        usize::try_from(chosen).expect("below a length")
    }

    fn next(&mut self) -> u64 {
        self.was_asked = true;
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
