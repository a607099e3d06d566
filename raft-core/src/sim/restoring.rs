//! Somebody restores backups in a running group, and does not always do it well.
//!
//! What the caller of a restoration was told is remembered: a backup of which it was said that it
//! never becomes the state must not, whoever goes on with its pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::calls::Proposal;
use super::chance::Chance;
use super::check::{Broken, Held, broken};
use super::cluster::{Cluster, Happening};
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::{Conditions, Event, Raft, RoleName};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{LogId, NodeId, Term};
use crate::node::replacing::Replaced;
use crate::restoration::Restoration;
use crate::snapshot::{Kept, SnapshotMeta};

/// Who restores.
#[derive(Debug)]
pub(super) struct Restorer {
    chance: Chance,
    /// The restoration under way.
    attempt: Option<Attempt>,
    /// What each restoration was to bring.
    begun: BTreeMap<LogId, Kept>,
    /// Restorations that will never take effect, as their callers were told.
    refused: BTreeSet<LogId>,
}

#[derive(Clone, Debug)]
struct Attempt {
    begin: LogId,
    backup: Bytes,
    sent: usize,
    /// Its caller was told that it failed, and somebody goes on with it.
    is_stale: bool,
    /// It is to be given up, once a leader takes that.
    is_given_up: bool,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proposed {
    /// It stands here in the log.
    Taken(LogId),
    Refused,
    /// The leader went down with it.
    Unknown,
}

/// In one life of so many.
const LIVES: u64 = 7;

const PROPERTY: &str = "a restoration is whole, and what its caller was told";

impl Restorer {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, 14),
            attempt: None,
            begun: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Whether backups are restored in this life.
    pub(super) fn is_at_work(seed: u64) -> bool {
        seed % LIVES == 4
    }

    /// A backup has become the state, by the restoration `begin`.
    fn judge(&self, node: NodeId, begin: LogId, found: Kept) -> Held {
        if self.refused.contains(&begin) {
            let detail = format!("node {node} ends restoration {begin}, which was said to be over");
            return broken(PROPERTY, detail);
        }
        if self.begun.get(&begin) != Some(&found) {
            let detail = format!("node {node} ends restoration {begin} with {found:?}");
            return broken(PROPERTY, detail);
        }
        Ok(())
    }
}

impl Cluster {
    /// The next piece, or the next backup.
    pub(super) fn restore_turn(&mut self) -> Result<(), Broken> {
        if self.subject.is_some() {
            return Ok(()); // Its states are its own.
        }
        let chance = &mut self.restorer.chance;
        let pause = chance.duration(Duration::from_millis(2), Duration::from_millis(60));
        let begins = chance.below(20) == 0;
        let goes_on = self.faults_go_on();
        match self.restorer.attempt.take() {
            None if !goes_on => return Ok(()),
            None if begins => self.begin_restoration()?,
            None => {}
            Some(attempt) if !goes_on => self.restorer.attempt = self.give_up(attempt)?,
            Some(attempt) => self.restorer.attempt = self.go_on(attempt)?,
        }
        self.schedule(pause, Happening::RestoreTurn);
        Ok(())
    }

    /// Any state of any node will do.
    fn begin_restoration(&mut self) -> Result<(), Broken> {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        let source = self.restorer.chance.pick(&nodes).copied();
        let machine = source.and_then(|id| self.nodes.get(&id));
        let Some(backup) = machine.map(|node| node.machine.encode()) else {
            return Ok(());
        };
        let mut all = Kept::NOTHING;
        all.add(&backup);
        let begin = Restoration::Begin {
            size: all.size,
            checksum: all.checksum,
        };
        let Proposed::Taken(begin) = self.propose_part(&begin, None)? else {
            return Ok(());
        };
        self.restorer.begun.insert(begin, all);
        self.restorer.attempt = Some(Attempt {
            begin,
            backup,
            sent: 0,
            is_stale: false,
            is_given_up: false,
        });
        Ok(())
    }

