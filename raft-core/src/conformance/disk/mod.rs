//! Properties of stores whose disk fails, fills up, or loses power, at any call to the system.
//!
//! [`super::faults`] and [`super::crash`] ask the same of a backend that lets its files be replaced. This
//! suite is for engines that do not: a library in another language, with threads of its own; and for what
//! lies around the files of one that does: their names, and files that are written by other means. It stands
//! between the process and the system. A small shim in C (`shim.c`) is compiled with the C compiler that
//! `CC` names (`cc` if none) and loaded by `LD_PRELOAD` into a child: the test's own binary, run again by
//! the test's name, as in [`super::kill`]. The child works through a script that follows from a seed, on
//! stores in a directory that the shim watches, and tells of every call on the stores when it begins it
//! and when it has returned.
//!
//! - A call to the system fails when it is told to: to create, write, sync, set a length, allocate,
//!   rename or remove. Then the store must say so by an error that names place and operation, must accept
//!   nothing more, and must find, opened anew, all that it had acknowledged and nothing that was never
//!   asked for.
//! - Every call is written down in order, with its bytes, and between them what the child told. So the
//!   parent can lay out what a loss of power at any call leaves: bytes and names that were not synced are
//!   lost, kept, torn at the border of a sector, or kept in part, as [`super::medium`] says; names count
//!   once their folder was synced. A failed sync has given up what it should have made durable.
//!
//! What the shim does not see are writes through mapped memory and through rings of the kernel, and
//! whatever the C library does inside itself (`fprintf`). A synced file whose content it has not seen
//! fails the suite. The threads of an engine take their turns by chance: a call's number names another
//! call in another run, and a failure says which it was.
//!
//! Linux alone, on machines of 64 bits.

mod child;
mod failing;
mod image;
mod power;
mod script;
mod trace;

use std::path::Path;

pub use failing::{
    a_disk_that_fails_once_loses_nothing, a_disk_that_fills_up_loses_nothing,
    a_write_that_is_cut_short_loses_nothing,
};
pub use power::{
    a_loss_of_power_at_any_call_leaves_what_was_acknowledged,
    a_loss_of_power_while_opening_after_one_leaves_what_was_acknowledged,
};

use crate::store::{StoreError, Stores};

/// A test for each property of stores whose disk fails or loses power.
///
/// `$directory` makes an empty directory that lives as long as the value does; `$open` opens the stores
/// below a `&Path`, and creates them there if nothing is; `$runs` says how many calls fail, and how often
/// the power does, in each test: they are spread over the whole script. The macro stands in a test binary
/// with the usual harness.
#[macro_export]
macro_rules! disk_conformance {
    ($directory:expr, $open:expr, $runs:expr) => {
        $crate::kill_tests! { disk, $directory, $open, $runs, [
            a_disk_that_fails_once_loses_nothing,
            a_disk_that_fills_up_loses_nothing,
            a_write_that_is_cut_short_loses_nothing,
            a_loss_of_power_at_any_call_leaves_what_was_acknowledged,
            a_loss_of_power_while_opening_after_one_leaves_what_was_acknowledged,
        ] }
    };
}

/// Opens the stores below a directory.
type Open<'a> = &'a (dyn Fn(&Path) -> Result<Stores, StoreError> + Sync);
