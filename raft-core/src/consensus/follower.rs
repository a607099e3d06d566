//! How a follower takes entries, heartbeats and snapshots (thesis §3.5, §5.3).

use super::mutant::{Mutant, mutant};
use std::sync::Arc;

use super::Raft;
use super::effect::{Effects, Fault, Nonsense};
use super::role::{Follower, Role};
use super::shared::Shared;
use super::step::is_term_too_far;
use super::timer::Timer;
use crate::entry::Entry;
use crate::id::{ChainLink, LogId, LogIndex, NodeId, Term};
use crate::message::{Body, Round};
use crate::snapshot::SnapshotMeta;

impl Raft {
    /// The leader of the current term speaks: follow it. `None` if that cannot be: this term has
    /// another leader.
    pub(super) fn follow(
        &mut self,
        from: NodeId,
        out: &mut Effects,
    ) -> Option<(&mut Follower, &mut Shared)> {
        if self.leader().is_some_and(|leader| leader != from) {
            let claim = "to lead a term that has another leader";
            self.shared
                .drop_nonsense(Nonsense::Impossible { from, claim }, out);
            return None;
        }
        if !matches!(self.role, Role::Follower(_)) {
            self.become_follower(self.shared.term(), Some(from), out);
        }
        if !mutant(Mutant::LeaderDoesNotResetTimer) {
            self.shared.restart_election_timer();
        }
        self.shared.note_leader(from);
        self.shared.resolve_transfer(from, out);
        let Role::Follower(follower) = &mut self.role else {
            return None;
        };
        follower.leader = Some(from);
        follower.heard = Some(self.shared.now);
        self.shared.announce_repair(out);
        self.shared.promise(Some(from));
        Some((follower, &mut self.shared))
    }

    /// A leader's snapshot is durable in our store (thesis §5.3, RULES 95).
    pub(super) fn on_snapshot_received(
        &mut self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
        out: &mut Effects,
    ) {
        if is_term_too_far(self.shared.term(), term) {
            let nonsense = Nonsense::TermTooFar { from, term };
            return self.shared.drop_nonsense(nonsense, out);
        }
        if !meta.is_possible_in(term) {
            let claim = "to send a snapshot of what no leader can have committed yet";
            let nonsense = Nonsense::Impossible { from, claim };
            return self.shared.drop_nonsense(nonsense, out);
        }
        self.observe_term(term, out);
        if term < self.shared.term() && !mutant(Mutant::SnapshotAlwaysSent) {
            return; // Its sender leads no more. What it sent is true all the same, and unneeded.
        }
        if let Some((follower, shared)) = self.follow(from, out) {
            follower.on_snapshot(shared, from, meta, out);
        }
    }
}

impl Follower {
    /// Stores entries if the log contains the one before them, and says so when they are durable.
    pub(super) fn on_append(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        previous: LogId,
        entries: &[Entry],
        commit: LogIndex,
        out: &mut Effects,
    ) {
        if !is_contiguous(previous, entries, shared.term()) {
            return shared.drop_nonsense(Nonsense::MalformedEntries { from }, out);
        }
        let covered = entries.last().map_or(previous, Entry::id);
        // What is committed here is in the leader's log too, so it need not be compared, and may
        // be purged (RULES 29).
        let known = shared.committed;
        if previous.index > known
            && !mutant(Mutant::PreviousNotChecked)
            && shared.log.term_at(previous.index) != Some(previous.term)
        {
            let hint = shared.log.agreement_hint(previous.index, previous.term);
            let body = Body::AppendRejected {
                previous: previous.index,
                hint,
            };
            return shared.send(from, body, out);
        }
        if let Some(fault) = contradiction(shared, from, previous, entries) {
            return shared.halt(fault, out);
        }
        let is_new = |entry: &&Entry| {
            entry.index() > known
                && (mutant(Mutant::AlwaysTruncates)
                    || shared.log.term_at(entry.index()) != Some(entry.term()))
        };
        if let Some(first) = entries.iter().find(is_new).map(Entry::index)
            && !(mutant(Mutant::ConflictKept) && first <= shared.log.last().id.index)
        {
            // Only a real conflict truncates: a late duplicate must not cut off what came after
            // it (RULES 26).
            if first <= shared.log.last().id.index {
                shared.truncate(first, out);
            }
            let skip = usize::try_from(first.distance_from(previous.index.next()));
            shared.append(
                entries
                    .get(skip.unwrap_or(usize::MAX)..)
                    .unwrap_or_default(),
                out,
            );
        }
        self.verified = self.verified.max(covered.index);
        // Not beyond what this leader's messages have verified (RULES 28).
        let cap = if mutant(Mutant::CommitNotCapped) {
            shared.log.last().id.index
        } else {
            self.verified.max(known)
        };
        shared.commit_through(commit.min(cap), out);
        shared.notice_displacement(commit <= cap, out);
        shared.notice_contents(commit <= cap);
        // Not our own last index: beyond `covered` there may be a tail that is not the leader's
        // (RULES 27).
        let matched = if mutant(Mutant::MatchedIsOwnLast) {
            shared.log.last().id.index
        } else {
            covered.index.max(known)
        };
        shared.send_when_durable(from, Body::AppendAccepted { matched }, out);
    }

