//! What the child does, and what it has told of it.

use rand_core::SeedableRng;
use rand_pcg::Pcg64;

use super::super::history::{Call, History, State, Step};

/// Calls that follow from a seed, on stores that are new.
pub(super) struct Script {
    pub(super) calls: Vec<Call>,
}

/// How far a child had come by its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// So many calls were begun.
    pub(super) begun: usize,
    /// So many of them have returned without an error.
    pub(super) returned: usize,
}

impl Script {
    pub(super) fn new(seed: u64, steps: u64) -> Self {
        let chance = &mut Pcg64::seed_from_u64(seed);
        let mut history = History::default();
        let mut calls = Vec::new();
        for number in 1..=steps {
            let state = history.now();
            for call in Step::random(chance, &state, number).calls(&state) {
                history.begun(&call);
                history.returned(&call);
                calls.push(call);
            }
        }
        Self { calls }
    }

    /// What the stores may hold when this was told.
    pub(super) fn history(&self, told: Told) -> History {
        let mut history = History::of(State::default());
        for (at, call) in self.calls.iter().take(told.begun).enumerate() {
            history.begun(call);
            if at < told.returned {
                history.returned(call);
            }
        }
        history
    }
}
