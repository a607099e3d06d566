//! Moves everything a node keeps from one kind of store to another, offline.
//!
//! The node keeps its identity with its incarnation, so the group notices nothing but a restart. That is
//! also the danger: two copies of one node that both run could vote twice in one term. Therefore the
//! order of the steps, each durable before the next:
//!
//! | step | after a crash right after it |
//! |---|---|
//! | 1. the target is marked as an unfinished copy ([`Relocation::Arriving`]) | the node starts on the source, never on the target |
//! | 2. snapshots, log, and all records but the identity are copied | as before |
//! | 3. everything is read back and compared | as before |
//! | 4. the source is retired ([`Relocation::Departed`]) | the node starts nowhere, until the move is repeated |
//! | 5. the target gets the identity | as before |
//! | 6. the target is marked as complete ([`Relocation::Arrived`]) | the node starts on the target, never on the source |
//!
//! Repeated after a crash or an error, [`migrate`] goes on where it was. A node that was started on the
//! source in between (possible until step 4) changes nothing of this: what it added is copied, what no
//! longer fits is copied anew, and the comparison has the last word.
//!
//! A copy that is lost between steps 4 and 6 leaves the node nowhere: it is then replaced like one whose
//! disk was lost.
//!
//! Builds from before this record know nothing of it: start none of them on a source that was retired.
//!
//! ```no_run
//! # fn open_old() -> Result<raft_core::store::Stores, raft_core::store::StoreError> { unreachable!() }
//! # fn open_new() -> Result<raft_core::store::Stores, raft_core::store::StoreError> { unreachable!() }
//! use raft_core::migrate::{Places, migrate};
//!
//! let (mut from, mut to) = (open_old()?, open_new()?);
//! let places = Places { from: "old/node-1", to: "new/node-1" };
//! let moved = migrate(&mut from, &mut to, places, &mut |_| {})?;
//! # Ok::<(), raft_core::migrate::MigrateError>(())
//! ```

mod compare;
mod contents;
mod copy;
mod error;
mod ticket;

pub use error::MigrateError;

use self::compare::compare;
use self::contents::Contents;
use self::copy::copy;
use self::ticket::draw_ticket;
use crate::hard_state::Identity;
use crate::store::{LogBounds, Relocation, StableRecord, Stores};

/// What the two stores are called, in the records of the move and in errors.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Where the data is.
    pub from: &'a str,
    /// Where it goes.
    pub to: &'a str,
}

/// How far a move has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How much of the stage is done.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// A part of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Snapshots are copied; counted in bytes.
    CopySnapshots,
    /// The log is copied; counted in entries.
    CopyLog,
    /// Snapshots are read back; counted in bytes.
    CompareSnapshots,
    /// The log is read back; counted in entries.
    CompareLog,
}

/// Is told how far the move has got.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// A move that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whose data it is.
    pub identity: Identity,
    /// Where the log begins and ends. The last link's checksum covers, link by link, the whole history.
    pub bounds: LogBounds,
    /// How many snapshots there are.
    pub snapshots: usize,
    /// Whether an earlier attempt had completed it.
    pub was_complete: bool,
}

/// Moves a node's data from the stores `from` to the stores `to`, which are empty or hold an earlier
/// attempt. Both are open, so no node runs on either. On success the node starts on `to`, and on `from`
/// never again.
///
/// Blocks, for as long as it takes to copy everything once and to read it back.
///
/// # Errors
/// [`MigrateError`]. Whatever it is, nothing is lost: correct what it names, and repeat the move.
pub fn migrate(
    from: &mut Stores,
    to: &mut Stores,
    places: Places<'_>,
    watch: Watch<'_>,
) -> Result<Moved, MigrateError> {
    let found = Contents::of(from)?;
    let moved = |was_complete| Moved {
        identity: found.identity,
        bounds: found.bounds,
        snapshots: found.snapshots.len(),
        was_complete,
    };
    let departed = Relocation::load(from.stable.as_ref())?;
    let arriving = Relocation::load(to.stable.as_ref())?;
    let ticket = match stage(&found.identity, departed, arriving)? {
        At::Complete => return Ok(moved(true)),
        At::Begun(ticket) => ticket,
        At::Nothing => begin(to, &found.identity, places)?,
    };
    // Repeated for a retired source too: whatever became of the copy, this makes it whole.
    copy(from, to, &found, watch)?;
    compare(from, to, &found, watch)?;
    let to_place = places.to.to_owned();
    Relocation::Departed {
        ticket,
        to: to_place,
    }
    .save(from.stable.as_mut())?;
    found.identity.save(to.stable.as_mut())?;
    let from = places.from.to_owned();
    Relocation::Arrived { ticket, from }.save(to.stable.as_mut())?;
    tracing::warn!(identity = %found.identity, to = places.to, "the node's data was moved");
    Ok(moved(false))
}

/// How far earlier attempts have got.
enum At {
    /// Nowhere.
    Nothing,
    /// The copy with this ticket was begun, and does not count yet.
    Begun(u64),
    /// The copy counts.
    Complete,
}

fn stage(
    whose: &Identity,
    source: Option<Relocation>,
    target: Option<Relocation>,
) -> Result<At, MigrateError> {
    use Relocation::{Arrived, Arriving, Departed};
    let occupied = |what: String| Err(MigrateError::Occupied { what });
    match (source, target) {
        (Some(Arriving { from, .. }), _) => Err(MigrateError::Unfinished { from }),
        (Some(Departed { ticket, .. }), Some(Arrived { ticket: copy, .. })) if ticket == copy => {
            Ok(At::Complete)
        }
        (Some(Departed { ticket, .. }), Some(Arriving { ticket: copy, .. })) if ticket == copy => {
            Ok(At::Begun(ticket))
        }
        (Some(Departed { to, .. }), _) => Err(MigrateError::Departed { to }),
        (Some(Arrived { .. }) | None, None) => Ok(At::Nothing),
        (Some(Arrived { .. }) | None, Some(target)) => match target {
            // It may be all that a retired original has become.
            Arriving { identity, from, .. } if identity != *whose => {
                occupied(format!("an unfinished copy of {from}"))
            }
            Arriving { ticket, .. } => Ok(At::Begun(ticket)),
            Arrived { .. } | Departed { .. } => occupied("a node that was moved".into()),
        },
    }
}

/// Marks empty stores as an unfinished copy.
fn begin(to: &mut Stores, identity: &Identity, places: Places<'_>) -> Result<u64, MigrateError> {
    if let Some(what) = contents::occupied_by(to)? {
        return Err(MigrateError::Occupied { what });
    }
    let ticket = draw_ticket();
    let arriving = Relocation::Arriving {
        ticket,
        identity: *identity,
        from: places.from.to_owned(),
    };
    arriving.save(to.stable.as_mut())?;
    Ok(ticket)
}
