//! What is known of a whole trace: the simulator's own checkers, fed with facts.

use super::node::{Fact, Node};
use crate::id::{ChainLink, LogIndex, NodeId};
use crate::membership::Membership;
use crate::sim::check::{Checks, Held};

/// Takes what a turn of `node` has shown into `checks`.
pub(super) fn note(checks: &mut Checks, node: &Node, facts: &[Fact]) -> Held {
    let (id, raft) = (node.id, &node.raft);
    for fact in facts {
        match fact {
            Fact::Appended(entries) => checks.appended(entries)?,
            Fact::Voted(term, candidate) => {
                // No disk of the model is ever lost, so each node has one life.
                let life = crate::id::Incarnation::new(id.get());
                checks.voted((id, life), *term, *candidate)?;
            }
            Fact::Elected(term) => {
                checks.elected(*term, id)?;
                checks.leads(id, *term, raft)?;
            }
            Fact::Committed { from, through, .. } => checks.commits(id, raft, *from, *through)?,
            Fact::State(index, hash) => checks.state_is(id, *index, *hash)?,
        }
    }
    Ok(())
}

/// What a leader has decided is on the disks of a quorum: under the membership before the step, or,
/// if the step appended another, under that.
pub(super) fn check_quorum(
    node: &Node,
    fact: &Fact,
    holds: impl Fn(&NodeId, ChainLink) -> bool,
) -> Held {
    let Some((through, [before, after])) = decided(fact) else {
        return Ok(());
    };
    let Some(link) = node.raft.link_at(through) else {
        return Ok(()); // Purged since: it was checked when it was committed.
    };
    let of = |membership: &Membership| {
        Checks::committed_by_leader(node.id, link, membership, |voter| holds(voter, link))
    };
    of(before).or_else(|_| of(after))
}

fn decided(fact: &Fact) -> Option<(LogIndex, [&Membership; 2])> {
    let Fact::Committed {
        through,
        decided: Some([before, after]),
        ..
    } = fact
    else {
        return None;
    };
    Some((*through, [before, after]))
}

/// Whether a fact must be compared with other nodes' disks.
pub(super) fn is_decision(fact: &Fact) -> bool {
    decided(fact).is_some()
}
