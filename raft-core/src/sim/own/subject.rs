//! What the cluster asks of the machines in it, whatever their type.

use std::fmt;

use bytes::Bytes;

use super::workload::{Asked, Ending};
use crate::entry::Entry;
use crate::id::{LogId, NodeId};
use crate::sim::check::{Broken, Held};
use crate::state_machine::StateMachine;

/// All replicas of a user's machine, and the user's workload.
pub(in crate::sim) trait Subject: fmt::Debug {
    /// What a client does next.
    fn next(&mut self, client: u64) -> Asked;

    /// The machine of a new life of a node.
    fn machine(&mut self, node: NodeId) -> Result<Box<dyn StateMachine>, Broken>;

    /// A replica was restored from this snapshot; `None` if it starts without one.
    fn restored(&mut self, node: NodeId, from: Option<LogId>);

    /// A replica was given the next committed entries, and has responded so to the commands among them.
    fn applied(&mut self, node: NodeId, entries: &[Entry], responses: &[(LogId, Bytes)]) -> Held;

    /// Answers the read of a client from a replica.
    fn read(&mut self, node: NodeId, client: u64) -> Result<Bytes, Broken>;

    /// The client's operation has ended.
    fn ended(&mut self, client: u64, ending: &Ending<'_>);

    /// How often a snapshot was restored only to see that it can be.
    fn round_trips(&self) -> u64;
}
