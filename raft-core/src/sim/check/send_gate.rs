//! Nothing leaves a node that its disk does not back (thesis §3.8, RULE 2).

use super::{Checks, Held, broken};
use crate::id::LogIndex;
use crate::message::{Body, Message};
use crate::sim::disk::Image;

impl Checks {
    /// Compares a message that is about to leave with what its sender's disk holds.
    ///
    /// A later term on disk backs any earlier promise: the node cannot go back on it.
    pub(in crate::sim) fn leaves(&mut self, message: &Message, disk: &Image) -> Held {
        let (from, to, term) = (message.from, message.to, message.term);
        let sender = (from, message.incarnation);
        let (on_disk, term_on_disk) = (disk.hard_state, disk.term());
        let is_backed = match &message.body {
            Body::Vote { .. } => {
                self.voted(sender, term, from)?;
                term_on_disk > term || (on_disk.term == term && on_disk.vote == Some(from))
            }
            Body::VoteReply { granted: true } => {
                self.voted(sender, term, to)?;
                term_on_disk > term || (on_disk.term == term && on_disk.vote == Some(to))
            }
            Body::AppendAccepted { matched: through } | Body::SnapshotInstalled { through } => {
                let is_stored = *through == LogIndex::ZERO || disk.last() >= *through;
                term_on_disk > term || (term_on_disk == term && is_stored)
            }
            // These promise nothing about the disk.
            Body::PreVote { .. }
            | Body::PreVoteReply { .. }
            | Body::VoteReply { granted: false }
            | Body::Append { .. }
            | Body::AppendRejected { .. }
            | Body::Heartbeat { .. }
            | Body::HeartbeatReply { .. }
            | Body::TimeoutNow
            | Body::ReadIndex { .. }
            | Body::ReadIndexReply { .. }
            | Body::Propose { .. }
            | Body::ProposeReply { .. } => true,
        };
        if is_backed {
            return Ok(());
        }
        let last = disk.last();
        let detail = format!("{message:?} leaves, but the disk has {on_disk} and log {last}");
        broken("durable before sent", detail)
    }
}
