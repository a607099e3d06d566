//! The replicated state machine of the simulation: registers, and a hash of their history.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, Payload};
use crate::id::{ChainLink, LogId, LogIndex};
use crate::membership::Membership;
use crate::node::applier::Position;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::time::ClusterTime;

/// Registers by key. Cloning it is taking a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    /// The last entry that was applied.
    pub(super) last: ChainLink,
    pub(super) time: ClusterTime,
    /// The membership in force at that entry, and where it was appended.
    pub(super) membership: Option<(LogId, Arc<Membership>)>,
    registers: BTreeMap<u8, u64>,
    /// Of everything that was applied, in order.
    pub(super) hash: u32,
    /// In a snapshot: its bytes, those of a user's machine if there is one.
    pub(super) saved: Option<Bytes>,
}

/// Writes `value` into the register `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) key: u8,
    pub(super) value: u64,
}

impl Machine {
    /// Applies the next entry of the log.
    pub(super) fn apply(&mut self, entry: &Entry) {
        assert!(
            entry.follows(self.last),
            "entry {entry:?} is applied after {}",
            self.last
        );
        self.last = entry.link();
        self.time = entry.time();
        match entry.payload() {
            Payload::Command(command) => {
                self.execute(entry.id(), entry.time(), command);
            }
            Payload::Membership { membership, .. } => {
                self.membership = Some((entry.id(), Arc::clone(membership)));
            }
            Payload::Blank | Payload::Restoration { .. } => {}
        }
    }

    /// Executes a command, and returns what was written.
    pub(super) fn execute(&mut self, id: LogId, time: ClusterTime, command: &Bytes) -> Option<u64> {
        let (index, term) = (id.index.get().to_le_bytes(), id.term.get().to_le_bytes());
        let time = time.as_micros().to_le_bytes();
        for part in [&index[..], &term, &time, command] {
            self.hash = crc32c::crc32c_append(self.hash, part);
        }
        let command = Command::decode(command)?;
        self.registers.insert(command.key, command.value);
        Some(command.value)
    }

    /// The state that a machine has after it was restored from this snapshot.
    pub(super) fn restored(self) -> Self {
        Self {
            saved: None,
            ..self
        }
    }

    /// It is at this place in the log.
    pub(super) fn move_to(&mut self, position: &Position) {
        self.last = position.last;
        self.time = position.time;
        self.membership.clone_from(&position.membership);
    }

    /// A snapshot of these bytes. If they are those of a user's machine, nothing else is known of it.
    pub(super) fn saved(header: SnapshotHeader, bytes: Bytes) -> (SnapshotMeta, Self) {
        let mut place = Self::default();
        place.move_to(&Position::after(&header));
        let meta = SnapshotMeta {
            header,
            size: bytes.len() as u64,
            checksum: crc32c::crc32c(&bytes),
        };
        let machine = place.decoded(&bytes).unwrap_or(Self {
            saved: Some(bytes),
            ..place
        });
        (meta, machine)
    }

    pub(super) fn applied(&self) -> LogIndex {
        self.last.id.index
    }

    /// The state as the bytes of a snapshot.
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = self.hash.to_le_bytes().to_vec();
        for (key, value) in &self.registers {
            bytes.push(*key);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.into()
    }

    /// The state of which these bytes are the snapshot, at the same place in the log as `self`. `None`
    /// if no state is encoded so.
    pub(super) fn decoded(&self, bytes: &Bytes) -> Option<Self> {
        let (hash, mut rest) = bytes.split_first_chunk()?;
        let mut registers = BTreeMap::new();
        while let Some((key, after)) = rest.split_first() {
            let (value, after) = after.split_first_chunk()?;
            registers.insert(*key, u64::from_le_bytes(*value));
            rest = after;
        }
        Some(Self {
            hash: u32::from_le_bytes(*hash),
            registers,
            saved: Some(bytes.clone()),
            ..self.clone()
        })
    }

    /// What a snapshot of this state stands for; `None` before the first membership.
    pub(super) fn meta(&self) -> Option<SnapshotMeta> {
        let (membership_at, membership) = self.membership.clone()?;
        let header = SnapshotHeader {
            last: self.last,
            time: self.time,
            membership,
            membership_at,
        };
        let (size, checksum) = match &self.saved {
            Some(bytes) => (bytes.len() as u64, crc32c::crc32c(bytes)),
            None => (0, self.hash),
        };
        Some(SnapshotMeta {
            header,
            size,
            checksum,
        })
    }
}

impl Command {
    pub(super) fn encode(self, padding: usize) -> Bytes {
        let mut bytes = vec![self.key];
        bytes.extend_from_slice(&self.value.to_le_bytes());
        bytes.resize(bytes.len() + padding, 0);
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first()?;
        Some(Self {
            key: *key,
            value: u64::from_le_bytes(*rest.first_chunk()?),
        })
    }
}
