//! The replicated state machine of the simulation: registers, and a hash of their history.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, Payload};
use crate::id::{ChainLink, LogId, LogIndex};
use crate::membership::Membership;
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

/// A command without padding.
const COMMAND_BYTES: usize = 1 + 8;

/// Writes `value` into the register `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) key: u8,
    pub(super) value: u64,
}

impl Machine {
    pub(super) fn apply(&mut self, entry: &Entry) {
        assert!(
            entry.follows(self.last),
            "entry {entry:?} is applied after {}",
            self.last
        );
        self.last = entry.link();
        self.time = entry.time();
        self.hash = crc32c::crc32c_append(self.hash, &entry.header());
        match entry.payload() {
            Payload::Command(bytes) => {
                if let Some(command) = Command::decode(bytes) {
                    self.registers.insert(command.key, command.value);
                }
            }
            Payload::Membership { membership, .. } => {
                self.membership = Some((entry.id(), Arc::clone(membership)));
            }
            Payload::Blank | Payload::Restoration { .. } => {}
        }
    }

    /// What a backup of this state holds.
    pub(super) fn backup(&self) -> Bytes {
        let registers = self.registers.iter();
        let records = registers.flat_map(|(key, value)| {
            let value = *value;
            Command { key: *key, value }.encode(0)
        });
        records.collect()
    }

    /// The entry ends a restoration of `backup`.
    pub(super) fn replace(&mut self, end: &Entry, backup: &[u8]) {
        self.apply(end);
        let records = backup.chunks(COMMAND_BYTES).filter_map(Command::decode);
        self.registers = records.map(|one| (one.key, one.value)).collect();
        self.hash = crc32c::crc32c_append(self.hash, backup);
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
