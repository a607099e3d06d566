//! The state machine of the stories: the list of the commands that were applied.

use std::sync::Arc;

use raft_core::entry::{Entry, Payload};
use raft_core::id::{ChainLink, LogId};
use raft_core::membership::Membership;
use raft_core::snapshot::{SnapshotHeader, SnapshotMeta};
use raft_core::time::ClusterTime;

/// What was applied so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// The last applied entry.
    pub(crate) last: ChainLink,
    /// The commands, in order.
    pub(crate) commands: Vec<String>,
    time: ClusterTime,
    membership: Option<(LogId, Arc<Membership>)>,
}

/// A frozen machine.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What it stands for.
    pub(crate) meta: SnapshotMeta,
    /// The machine.
    pub(crate) machine: Machine,
    /// It is damaged on its disk.
    pub(crate) is_spoilt: bool,
}

impl Machine {
    /// Applies the next entry.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        let last = self.last;
        assert!(
            entry.follows(last),
            "{entry:?} was given to the machine right after {last}"
        );
        match entry.payload() {
            Payload::Command(_) => self.commands.push(command_of(entry)),
            Payload::Membership { membership, .. } => {
                self.membership = Some((entry.id(), Arc::clone(membership)));
            }
            _ => {}
        }
        self.last = entry.link();
        self.time = entry.time();
    }

    /// Freezes the machine. `None` before the first membership: there is nothing worth freezing.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let (membership_at, membership) = self.membership.clone()?;
        let header = SnapshotHeader {
            last: self.last,
            time: self.time,
            membership,
            membership_at,
        };
        let size: usize = self.commands.iter().map(String::len).sum();
        let meta = SnapshotMeta {
            header,
            size: size as u64,
            checksum: crc32c::crc32c(self.commands.concat().as_bytes()),
        };
        Some(Snapshot {
            meta,
            machine: self.clone(),
            is_spoilt: false,
        })
    }
}

/// An entry's command as text; other payloads by name.
pub(crate) fn command_of(entry: &Entry) -> String {
    match entry.payload() {
        Payload::Command(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Blank => "blank".to_owned(),
        _ => "membership".to_owned(),
    }
}