    /// The leader lives. It caps the commit index by what it knows this node to store.
    pub(super) fn on_heartbeat(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        round: Round,
        commit: LogIndex,
        out: &mut Effects,
    ) {
        shared.commit_through(commit.min(shared.log.last().id.index), out);
        shared.send(
            from,
            Body::HeartbeatReply {
                round,
                verified: self.verified,
                supersedes: shared.superseded(),
            },
            out,
        );
    }

    fn on_snapshot(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        meta: SnapshotMeta,
        out: &mut Effects,
    ) {
        let last = meta.header.last;
        if last.id.index > shared.committed || mutant(Mutant::SnapshotMovesBack) {
            if shared.log.term_at(last.id.index) == Some(last.id.term) {
                // The log has it all: nothing to install, only to commit.
                self.verified = self.verified.max(last.id.index);
                shared.commit_through(last.id.index, out);
            } else {
                self.verified = last.id.index;
                shared.install(meta, out);
            }
        }
        let through = last.id.index.max(shared.committed);
        shared.send_when_durable(from, Body::SnapshotInstalled { through }, out);
    }
}

impl Shared {
    /// The log begins anew after a snapshot, and the state machine with it.
    fn install(&mut self, meta: SnapshotMeta, out: &mut Effects) {
        let header = &meta.header;
        let mut base = header.last;
        if mutant(Mutant::SnapshotTermLost) {
            base.id.term = Term::new(base.id.term.get().saturating_sub(1));
        }
        self.log.reset(base, header.time);
        if !mutant(Mutant::SnapshotKeepsLog) {
            self.pending.stage_reset(base);
        }
        if !mutant(Mutant::SnapshotForgetsMembership) {
            self.memberships
                .reset(header.membership_at, Arc::clone(&header.membership));
        }
        self.announce_membership(out);
        self.committed = header.last.id.index;
        self.compaction.snapshot = Some(meta.id());
        self.apply.bytes_since_snapshot = 0;
        self.timers.stop(Timer::Snapshot);
        self.restore(meta, out);
    }
}

/// Indexes rise by one from `previous` on, terms never fall, none is beyond the leader's, and each
/// entry names its predecessor's checksum (RULES 30).
fn is_contiguous(previous: LogId, entries: &[Entry], term: Term) -> bool {
    // The beginning of every log is one and the same, and no entry is of term zero.
    let is_origin = previous.index == LogIndex::ZERO;
    if is_origin != (previous.term == Term::ZERO) || previous.term > term {
        return false;
    }
    let Some(first) = entries.first() else {
        return true;
    };
    let before = ChainLink {
        id: previous,
        checksum: first.previous_checksum(),
    };
    if is_origin && (before != ChainLink::ORIGIN || first.term() == Term::ZERO) {
        return false;
    }
    let links = std::iter::once(before).chain(entries.iter().map(Entry::link));
    entries
        .iter()
        .zip(links)
        .all(|(entry, before)| entry.follows(before) && entry.term() <= term)
}

/// Entries that equal ours in term and index, and not in content; or that contradict what is
/// committed. Neither can happen unless a disk has lied (RULES 25).
fn contradiction(
    shared: &Shared,
    leader: NodeId,
    previous: LogId,
    entries: &[Entry],
) -> Option<Fault> {
    let differs = |theirs: ChainLink| {
        let ours = shared.log.link_at(theirs.id.index)?;
        if ours.id.term != theirs.id.term {
            let (term, ours, theirs) = (shared.term(), ours.id, theirs.id);
            let is_committed = theirs.index <= shared.committed;
            return is_committed.then_some(Fault::CommittedConflict { term, ours, theirs });
        }
        let (at, ours, theirs) = (theirs.id, ours.checksum, theirs.checksum);
        (ours != theirs).then_some(Fault::Divergence {
            at,
            leader,
            ours,
            theirs,
        })
    };
    let before = entries.first().map(|first| ChainLink {
        id: previous,
        checksum: first.previous_checksum(),
    });
    before
        .into_iter()
        .chain(entries.iter().map(Entry::link))
        .find_map(differs)
}
