//! A bounded model check of the core itself: every order of events, within bounds.
//!
//! The simulator walks far along a few ways; this searches a small neighbourhood completely. The
//! states of a group of [`Raft`](crate::consensus::Raft)s are visited breadth first: whatever can
//! happen next in a state is tried, each state is visited once, and every property is checked at
//! every step. So a violation is shown by a shortest trace. What is searched, and what is not, is
//! told in [`crate::manual::model`].

mod action;
mod bounds;
mod facts;
mod fingerprint;
mod node;
mod parcels;
mod report;
mod search;
mod start;
mod table;
mod turns;
mod world;

pub use bounds::{Bounds, NODES_MAX};
pub use report::{End, Progress, Report, Violation};
pub use start::Start;

use search::Search;

use super::check::Broken;

/// Searches all traces within the bounds, and tells of its progress now and then.
///
/// # Errors
/// The [`Violation`] with the shortest trace.
pub fn check(bounds: &Bounds, tell: &mut dyn FnMut(Progress)) -> Result<Report, Box<Violation>> {
    let search = Search::new(bounds).map_err(|broken| {
        let Broken { property, detail } = broken;
        let trace = Vec::new();
        Box::new(Violation {
            property,
            detail,
            trace,
        })
    })?;
    search.run(tell)
}

/// The same with a deliberate fault, on this thread.
///
/// # Errors
/// The violation by which the fault is found.
#[cfg(feature = "mutants")]
pub fn check_mutant(fault: super::Mutant, bounds: &Bounds) -> Result<Report, Box<Violation>> {
    crate::consensus::mutant::choose(Some(fault));
    let outcome = check(bounds, &mut |_| {});
    crate::consensus::mutant::choose(None);
    outcome
}
