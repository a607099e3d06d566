//! One node of a story: a core, its disk, its state machine.

use std::collections::VecDeque;

use raft_core::Identity;
use raft_core::config::Config;
use raft_core::consensus::{Backup, Event, Raft, Reader, Recovery, Sequence, Setup};
use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::Membership;
use raft_core::time::{ClusterTime, Timestamp};
use raft_core::transport::{Inbox, InboxReceiver};

use super::disk::{Disk, Image};
use super::machine::{Applied, Machine, Snapshot};

/// The group of all stories.
pub(crate) const GROUP: GroupId = GroupId::new(0);

/// The cluster of all stories.
pub(crate) const CLUSTER: ClusterId = ClusterId::new(0);
/// No story sends entries through an inbox.
const INBOX_BYTES: u32 = 1 << 10;

/// One node. While it is down, `raft` is empty.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) id: NodeId,
    /// How often it has lost its disk.
    pub(crate) wipes: u64,
    /// Which recovery of the group it has taken part in.
    pub(crate) epoch: RecoveryEpoch,
    /// The core, while it runs.
    pub(crate) raft: Option<Raft>,
    /// What survives a crash.
    pub(crate) disk: Disk,
    /// What does not.
    pub(crate) machine: Machine,
    /// The snapshot that the machine is to begin anew from.
    pub(crate) to_restore: Option<Snapshot>,
    /// Entries that the machine is to apply then.
    pub(crate) to_apply: Vec<Entry>,
    /// The machine is to be frozen after that.
    pub(crate) to_freeze: bool,
    /// It is to be frozen after the restoration under way.
    pub(crate) is_delayed: bool,
    /// What came of entries, and was not told yet.
    pub(crate) outcomes: Vec<(LogId, Applied)>,
    /// Where snapshots arrive in parts, while it runs.
    pub(crate) intake: Option<(Inbox, InboxReceiver)>,
    /// What was read from the disk, and is yet to be reported.
    pub(crate) fetched: VecDeque<Event>,
    /// The commit index that the last step left.
    pub(crate) committed: LogIndex,
    in_sessions: bool,
}

impl Member {
    /// A node with a disk that holds the entries of these terms, the first one the membership.
    pub(crate) fn new(
        id: NodeId,
        terms: &[u64],
        membership: &Membership,
        in_sessions: bool,
    ) -> Self {
        let mut disk = Disk::default();
        let mut previous = ChainLink::ORIGIN;
        for term in terms {
            let entry = entry_after(previous, Term::new(*term), membership);
            previous = entry.link();
            disk.durable.log.push(entry);
        }
        Self {
            id,
            wipes: 0,
            epoch: RecoveryEpoch::default(),
            raft: None,
            disk,
            machine: Machine::new(in_sessions),
            to_restore: None,
            to_apply: Vec::new(),
            to_freeze: false,
            is_delayed: false,
            outcomes: Vec::new(),
            intake: None,
            fetched: VecDeque::new(),
            committed: LogIndex::ZERO,
            in_sessions,
        }
    }

