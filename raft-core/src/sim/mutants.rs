//! Runs the deliberate faults until the checkers find them.

use std::panic;
use std::time::Duration;

use super::report::Violation;
use crate::consensus::mutant;

pub use crate::consensus::mutant::Mutant;

/// How a deliberate fault was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed whose life showed it.
    pub seed: u64,
    /// When in that life.
    pub at: Duration,
    /// Which property it broke.
    pub property: &'static str,
    /// What was seen.
    pub detail: String,
}

/// Runs seed after seed with the fault, on this thread; how it was found, if it was within
/// `seeds_max` seeds.
pub fn hunt(fault: Mutant, seeds_max: u64) -> Option<Found> {
    let found = under(fault, || (0..seeds_max).find_map(super::first_violation));
    let Violation {
        seed,
        at,
        property,
        detail,
        ..
    } = *found?;
    Some(Found {
        seed,
        at,
        property,
        detail,
    })
}

/// Runs something with the fault, on this thread. What panics passes, and leaves no fault behind.
pub fn under<T>(fault: Mutant, run: impl FnOnce() -> T) -> T {
    struct Mended;

    impl Drop for Mended {
        fn drop(&mut self) {
            mutant::choose(None);
        }
    }

    let _mended = Mended;
    mutant::choose(Some(fault));
    run()
}

/// From here on panics that a deliberate fault brings about are not printed.
pub fn expect_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !mutant::is_chosen() {
            usual(info);
        }
    }));
}
