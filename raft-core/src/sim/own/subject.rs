//! What the cluster asks of the machines in it, whatever their type.

use std::fmt;

use bytes::Bytes;

use super::workload::{Asked, Ending};
use crate::entry::Entry;
use crate::id::{LogId, NodeId};
use crate::sim::check::{Broken, Held};
use crate::sim::machine::Machine;

/// All replicas of a user's machine, and the user's workload.
pub(in crate::sim) trait Subject: fmt::Debug {
    /// What a client does next.
    fn next(&mut self, client: u64) -> Asked;

    /// A node starts, with what its newest snapshot holds.
    fn start(&mut self, node: NodeId, from: &Machine) -> Held;

    /// The next committed entries reach a replica: its responses to the commands among them.
    fn apply(&mut self, node: NodeId, entries: &[Entry]) -> Result<Vec<(LogId, Bytes)>, Broken>;

    /// The bytes of a snapshot of a replica.
    fn snapshot(&mut self, node: NodeId) -> Result<Bytes, Broken>;

    /// Answers the read of a client from a replica.
    fn read(&mut self, node: NodeId, client: u64) -> Result<Bytes, Broken>;

    /// The client's operation has ended.
    fn ended(&mut self, client: u64, ending: &Ending<'_>);

    /// How often a snapshot was restored only to see that it can be.
    fn round_trips(&self) -> u64;
}
