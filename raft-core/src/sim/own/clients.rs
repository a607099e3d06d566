//! The clients of a user's machine: the same ways to the cluster as those of the simulator's own.

use bytes::Bytes;

use super::workload::{Asked, Ending};
use crate::id::{LogId, NodeId};
use crate::sim::check::{Broken, Held, broken};
use crate::sim::client::End;
use crate::sim::cluster::Cluster;
use crate::sim::workload::Write;

impl Cluster {
    /// A client of a user's workload does its next operation at a node that is up.
    pub(in crate::sim) fn own_turn(&mut self, client: u64, node: NodeId) -> Held {
        let Some(subject) = &mut self.subject else {
            return Ok(());
        };
        match subject.next(client) {
            Asked::Command(bytes) => self.write(client, node, Write::of_bytes(bytes), false),
            Asked::Read(_) => self.begin_read(client, node),
            Asked::Nothing => Ok(()),
            Asked::Unencodable(why) => broken("the workload's commands can be encoded", why),
        }
    }

    /// The answer to a client's read, from the state of a node.
    pub(in crate::sim) fn own_read(&mut self, client: u64, node: NodeId) -> Result<(), Broken> {
        let Some(subject) = &mut self.subject else {
            return Ok(());
        };
        let answer = subject.read(node, client)?;
        subject.ended(client, &Ending::Read(&answer));
        Ok(())
    }

    /// Tells the workload what a client knows of its operation.
    pub(in crate::sim) fn own_end(
        &mut self,
        client: u64,
        end: End,
        applied: Option<(LogId, &Bytes)>,
    ) {
        let Some(subject) = &mut self.subject else {
            return;
        };
        match (end, applied) {
            (End::Write, Some((id, response))) => {
                subject.ended(client, &Ending::Applied { id, response });
            }
            // Answered where the answer was read.
            (End::Read, _) => {}
            (End::Refused | End::Overwritten | End::ReadFailed, _) => {
                subject.ended(client, &Ending::NotApplied);
            }
            (End::Write | End::Unknown | End::GivenUp | End::Abandoned, _) => {
                subject.ended(client, &Ending::Unknown);
            }
        }
    }
}
