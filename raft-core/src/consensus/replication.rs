//! What to send next to whom.

use super::effect::{Effect, Effects};
use super::event::Reader;
use super::leader::Leader;
use super::mutant::{Mutant, mutant};
use super::progress::{InFlight, Progress, Replication};
use super::shared::Shared;
use crate::config::Config;
use crate::entry::Entry;
use crate::id::{LogId, LogIndex, NodeId};
use crate::message::Body;

/// What can be sent to a follower now.
enum Next {
    /// Nothing: it has everything, or has to answer first.
    Nothing,
    /// These entries, or none, as a probe.
    Append(LogId, Vec<Entry>),
    /// Entries that must be read from disk first.
    Fetch,
    /// What it needs is purged.
    Snapshot,
}

impl Leader {
    pub(super) fn replicate_to_all(&mut self, shared: &mut Shared, out: &mut Effects) {
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.replicate_to(peer, shared, out);
        }
    }

    /// Sends all that the follower's window has room for.
    pub(super) fn replicate_to(&mut self, to: NodeId, shared: &mut Shared, out: &mut Effects) {
        let Some(progress) = self.peers.get_mut(&to) else {
            return;
        };
        loop {
            match next_for(progress, shared) {
                Next::Nothing => return,
                Next::Append(previous, entries) => {
                    send_append(progress, shared, to, previous, entries, out);
                }
                Next::Fetch => {
                    progress.fetching = true;
                    let range = progress.next..shared.log.durable().next();
                    let bytes_max = shared.config.append_bytes_max;
                    out.push(Effect::Fetch {
                        reader: Reader::Peer(to),
                        range,
                        bytes_max,
                    });
                    return;
                }
                Next::Snapshot => {
                    let through = shared
                        .compaction
                        .snapshot
                        .map_or(LogIndex::ZERO, |id| id.index);
                    progress.state = Replication::Snapshot { through };
                    out.push(Effect::SendSnapshot {
                        to,
                        term: self.term,
                        reaches: shared.log.base().id.index,
                    });
                    return;
                }
            }
        }
    }

    /// An append has been in flight for long. If the follower, which has verified our log through
    /// `verified`, has not seen it, it was lost. If it has, its disk is slow or its answer was
    /// lost: ask for another answer, past the window, or a full one would stall for ever.
    pub(super) fn look_after_overdue(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        verified: LogIndex,
        out: &mut Effects,
    ) {
        let Some(progress) = self.peers.get_mut(&from) else {
            return;
        };
        if verified > progress.verified.max(progress.matched) {
            progress.verified = verified;
            progress.moved = shared.now;
        }
        let before = shared.now.before(2 * shared.config.heartbeat_interval);
        let Some(overdue) = progress.overdue(before) else {
            return;
        };
        let known = shared.log.term_at(verified);
        if verified < overdue && known.is_some() && progress.moved > before {
            // Something has arrived lately: the link is slow, and the rest is on its way. Sent
            // again, it would queue behind itself.
        } else if verified < overdue || known.is_none() {
            // Lost; or purged since, so that only a snapshot helps.
            progress.become_probe(verified.next());
        } else if let Some(term) = known {
            let previous = LogId::new(term, verified);
            let commit = shared.committed;
            shared.send(
                from,
                Body::Append {
                    previous,
                    entries: Vec::new(),
                    commit,
                },
                out,
            );
        }
    }

    /// Entries for a follower came from the disk.
    pub(super) fn on_fetched(
        &mut self,
        shared: &mut Shared,
        to: NodeId,
        entries: Vec<Entry>,
        out: &mut Effects,
    ) {
        let Some(progress) = self.peers.get_mut(&to) else {
            return;
        };
        progress.fetching = false;
        let is_next = entries
            .first()
            .is_some_and(|first| first.index() == progress.next);
        // An earlier leadership of this node may have asked for them, and another leader may have
        // replaced them since: then they are not ours to send.
        let is_ours = entries
            .last()
            .is_some_and(|last| shared.log.link_at(last.index()) == Some(last.link()))
            || mutant(Mutant::FetchedNotCompared);
        // The follower's state may have changed meanwhile; then the entries are not needed, or, to
        // what an earlier leadership had asked for, have no room.
        let has_room = match &progress.state {
            Replication::Replicate(in_flight) => !is_full(in_flight, &shared.config),
            Replication::Probe { .. } | Replication::Snapshot { .. } => false,
        };
        if is_next && is_ours && has_room {
            let previous = progress.next.previous();
            if let Some(term) = shared.log.term_at(previous) {
                send_append(
                    progress,
                    shared,
                    to,
                    LogId::new(term, previous),
                    entries,
                    out,
                );
            }
        }
        self.replicate_to(to, shared, out);
    }

    pub(super) fn on_fetch_purged(&mut self, shared: &mut Shared, to: NodeId, out: &mut Effects) {
        if let Some(progress) = self.peers.get_mut(&to) {
            progress.fetching = false;
            self.replicate_to(to, shared, out);
        }
    }

    /// The follower has the snapshot, and installs it: look where the logs agree after it.
    pub(super) fn on_snapshot_sent(
        &mut self,
        shared: &mut Shared,
        to: NodeId,
        last: LogId,
        out: &mut Effects,
    ) {
        let Some(progress) = self.peers.get_mut(&to) else {
            return;
        };
        progress.heard = shared.now;
        if matches!(progress.state, Replication::Snapshot { .. }) {
            progress.snapshot_moves();
            progress.become_probe(last.index.next().min(shared.log.last().id.index.next()));
            self.replicate_to(to, shared, out);
        }
    }

    /// The follower lives, and the next attempt goes on from here: it need not wait for long.
    pub(super) fn on_snapshot_progressed(&mut self, shared: &Shared, to: NodeId) {
        if let Some(progress) = self.peers.get_mut(&to)
            && matches!(progress.state, Replication::Snapshot { .. })
        {
            progress.heard = shared.now;
            progress.snapshot_moves();
        }
    }

    /// Try again a little later.
    pub(super) fn on_snapshot_not_sent(&mut self, shared: &Shared, to: NodeId) {
        if let Some(progress) = self.peers.get_mut(&to)
            && matches!(progress.state, Replication::Snapshot { .. })
        {
            if mutant(Mutant::SnapshotStateStuck) {
                return;
            }
            progress.snapshot_failed(shared.now, shared.config.heartbeat_interval);
        }
    }

    /// What is in flight may be lost; the connection comes back at the earliest with the next
    /// heartbeat.
    pub(super) fn on_unreachable(&mut self, peer: NodeId) {
        if let Some(progress) = self.peers.get_mut(&peer)
            && matches!(progress.state, Replication::Replicate(_))
        {
            progress.become_probe(progress.matched.next());
            progress.state = Replication::Probe {
                awaiting_reply: true,
            };
        }
    }

    /// Entries after this index are still needed by receivers of a snapshot (RULES 99).
    pub(super) fn needed_after(&self) -> LogIndex {
        let snapshots = self
            .peers
            .values()
            .filter_map(|progress| match progress.state {
                Replication::Snapshot { through } => Some(through),
                Replication::Probe { .. } | Replication::Replicate(_) => None,
            });
        snapshots.min().unwrap_or(LogIndex::new(u64::MAX))
    }
}

