//! The state machine of the stories: the list of the commands that were applied, in sessions or not.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::consensus::{Backup, Gathered, Gathering};
use raft_core::entry::{Entry, Payload};
use raft_core::id::{ChainLink, LogId};
use raft_core::membership::Membership;
use raft_core::restoration::Restoration;
use raft_core::sessions::Sessions;
use raft_core::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use raft_core::time::ClusterTime;

/// What was applied so far, and where in the log that is.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The last applied entry.
    pub(crate) last: ChainLink,
    state: State,
    gathering: Gathering,
    time: ClusterTime,
    membership: Option<(LogId, Arc<Membership>)>,
}

/// The commands, in order.
#[derive(Debug, Default)]
pub(crate) struct List(Vec<String>);

#[derive(Debug)]
enum State {
    Plain(List),
    InSessions(Sessions<List>),
}

/// A frozen machine.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What it stands for.
    pub(crate) meta: SnapshotMeta,
    /// What the machine wrote.
    pub(crate) bytes: Bytes,
    /// It is damaged on its disk.
    pub(crate) is_spoilt: bool,
}

/// What came of an entry.
#[derive(Debug)]
pub(crate) enum Applied {
    /// Nothing that anybody waits for.
    Nothing,
    /// The machine's response to a command.
    Response(Bytes),
    /// A backup is to take the place of the state.
    Replace(Backup),
    /// It has, and is this snapshot.
    Replaced(SnapshotMeta),
    /// A part of a restoration is in vain.
    Void(&'static str),
}

impl Machine {
    /// An empty machine.
    pub(crate) fn new(in_sessions: bool) -> Self {
        let state = match in_sessions {
            true => State::InSessions(Sessions::new(List::default())),
            false => State::Plain(List::default()),
        };
        Self {
            last: ChainLink::ORIGIN,
            state,
            gathering: Gathering::default(),
            time: ClusterTime::ZERO,
            membership: None,
        }
    }

    /// The commands, in order.
    pub(crate) fn commands(&self) -> &[String] {
        match &self.state {
            State::Plain(list) => &list.0,
            State::InSessions(sessions) => &sessions.machine().0,
        }
    }

    /// How many sessions are open.
    pub(crate) fn sessions(&self) -> usize {
        match &self.state {
            State::Plain(_) => 0,
            State::InSessions(sessions) => sessions.count(),
        }
    }

    /// Whether a snapshot would end within a restoration.
    pub(crate) fn is_gathering(&self) -> bool {
        self.gathering.is_open()
    }

    /// Applies the next entry.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Applied {
        let last = self.last;
        assert!(
            entry.follows(last),
            "{entry:?} was given to the machine right after {last}"
        );
        self.last = entry.link();
        self.time = entry.time();
        match self.gathering.take(entry) {
            Gathered::Other => self.take(entry),
            Gathered::Part => Applied::Nothing,
            Gathered::Void(reason) => Applied::Void(reason),
            Gathered::Whole(backup) => Applied::Replace(backup),
        }
    }

    fn take(&mut self, entry: &Entry) -> Applied {
        match entry.payload() {
            Payload::Command(command) => {
                let committed = Committed {
                    id: entry.id(),
                    time: entry.time(),
                    command: command.clone(),
                };
                let responses = self.state().apply(&[committed]);
                let response = responses.expect("it takes every command").pop();
                Applied::Response(response.expect("each has a response"))
            }
            Payload::Membership { membership, .. } => {
                self.membership = Some((entry.id(), Arc::clone(membership)));
                Applied::Nothing
            }
            _ => Applied::Nothing, // Raft's own.
        }
    }

    /// Freezes the machine. `None` before the first membership: there is nothing worth freezing.
    pub(crate) fn snapshot(&mut self) -> Option<Snapshot> {
        let mut bytes = Vec::new();
        let view = self.state().snapshot().expect("it can always be frozen");
        view.write(&mut bytes).expect("memory takes everything");
        self.snapshot_of(bytes.into())
    }

    /// What a snapshot is that ends here and holds `bytes`.
    pub(crate) fn snapshot_of(&self, bytes: Bytes) -> Option<Snapshot> {
        let (membership_at, membership) = self.membership.clone()?;
        let header = SnapshotHeader {
            last: self.last,
            time: self.time,
            membership,
            membership_at,
        };
        let mut all = Kept::NOTHING;
        all.add(&bytes);
        let meta = SnapshotMeta {
            header,
            size: all.size,
            checksum: all.checksum,
        };
        Some(Snapshot {
            meta,
            bytes,
            is_spoilt: false,
        })
    }

    /// Begins anew from a snapshot.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) {
        let mut data = snapshot.bytes.as_ref();
        let restored = self.state().restore(&snapshot.meta, &mut data);
        restored.expect("a machine of the same kind wrote it");
        let header = &snapshot.meta.header;
        self.last = header.last;
        self.time = header.time;
        self.membership = Some((header.membership_at, Arc::clone(&header.membership)));
        self.gathering = Gathering::default();
    }

    fn state(&mut self) -> &mut dyn StateMachine {
        match &mut self.state {
            State::Plain(list) => list,
            State::InSessions(sessions) => sessions,
        }
    }
}

/// A command is answered with the number of commands so far.
impl StateMachine for List {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let take = |committed: &Committed| {
            let command = String::from_utf8_lossy(&committed.command);
            self.0.push(command.into_owned());
            self.0.len().to_string().into()
        };
        Ok(batch.iter().map(take).collect())
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        let lines: String = self.0.iter().map(|line| format!("{line}\n")).collect();
        Ok(SnapshotView::of_bytes(lines))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        self.0 = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

/// An entry's command as text; other payloads by name.
pub(crate) fn command_of(entry: &Entry) -> String {
    match entry.payload() {
        Payload::Command(bytes) => request_of(bytes),
        Payload::Blank => "blank".to_owned(),
        Payload::Membership { .. } => "membership".to_owned(),
        Payload::Restoration { part, .. } => part_of(part),
        other => format!("{other:?}"),
    }
}

/// A session's request is `add#3.1`: the first command of the session that entry 3 opened.
pub(crate) fn request_of(bytes: &Bytes) -> String {
    let number = |at: usize| {
        let field = bytes.get(at..at + 8).expect("the format has it");
        u64::from_le_bytes(field.try_into().expect("eight bytes"))
    };
    match bytes.as_ref() {
        [0x5e, 1, 1, 0, ..] => "open".to_owned(),
        [0x5e, 1, 2, 0, ..] => {
            let command = String::from_utf8_lossy(&bytes[28..]);
            format!("{command}#{}.{}", number(4), number(12))
        }
        [0x5e, 1, 3, 0, ..] => format!("keep#{}", number(4)),
        [0x5e, 1, 4, 0, ..] => format!("close#{}", number(4)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn part_of(part: &Restoration) -> String {
    match part {
        Restoration::Begin { size, .. } => format!("begin({size})"),
        Restoration::Chunk {
            begin,
            offset,
            data,
        } => format!("piece#{begin}({offset}..{})", offset + data.len() as u64),
        Restoration::End { begin, .. } => format!("end#{begin}"),
        Restoration::Abort { begin } => format!("abort#{begin}"),
        other => format!("{other:?}"),
    }
}
