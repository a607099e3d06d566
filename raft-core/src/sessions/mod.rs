//! Exactly-once commands: a wrapper around any state machine, and the client that talks to it.
//!
//! A client that got no answer cannot know whether its command was applied. [`Sessions`] lets it
//! ask again: commands carry a session and a sequence, and a command that was applied before is
//! answered from a table instead of being applied a second time (thesis §6.3).
//!
//! ```text
//!  SessionClient -- {session, sequence, acknowledged below, command} --> log
//!                                                                         |
//!  response  <---  Sessions<M>: seen before? the kept response : M::apply <+
//! ```
//!
//! # What is promised
//!
//! - A command is applied at most once for its session and sequence, whoever leads and however
//!   often it is proposed. That is decided where it is applied, from replicated data alone, so all
//!   replicas decide alike.
//! - Up to [`SessionLimits::window_max`] commands of a session may be under way at once. They are
//!   applied in the order of the log, which need not be that of their sequences.
//! - A session lives as long as it is used within its [lifetime](SessionLimits::lifetime), in
//!   [cluster time](crate::time::ClusterTime), never by a local clock. A command of a session that
//!   is gone is refused ([`SessionError::Expired`]), and no other session takes its place by itself:
//!   only the caller knows what it has done already.
//! - The table is bounded: see [`SessionLimits`].
//! - The table is part of every snapshot, before the machine's own bytes, with a checksum. So a
//!   backup that is [restored](crate::node::Node::restore) brings its own: a session that it does
//!   not know is gone, and one that it knows is where it was then. A session is named by the entry
//!   that opened it. In a backup of another group those beyond the entry of the restoration are
//!   ended; others may have the name of a session of this group, so restore such a backup while no
//!   client has a session open.
//!
//! # Machines that keep their state on disk
//!
//! Such a machine starts with what it has [applied](crate::state_machine::StateMachine::last_applied)
//! already, and the log does not repeat it: a table in memory would be lost. It has to keep the table
//! in the same transaction as its state, by [`DurableSessions`] and [`Sessions::durable`].
//! [`Sessions::new`] stops the node on a machine that reports a kept state instead of forgetting.

mod batch;
mod bytes;
mod client;
mod durable;
mod limits;
mod machine;
mod proposer;
mod reply;
mod request;
mod saved;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use client::{SessionClient, SessionError};
pub use durable::{DurableSessions, RecordsOf, SessionRecord};
pub use limits::{InvalidLimits, SessionLimits};
pub use machine::Sessions;
pub use proposer::Proposer;
#[cfg(feature = "sim")]
pub(crate) use reply::Reply;
pub use request::plain;
#[cfg(feature = "sim")]
pub(crate) use request::{Call, Request};

use std::fmt;

use crate::id::LogIndex;

/// Names a session: the index of the entry that opened it. Never used twice in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(LogIndex);

/// Numbers the commands of one session, from one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sequence(pub(crate) u64);

impl SessionId {
    /// The session that the entry at `index` opened.
    pub const fn new(index: LogIndex) -> Self {
        Self(index)
    }

    /// The index of the entry that opened it.
    pub const fn index(self) -> LogIndex {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
