//! What must hold after every step, judged from outside: by what nodes send and what their disks
//! hold, never by what they believe.

use std::collections::BTreeMap;

use raft_core::HardState;
use raft_core::consensus::{RoleName, Standing, Write};
use raft_core::entry::Entry;
use raft_core::id::{ChainLink, LogId, LogIndex, NodeId, Term};
use raft_core::membership::Membership;
use raft_core::message::{Body, Message};

use super::disk::{Disk, Image};

/// Remembers what the whole cluster ever did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    links: BTreeMap<LogId, ChainLink>,
    committed: Vec<ChainLink>,
}

impl Checks {
    /// What still holds of a group that was recovered on what `image` has.
    pub(crate) fn recovered(&self, image: &Image) -> Self {
        let mut kept = self.clone();
        let is_kept = |link: &&ChainLink| holds(image, **link);
        let count = self.committed.iter().take_while(is_kept).count();
        kept.committed.truncate(count);
        kept
    }

    /// The send gate: a promise leaves only if the sender's disk keeps it (RULE 2).
    pub(crate) fn message_leaves(&mut self, message: &Message, disk: &Disk) {
        let state = remembered(&disk.durable);
        let Message { from, to, term, .. } = *message;
        let moved_on = state.term > term;
        let line = super::print::Parcel::Message(message.clone()).line();
        match &message.body {
            Body::Vote { .. } => {
                self.count_vote(from, term, from);
                let kept = moved_on || state.term == term && state.vote == Some(from);
                assert!(kept, "`{line}` left, the disk holds {state}");
            }
            Body::VoteReply { granted: true } => {
                self.count_vote(from, term, to);
                let kept = moved_on || state.term == term && state.vote == Some(to);
                assert!(kept, "`{line}` left, the disk holds {state}");
            }
            Body::AppendAccepted { matched } => {
                let last = disk.durable.last();
                let kept = moved_on || state.term == term && last.id.index >= *matched;
                assert!(kept, "`{line}` left, the disk holds {state} and {last}");
            }
            Body::SnapshotInstalled { through } => {
                let last = disk.durable.last();
                let snapshot = disk.newest_snapshot().map(|found| found.meta.id().index);
                let kept = last.id.index >= *through || snapshot >= Some(*through);
                assert!(kept, "`{line}` left, the log ends with {last}");
            }
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
            | Body::ProposeReply { .. } => {}
        }
    }

    /// One vote a term (thesis §3.4), counted across restarts.
    fn count_vote(&mut self, voter: NodeId, term: Term, candidate: NodeId) {
        let counted = *self.votes.entry((voter, term)).or_insert(candidate);
        assert_eq!(
            counted, candidate,
            "node {voter} voted for two in term {term}"
        );
    }

    /// Election safety and leader completeness (thesis §3.2, figure 3.2).
    pub(crate) fn standing_changed(&mut self, node: NodeId, standing: Standing, disk: &Disk) {
        if standing.role != RoleName::Leader {
            return;
        }
        let Standing { term, .. } = standing;
        let leader = *self.leaders.entry(term).or_insert(node);
        assert_eq!(leader, node, "term {term} has two leaders");
        let state = remembered(&disk.durable);
        assert!(
            state.term == term && state.vote == Some(node),
            "node {node} leads term {term} before its own vote is durable: {state}"
        );
        if let Some(committed) = self.committed.last() {
            let log = disk.with_queue();
            assert!(
                holds(&log, *committed),
                "node {node} leads term {term} without the committed {committed}; it has {}",
                log.last()
            );
        }
    }

    /// Log matching, and that leaders only append (thesis §3.2, figure 3.2).
    pub(crate) fn writes(&mut self, node: NodeId, role: RoleName, write: &Write) {
        let truncates = write.truncate_from.is_some();
        assert!(
            !(truncates && role == RoleName::Leader),
            "leader {node} truncates its log: {write:?}"
        );
        for entry in &write.append {
            self.log_holds(node, entry);
        }
    }

    /// Two entries with the same index and term are the same, with all before them.
    pub(crate) fn log_holds(&mut self, node: NodeId, entry: &Entry) {
        let link = *self.links.entry(entry.id()).or_insert(entry.link());
        assert_eq!(
            link,
            entry.link(),
            "node {node} has another entry {}",
            entry.id()
        );
    }

    /// State machine safety: everybody commits the same entries, each on durable majorities of the
    /// membership before the step, or of the one after it.
    pub(crate) fn commits(
        &mut self,
        node: NodeId,
        committed: LogIndex,
        in_force: [&Membership; 2],
        disks: &BTreeMap<NodeId, &Disk>,
    ) {
        let Some(log) = disks.get(&node).map(|disk| disk.with_queue()) else {
            return;
        };
        for entry in log.log.iter().filter(|entry| entry.index() <= committed) {
            let at = usize::try_from(entry.index().get()).unwrap_or(usize::MAX);
            match self.committed.get(at - 1) {
                Some(known) => assert_eq!(
                    *known,
                    entry.link(),
                    "node {node} committed another entry at {}",
                    entry.index()
                ),
                None => {
                    assert_eq!(self.committed.len() + 1, at, "{entry:?} left a gap");
                    self.committed.push(entry.link());
                    let link = entry.link();
                    let kept = in_force.iter().any(|group| is_durable(link, group, disks));
                    assert!(
                        kept,
                        "{link} was committed without a majority: {in_force:?}"
                    );
                }
            }
        }
        let known = self.committed.len() as u64;
        assert!(
            committed.get() <= known,
            "node {node} committed {committed}, beyond its log"
        );
    }
}

/// Whether a majority of the voters, while joint of each half, hold it durably.
fn is_durable(link: ChainLink, group: &Membership, disks: &BTreeMap<NodeId, &Disk>) -> bool {
    [group.voters(), group.outgoing()]
        .into_iter()
        .all(|voters| {
            let held = voters
                .iter()
                .filter_map(|voter| disks.get(voter))
                .filter(|disk| holds(&disk.durable, link))
                .count();
            voters.is_empty() || held * 2 > voters.len()
        })
}

/// The term and vote of a node that starts from `image`. The last entry's term counts: entries may
/// be there before a term, when a group is created and when a snapshot arrives.
fn remembered(image: &Image) -> HardState {
    let term = image.last().id.term;
    match image.hard_state {
        state if state.term >= term => state,
        _ => HardState { term, vote: None },
    }
}

fn holds(image: &Image, link: ChainLink) -> bool {
    let index = link.id.index;
    index <= image.purged.id.index || image.entry(index).is_some_and(|entry| entry.link() == link)
}
