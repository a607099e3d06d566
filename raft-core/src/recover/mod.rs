//! Recovery of a group that has lost its quorum for ever. Unsafe by nature: read this first.
//!
//! A group whose majority is gone decides nothing any more, and that is right as long as the
//! majority may come back. If its disks are lost, somebody has to say so. This module rewrites the
//! membership of one survivor, offline, on its own authority:
//!
//! 1. Stop every node. Make a [`plan`] on each survivor's stores, a dry run that changes nothing
//!    ([`plan_read_only`]: not even a file), and compare what they hold: choose the one whose last
//!    entry is the greatest (first by term, then by index). The plan says what may be lost.
//! 2. [`force_membership`] on the chosen one. It begins a new recovery epoch and appends the new
//!    membership in a new term.
//! 3. Other survivors keep their data and [`follow`] the plan. New nodes start on empty stores, with
//!    the epoch of the plan given to
//!    [`NodeBuilder::recovery_epoch`](crate::node::NodeBuilder::recovery_epoch).
//!
//! # What fences the old majority
//!
//! A node that was given up may come back. It holds entries, votes and a membership that contradict
//! the recovered group, so nobody may hear it: the epoch is part of every node's
//! [`Identity`](crate::Identity), and nodes of different epochs refuse each other in the handshake
//! like nodes of different clusters. Give such a node empty stores, and add it as a new member.
//!
//! # What may be lost
//!
//! Entries that the lost nodes had committed and the survivor had not received are lost, though
//! their clients were told that they are applied. What the survivor has received stays, also
//! entries that were never committed: commands whose clients were told nothing may be applied.
//!
//! # Crashes
//!
//! The steps are ordered so that a crash between any two leaves a node that decides nothing, and
//! that may be recovered again by the same plan or by a new one: first the epoch (the node is alone),
//! then term and vote, then the entry.

mod error;
mod file;
mod force;
mod plan;
mod survey;

pub use error::RecoverError;
pub use file::{FileMember, MembershipFile};
pub use force::{follow, force_membership};
pub use plan::{RecoveryPlan, plan, plan_read_only};
pub use survey::{Found, Uncertain};
