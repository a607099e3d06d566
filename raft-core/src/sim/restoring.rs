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
use super::machine::Machine;
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::{Backup, Conditions, Event, Raft, RoleName};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{LogId, NodeId, Term};
use crate::restoration::Restoration;
use crate::snapshot::Kept;

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

    /// A backup is about to become the state.
    fn judge(&self, node: NodeId, backup: &Backup, bytes: &[u8]) -> Held {
        const PROPERTY: &str = "a restoration is whole, and what its caller was told";
        let begin = backup.begin;
        if self.refused.contains(&begin) {
            let detail = format!("node {node} ends restoration {begin}, which was said to be over");
            return broken(PROPERTY, detail);
        }
        let mut found = Kept::NOTHING;
        found.add(bytes);
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
        let Some(backup) = machine.map(|node| node.machine.backup()) else {
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

    /// The end of a restoration is applied: its pieces are read back from the node's own log. False
    /// if that has lost them to a later state, which is on its way.
    pub(super) fn replace_state(
        &mut self,
        id: NodeId,
        end: &Entry,
        backup: &Backup,
    ) -> Result<bool, Broken> {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(false);
        };
        let range = backup.begin.index.next()..end.index();
        let read = match range.is_empty() {
            true => Ok(Some(Vec::new())),
            false => node.disk.read(range, usize::MAX),
        };
        let entries = match read {
            Ok(Some(entries)) => entries,
            Ok(None) => {
                node.is_overtaken = true;
                return Ok(false);
            }
            Err(damaged) => {
                self.stop_for_damage(id, &damaged)?;
                return Ok(false);
            }
        };
        let pieces = entries.iter().filter_map(|entry| backup.piece(entry));
        let bytes = pieces.fold(Vec::new(), |mut all, piece| {
            all.extend_from_slice(piece);
            all
        });
        self.restorer.judge(id, backup, &bytes)?;
        node.machine.replace(end, &bytes);
        self.meet(Situation::StateReplacedByBackup);
        Ok(true)
    }

    /// A backup became the state, and so a snapshot.
    pub(super) fn keep_replaced(
        &mut self,
        id: NodeId,
        replaced: Vec<Machine>,
    ) -> Result<(), Broken> {
        for mut machine in replaced {
            machine.saved = Some(machine.encode());
            let Some((meta, node)) = machine.meta().zip(self.nodes.get_mut(&id)) else {
                return Ok(());
            };
            node.disk.keep_snapshot(meta.clone(), machine);
            node.snapshotting.stored(&meta);
            node.retain_snapshots();
            self.step(id, Event::SnapshotTaken(meta))?;
        }
        Ok(())
    }
}
