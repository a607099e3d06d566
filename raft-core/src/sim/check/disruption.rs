//! Nobody deposes a leader that others hear (thesis §4.2.3, §9.6).

use super::{Held, broken};
use crate::consensus::Effect;
use crate::id::NodeId;
use crate::message::Body;
use crate::sim::watch::{Says, Step, Took, Watched};

const PROPERTY: &str = "a live leader is not disrupted";

impl Step<'_> {
    /// Who hears a leader neither votes for another, nor says that it would; and who is asked
    /// whether it would, changes nothing.
    pub(in crate::sim) fn is_not_disrupted(&self, watched: &Watched) -> Held {
        let Took::Message { from, says, .. } = self.moment.took else {
            return Ok(());
        };
        let (before, after) = (&self.moment.before, self.after);
        let hears = self.hears_another(from, watched);
        let is_new_term = after.term != before.term;
        let node = self.node;
        match says {
            Says::Vote {
                transfer: false, ..
            } if hears && is_new_term => broken(
                PROPERTY,
                format!("node {node} hears a leader, and follows candidate {from}"),
            ),
            Says::PreVote { .. } if is_new_term || before.role != after.role => broken(
                PROPERTY,
                format!("node {node} is asked by {from} whether it would vote, and is {after:?}"),
            ),
            Says::PreVote { last } if self.grants_pre_vote() && (hears || last < before.last) => {
                let detail = format!(
                    "node {node} would vote for {from}, whose log ends with {last}; its own ends \
                     with {}, and it hears a leader: {hears}",
                    before.last
                );
                broken(PROPERTY, detail)
            }
            _ => Ok(()),
        }
    }

    fn hears_another(&self, candidate: NodeId, watched: &Watched) -> bool {
        let patience = self.config.election_timeout;
        let local = self.moment.local;
        self.moment.before.is_leader
            || watched.silent_until.is_some_and(|until| local < until)
            || watched.leader_heard.is_some_and(|(leader, at)| {
                leader != candidate && self.moment.local.since(at) < patience
            })
    }

    fn grants_pre_vote(&self) -> bool {
        let grants = |effect: &Effect| match effect {
            Effect::Send(message) => matches!(message.body, Body::PreVoteReply { granted: true }),
            _ => false,
        };
        self.effects.iter().any(grants)
    }
}
