//! What a node owes in a single step: to the past, to a candidate, to its log and to its machine.

use super::{Held, broken};
use crate::consensus::Effect;
use crate::entry::Entry;
use crate::id::{LogIndex, NodeId};
use crate::message::Body;
use crate::sim::watch::{Says, Step, Took, Watched};

impl Step<'_> {
    /// Who leads, or would lead, an earlier term is told the term (RULES 49).
    pub(in crate::sim) fn tells_who_is_behind(&self, is_message: bool) -> Held {
        let Took::Message {
            from,
            term,
            says: Says::Leads | Says::Vote { .. },
        } = self.moment.took
        else {
            return Ok(());
        };
        // A leader, or who hears one, leaves a stray candidate without an answer.
        let is_ignored = matches!(
            self.moment.took,
            Took::Message {
                says: Says::Vote {
                    transfer: false,
                    ..
                },
                ..
            }
        ) && (self.moment.before.is_leader
            || self.moment.leader.is_some()
            || self.config.lease_reads);
        if !is_message || term >= self.moment.before.term || is_ignored {
            return Ok(());
        }
        let tells = |effect: &Effect| match effect {
            Effect::Send(message) => message.to == from && message.term == self.after.term,
            _ => false,
        };
        if self.effects.iter().any(tells) {
            return Ok(());
        }
        let (node, own) = (self.node, self.after.term);
        let detail = format!("node {node} of term {own} leaves {from} in term {term}");
        broken("who is behind is told", detail)
    }

    /// A vote goes to a log that is at least as complete as the voter's (thesis §3.6.1).
    pub(in crate::sim) fn votes_for_complete_logs(&self) -> Held {
        let Took::Message {
            from,
            says: Says::Vote { last, .. },
            ..
        } = self.moment.took
        else {
            return Ok(());
        };
        let own = self.moment.before.last;
        let votes = self.raft.vote() == Some(from)
            && (self.after.term > self.moment.before.term || self.moment.vote.is_none());
        if !votes || last >= own {
            return Ok(());
        }
        let node = self.node;
        let detail =
            format!("node {node}, whose log ends with {own}, votes for {from} with {last}");
        broken("a vote for a complete log", detail)
    }

    /// An append commits nothing beyond what this leader's appends have verified (RULES 28).
    pub(in crate::sim) fn commits_what_it_verified(&self, watched: &Watched) -> Held {
        let limit = watched.verified.max(self.moment.before.committed);
        if self.moment.covers.is_none() || self.after.committed <= limit {
            return Ok(());
        }
        let (node, committed) = (self.node, self.after.committed);
        let detail = format!("node {node} commits through {committed}, verified is {limit}");
        broken("commit of what is verified", detail)
    }

    /// A machine is restored from what is newer than it is, and fed every entry once, in order.
    pub(in crate::sim) fn feeds_its_machine(&self, watched: &mut Watched) -> Held {
        let node = self.node;
        for effect in self.effects {
            match effect {
                Effect::Restore(meta) => {
                    let (to, known) = (meta.id().index, self.moment.before.committed);
                    if to <= known {
                        let detail = format!("node {node} committed {known}, and restores {to}");
                        return broken("a state never moves back", detail);
                    }
                    watched.fed = to;
                }
                Effect::Apply(entries) => {
                    for index in entries.iter().map(Entry::index) {
                        if index != watched.fed.next() {
                            let fed = watched.fed;
                            let detail = format!("node {node} applies {index} after {fed}");
                            return broken("entries are applied in order", detail);
                        }
                        watched.fed = index;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A leader sends the entries of its own log.
    pub(in crate::sim) fn sends_its_own_log(&self) -> Held {
        for effect in self.effects {
            let Effect::Send(message) = effect else {
                continue;
            };
            let Body::Append { entries, .. } = &message.body else {
                continue;
            };
            let is_other = |entry: &&Entry| {
                let own = self.raft.link_at(entry.index());
                self.after.is_leader && own.is_some_and(|own| own != entry.link())
            };
            if let Some(entry) = entries.iter().find(is_other) {
                let (node, to, id) = (self.node, message.to, entry.id());
                let detail = format!("leader {node} sends {to} entry {id}, which it does not have");
                return broken("a leader sends its own log", detail);
            }
        }
        Ok(())
    }

    /// A forwarded read is confirmed by a round that began after it, and that a quorum answered
    /// (thesis §6.4).
    pub(in crate::sim) fn confirms_rightly(&self, watched: &Watched) -> Held {
        let Some(answered) = watched.rounds.answered_by_quorum(self) else {
            return Ok(());
        };
        for effect in self.effects {
            let Effect::Send(message) = effect else {
                continue;
            };
            let Body::ReadIndexReply {
                read,
                index: Some(_),
            } = &message.body
            else {
                continue;
            };
            let asked = watched.rounds.asked.get(&(message.to, *read));
            if let Some(asked) = asked.filter(|asked| answered <= **asked) {
                let (node, to) = (self.node, message.to);
                let detail = format!(
                    "node {node} confirms a read of {to}, asked in {asked:?}, answered is {answered:?}"
                );
                return broken("reads are confirmed by a later round", detail);
            }
        }
        Ok(())
    }

    /// A lease counts from when the round was sent that a quorum answered, and allows for clocks
    /// that drift (thesis §6.4.1).
    pub(in crate::sim) fn has_no_long_lease(&self, watched: &Watched) -> Held {
        let local = self.moment.local;
        if !self.config.lease_reads || !self.raft.has_lease_at(local) {
            return Ok(());
        }
        let Some(answered) = watched.rounds.answered_by_quorum(self) else {
            return Ok(());
        };
        let Some(sent) = watched.rounds.sent.get(&answered) else {
            return Ok(());
        };
        let drift = 2 * self.config.clock_drift_max_percent;
        let length = self.config.election_timeout * 100_u32.saturating_sub(drift) / 100;
        if local < *sent + length {
            return Ok(());
        }
        let since = local.since(*sent);
        let detail = format!("node {} holds a lease {since:?} after it asked", self.node);
        broken("a lease ends in time", detail)
    }
}

/// The last index that an append covers.
pub(in crate::sim) fn covered(body: &Body) -> Option<LogIndex> {
    match body {
        Body::Append {
            previous, entries, ..
        } => Some(entries.last().map_or(previous.index, Entry::index)),
        _ => None,
    }
}

/// Whether a step refuses an append of `from`.
pub(in crate::sim) fn rejects(effects: &[Effect], from: NodeId) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Send(message) => {
            message.to == from && matches!(message.body, Body::AppendRejected { .. })
        }
        _ => false,
    })
}