    /// Which life this is: in the first it is called as the node, in the others by another number.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation::new(self.id.get() + 10 * self.wipes)
    }

    /// Whose data its disk holds.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            cluster: CLUSTER,
            group: GROUP,
            node: self.id,
            incarnation: self.incarnation(),
            epoch: self.epoch,
        }
    }

    /// Starts from what the disk holds, as the shell does.
    pub(crate) fn start(&mut self, config: Config, now: Timestamp) {
        let snapshot = self.disk.newest_snapshot().cloned();
        if let Some(snapshot) = &snapshot {
            let last = snapshot.meta.header.last;
            let log = &mut self.disk.durable;
            let held = log.entry(last.id.index).map(Entry::link) == Some(last);
            if !held {
                log.purge(last);
            }
            if self.machine.last.id.index < last.id.index {
                self.machine.restore(snapshot);
            }
        }
        let Image {
            hard_state,
            purged,
            log,
            former,
        } = self.disk.durable.clone();
        let meta = snapshot.map(|snapshot| snapshot.meta);
        let mut recovery = Recovery::new(&config, hard_state, meta, purged)
            .expect("a snapshot covers what was purged")
            .after(former);
        for entry in log {
            recovery
                .replay(entry)
                .expect("the disk of a story is intact");
        }
        let setup = Setup {
            id: self.id,
            incarnation: self.incarnation(),
            group: GROUP,
            config,
            seed: self.id.get(),
        };
        let applied = self.machine.last.id.index;
        let snapshots = self.disk.arriving.open().snapshots;
        self.intake = Some(Inbox::new(INBOX_BYTES, snapshots));
        self.raft = Some(Raft::new(setup, recovery, applied, now));
        self.committed = applied;
    }

    /// Loses everything that is not durable.
    pub(crate) fn stop(&mut self, machine_is_durable: bool) {
        self.raft = None;
        if !machine_is_durable {
            self.machine = Machine::new(self.in_sessions);
        }
        self.intake = None;
        self.to_freeze = false;
        self.is_delayed = false;
        self.outcomes.clear();
        self.to_restore = None;
        self.to_apply.clear();
        self.fetched.clear();
        self.committed = LogIndex::ZERO;
    }

    /// Makes `count` writes durable.
    pub(crate) fn persist(&mut self, count: usize) -> Option<Event> {
        let sequence: Sequence = self.disk.sync(count)?;
        Some(Event::Persisted(sequence))
    }

    /// Lets the machine do what waits for it.
    pub(crate) fn apply(&mut self) -> Option<Event> {
        let before = self.machine.last;
        if let Some(snapshot) = self.to_restore.take() {
            self.machine.restore(&snapshot);
        }
        for entry in std::mem::take(&mut self.to_apply) {
            let outcome = match self.machine.apply(&entry) {
                Applied::Replace(backup) => self.replace(&entry, &backup),
                other => other,
            };
            self.outcomes.push((entry.id(), outcome));
        }
        let last = self.machine.last;
        (last != before).then_some(Event::Applied(last.id.index))
    }

    /// The end of a restoration is applied: what lies in this node's own log becomes a snapshot, and
    /// the machine begins anew from that.
    fn replace(&mut self, end: &Entry, backup: &Backup) -> Applied {
        let log = &self.disk.durable;
        assert!(
            log.purged.id.index < backup.begin.index,
            "the log lost a backup"
        );
        let between = log
            .log
            .iter()
            .filter(|entry| entry.index() > backup.begin.index && entry.index() < end.index());
        let pieces: Vec<&[u8]> = between
            .filter_map(|entry| backup.piece(entry))
            .map(AsRef::as_ref)
            .collect();
        let snapshot = self.machine.snapshot_of(pieces.concat().into());
        let snapshot = snapshot.expect("a membership comes first");
        assert!(
            backup.all.is_all_of(&snapshot.meta),
            "the log holds {backup:?}"
        );
        self.machine.restore(&snapshot);
        let meta = snapshot.meta.clone();
        self.disk.keep_snapshot(snapshot);
        self.is_delayed = false;
        Applied::Replaced(meta)
    }

    /// Reads entries for the core, as the reader of a log store does.
    pub(crate) fn fetch(
        &self,
        reader: Reader,
        range: std::ops::Range<LogIndex>,
        bytes_max: usize,
    ) -> Event {
        let log = &self.disk.durable;
        if range.start <= log.purged.id.index {
            return Event::FetchPurged { reader };
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in log
            .log
            .iter()
            .filter(|entry| range.contains(&entry.index()))
        {
            bytes += entry.record_bytes();
            if !entries.is_empty() && bytes > bytes_max {
                break;
            }
            entries.push(entry.clone());
        }
        assert!(
            !entries.is_empty(),
            "{range:?} is not durable on {}",
            self.id
        );
        Event::Fetched {
            reader,
            from: range.start,
            entries,
        }
    }
}

/// The entry of `term` after `previous`. The same arguments give the same entry, so that the logs
/// of different nodes match where a story gives them the same terms.
pub(crate) fn entry_after(previous: ChainLink, term: Term, membership: &Membership) -> Entry {
    let payload = match previous.id.index {
        LogIndex::ZERO => Payload::membership(membership.clone()).expect("it is small"),
        _ => {
            let index = previous.id.index.next();
            Payload::Command(format!("c{index}.{term}").into_bytes().into())
        }
    };
    Entry::new(previous, term, ClusterTime::ZERO, Sealed::new(payload))
}