fn next_for(progress: &Progress, shared: &Shared) -> Next {
    let config = &shared.config;
    let last = shared.log.last().id.index;
    let is_probe = match &progress.state {
        Replication::Snapshot { .. }
        | Replication::Probe {
            awaiting_reply: true,
        } => {
            return Next::Nothing;
        }
        Replication::Probe {
            awaiting_reply: false,
        } => true,
        Replication::Replicate(in_flight) => {
            if progress.next > last || is_full(in_flight, config) || progress.fetching {
                return Next::Nothing;
            }
            false
        }
    };
    let previous = progress.next.previous();
    let Some(term) = shared.log.term_at(previous) else {
        // A snapshot is not sent into the void: only to who was heard of lately.
        let is_heard = shared.now.since(progress.heard) < config.election_timeout;
        return if is_heard && progress.may_have_snapshot(shared.now) {
            Next::Snapshot
        } else {
            Next::Nothing
        };
    };
    let previous = LogId::new(term, previous);
    if progress.next > last || shared.log.is_cached(progress.next) {
        let entries = shared
            .log
            .cached(progress.next..last.next(), config.append_bytes_max);
        return Next::Append(previous, entries);
    }
    // Old entries are not read from disk before it is known that they fit.
    if is_probe {
        Next::Append(previous, Vec::new())
    } else {
        Next::Fetch
    }
}

/// Whether another append has to wait.
fn is_full(in_flight: &InFlight, config: &Config) -> bool {
    in_flight.is_full(config.in_flight_messages_max, config.in_flight_bytes_max)
}

fn send_append(
    progress: &mut Progress,
    shared: &Shared,
    to: NodeId,
    previous: LogId,
    entries: Vec<Entry>,
    out: &mut Effects,
) {
    let last = entries.last().map_or(previous.index, Entry::index);
    let bytes = entries.iter().map(Entry::record_bytes).sum();
    progress.sent(last, bytes, shared.now);
    shared.send(
        to,
        Body::Append {
            previous,
            entries,
            commit: shared.committed,
        },
        out,
    );
}