    fn go_on(&mut self, mut attempt: Attempt) -> Result<Option<Attempt>, Broken> {
        let leads = |term: Term| self.leader_of(term).is_some();
        if !attempt.is_stale && !leads(attempt.begin.term) {
            self.meet(Situation::LeaderLostInRestoration);
            self.restorer.refused.insert(attempt.begin);
            attempt.is_stale = self.restorer.chance.coin();
            if !attempt.is_stale {
                return Ok(None);
            }
        }
        let whim = self.restorer.chance.below(40);
        if whim == 0 || attempt.is_given_up {
            return self.give_up(attempt);
        }
        let term = (!attempt.is_stale).then_some(attempt.begin.term);
        let begin = attempt.begin.index;
        let left = attempt.backup.slice(attempt.sent..);
        if left.is_empty() {
            let time = self.nodes.values().map(|node| node.machine.time).max();
            let time = time.unwrap_or_default();
            let ended = self.propose_part(&Restoration::End { begin, time }, term)?;
            return Ok((ended == Proposed::Refused).then_some(attempt));
        }
        let size = self.restorer.chance.between(1, 24);
        let size = usize::try_from(size).unwrap_or(1).min(left.len());
        let chunk = Restoration::Chunk {
            begin,
            offset: attempt.sent as u64,
            data: left.slice(..size),
        };
        if whim == 1 {
            // A piece is lost on the way, and nobody notices.
            self.restorer.refused.insert(attempt.begin);
            attempt.sent += size;
        } else if self.propose_part(&chunk, term)? != Proposed::Refused {
            attempt.sent += size;
        }
        Ok(Some(attempt))
    }

    /// What is not ended is given up, as soon as a leader takes that.
    fn give_up(&mut self, mut attempt: Attempt) -> Result<Option<Attempt>, Broken> {
        attempt.is_given_up = true;
        self.restorer.refused.insert(attempt.begin);
        let term = attempt.begin.term;
        if self.leader_of(term).is_none() {
            return Ok(None);
        }
        let begin = attempt.begin.index;
        let told = self.propose_part(&Restoration::Abort { begin }, Some(term))?;
        Ok((told == Proposed::Refused).then_some(attempt))
    }

    /// Who leads this term, and is up.
    fn leader_of(&self, term: Term) -> Option<NodeId> {
        let leads = |id: &NodeId| {
            let raft = self.nodes.get(id).and_then(|node| node.raft.as_ref());
            raft.map(Raft::standing)
                .is_some_and(|now| now.role == RoleName::Leader && now.term == term)
        };
        self.nodes.keys().copied().find(leads)
    }

    fn propose_part(&mut self, part: &Restoration, term: Option<Term>) -> Result<Proposed, Broken> {
        let leader = match term {
            Some(term) => self.leader_of(term),
            None => self.any_leader(),
        };
        let Some(leader) = leader.filter(|id| self.is_up(*id)) else {
            return Ok(Proposed::Refused);
        };
        let Some(before) = self.end_of_log(leader) else {
            return Ok(Proposed::Refused);
        };
        self.tell(Some(leader), Mark::Fault, || format!("is asked: {part:?}"));
        let conditions = Conditions {
            expected_term: term,
            forward: false,
        };
        let part = Proposal {
            client: None,
            value: None,
            sealed: Sealed::new(Payload::restoration(part)),
        };
        self.propose(leader, conditions, (vec![part], None))?;
        Ok(match self.end_of_log(leader) {
            // More may have been appended in the same step.
            Some(after) if after.index > before.index => {
                Proposed::Taken(LogId::new(before.term, before.index.next()))
            }
            Some(_) => Proposed::Refused,
            None => Proposed::Unknown,
        })
    }

    fn end_of_log(&self, id: NodeId) -> Option<LogId> {
        let raft = self.nodes.get(&id)?.raft.as_ref()?;
        let (term, _) = raft.horizon();
        Some(LogId::new(term, raft.last_index()))
    }

    /// A backup has become the state: the one that was begun there, and that nobody was told is over.
    pub(super) fn judge_replaced(
        &mut self,
        id: NodeId,
        meta: &SnapshotMeta,
        applied: &[Entry],
    ) -> Held {
        let is_end = |entry: &&Entry| entry.id() == meta.id();
        let end = applied.iter().find(is_end).map(Entry::payload);
        let begin = match end {
            Some(Payload::Restoration {
                part: Restoration::End { begin, .. },
                ..
            }) => self.checks.canonical(*begin),
            _ => None,
        };
        let Some(begin) = begin else {
            let detail = format!("node {id} has replaced its state at {}", meta.id());
            return broken(PROPERTY, detail);
        };
        let found = Kept {
            size: meta.size,
            checksum: meta.checksum,
        };
        self.restorer.judge(id, begin.id, found)?;
        self.meet(Situation::StateReplacedByBackup);
        Ok(())
    }

    /// A backup became the state, and so a snapshot.
    pub(super) fn state_replaced(&mut self, id: NodeId, life: u64, replaced: Replaced) -> Held {
        if !self.lives(id, life) {
            return Ok(());
        }
        let Replaced { meta, ends_delay } = replaced;
        if ends_delay {
            return self.snapshot_ended(id, Ok(meta));
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.snapshotting.stored(&meta);
            node.retain_snapshots();
        }
        self.step(id, Event::SnapshotTaken(meta))
    }
}
