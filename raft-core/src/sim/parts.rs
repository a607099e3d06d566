//! The part of a snapshot that has arrived at a node: what it is believed to be after a crash, and who
//! may go on with it, by the rules of the store of files and with its marks.
//!
//! The two files are bytes here. So many of them are synced; a crash keeps those, and any length of
//! the others, which may hold anything.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::chance::Chance;
use crate::consensus::mutant::{Mutant, mutant};
use crate::id::{LogId, LogIndex};
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::store::marks::{Found, MARK_BYTES, encode_mark, marks_head};
use crate::store::{SnapshotRead, SnapshotSink, SnapshotStore, StoreError};
use crate::transport::Inbox;

/// The received part of one snapshot at most, shared with the sinks that write it.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    part: Option<Part>,
    attempts: u64,
    /// A snapshot that is complete, until the node takes it.
    finished: Option<Bytes>,
    /// The last attempt has verified what an earlier life had kept.
    is_from_former_life: bool,
}

/// What is there of one snapshot.
#[derive(Debug)]
struct Part {
    meta: SnapshotMeta,
    kept: Kept,
    data: Vec<u8>,
    marks: Vec<u8>,
    /// How much of each is synced.
    synced: (usize, usize),
    marked: u64,
    /// The sink that may write.
    owner: u64,
    /// A crash has happened: nothing is known of it.
    is_unverified: bool,
}

/// One attempt to receive a snapshot.
struct PartSink {
    parts: Parts,
    owner: u64,
    kept: Kept,
}

/// A snapshot has about so many marks, and is synced at each fourth.
const MARKS: u64 = 12;
const SYNC_EVERY_MARKS: u64 = 4;
const PLACE: &str = "the simulated disk";
const INBOX_BYTES: u32 = 1 << 20;

impl Parts {
    /// The inbox of a node that receives into these parts.
    pub(super) fn inbox(&self) -> Inbox {
        // What is received is told by the cluster.
        Inbox::new(INBOX_BYTES, Arc::new(self.clone())).0
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes. Says nothing to the sinks, whose writes fail from then on.
    pub(super) fn crash(&self, chance: &mut Chance) {
        let mut slot = self.slot();
        slot.attempts += 1;
        let attempt = slot.attempts;
        if let Some(part) = &mut slot.part {
            part.owner = attempt;
            part.is_unverified = true;
            let (data, marks) = part.synced;
            tear(&mut part.data, data, chance);
            tear(&mut part.marks, marks, chance);
        }
    }

    /// Whether there is a part with bytes that are not synced.
    pub(super) fn may_tear(&self) -> bool {
        let slot = self.slot();
        slot.part
            .as_ref()
            .is_some_and(|part| part.synced.0 < part.data.len())
    }

    /// Whether the last attempt has gone on with what an earlier life had kept.
    pub(super) fn was_of_former_life(&self) -> bool {
        self.slot().is_from_former_life
    }

    /// The bytes of the snapshot that was finished last.
    pub(super) fn take_finished(&self) -> Option<Bytes> {
        self.slot().finished.take()
    }

    /// What is there, whatever it is.
    pub(super) fn take_unverified(&self) -> Option<Bytes> {
        self.slot().part.take().map(|part| part.data.into())
    }
}

impl SnapshotStore for Parts {
    fn list(&self) -> Result<Vec<SnapshotMeta>, StoreError> {
        Ok(Vec::new()) // The finished ones are on the node's disk.
    }

    fn create(&self, _: &SnapshotHeader) -> Result<Box<dyn SnapshotSink>, StoreError> {
        Err(misuse("nothing is created here"))
    }

    fn receive(&self, meta: &SnapshotMeta) -> Result<Box<dyn SnapshotSink>, StoreError> {
        let mut slot = self.slot();
        slot.attempts += 1;
        let owner = slot.attempts;
        let known = slot.part.take().filter(|part| part.meta == *meta);
        let is_unverified = known.as_ref().is_some_and(|part| part.is_unverified);
        let mut part = known.unwrap_or_else(|| Part::new(meta));
        if is_unverified {
            part.verify()?;
        }
        part.owner = owner;
        let kept = part.kept;
        slot.is_from_former_life = is_unverified && kept.size > 0;
        slot.part = Some(part);
        drop(slot);
        let parts = self.clone();
        Ok(Box::new(PartSink { parts, owner, kept }))
    }

    fn open(&self, _: LogId) -> Result<(SnapshotMeta, Box<dyn SnapshotRead>), StoreError> {
        Err(misuse("nothing is opened here"))
    }

    fn retain(&self, _: usize, _: LogIndex) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Part {
    fn new(meta: &SnapshotMeta) -> Self {
        Self {
            meta: meta.clone(),
            kept: Kept::NOTHING,
            data: Vec::new(),
            marks: head_of(meta),
            synced: (0, 0),
            marked: 0,
            owner: 0,
            is_unverified: false,
        }
    }

    /// Keeps what agrees with the marks.
    fn verify(&mut self) -> Result<(), StoreError> {
        if mutant(Mutant::SnapshotNotVerified) {
            self.kept = Kept::NOTHING;
            self.kept.add(&self.data);
            self.is_unverified = false;
            return Ok(());
        }
        let head = head_of(&self.meta);
        let (mut marks, mut data) = (self.marks.as_slice(), self.data.as_slice());
        let found = Found::read((&mut marks, &head), (&mut data, &[]));
        let found = found.map_err(StoreError::io(PLACE, "verify what has arrived"))?;
        let Some(Found { kept, marks }) = found else {
            *self = Self::new(&self.meta);
            return Ok(());
        };
        let length = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        self.data.truncate(length(kept.size));
        self.marks.truncate(head.len() + length(marks) * MARK_BYTES);
        self.kept = kept;
        self.marked = kept.size;
        self.is_unverified = false;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.kept.add(bytes);
        let every = self.meta.size / MARKS + 1;
        if self.kept.size - self.marked < every {
            return;
        }
        self.mark();
        if self.kept.size - self.synced.0 as u64 >= every * SYNC_EVERY_MARKS {
            self.synced = (self.data.len(), self.marks.len());
        }
    }

    fn mark(&mut self) {
        self.marks.extend_from_slice(&encode_mark(self.kept));
        self.marked = self.kept.size;
    }
}

impl PartSink {
    /// Uses the part, if this is still the attempt that may.
    fn with<T>(&self, act: impl FnOnce(&mut Part) -> T) -> Option<T> {
        let mut slot = self.parts.slot();
        let own = slot.part.as_mut().filter(|part| part.owner == self.owner)?;
        Some(act(own))
    }

    fn take(&self) -> Option<Part> {
        let mut slot = self.parts.slot();
        slot.part.take_if(|part| part.owner == self.owner)
    }
}

impl Write for PartSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.with(|part| part.write(bytes));
        written.ok_or_else(|| io::Error::other("another attempt has taken its place"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotSink for PartSink {
    fn kept(&self) -> Kept {
        self.kept
    }

    fn finish(self: Box<Self>) -> Result<SnapshotMeta, StoreError> {
        let Some(part) = self.take() else {
            return Err(misuse("another attempt has taken its place"));
        };
        self.parts.slot().finished = Some(part.data.into());
        Ok(part.meta)
    }

    fn discard(self: Box<Self>) {
        self.take();
    }
}

impl Drop for PartSink {
    /// The stream was cut off: what has arrived is made durable.
    fn drop(&mut self) {
        self.with(|part| {
            part.mark();
            part.synced = (part.data.len(), part.marks.len());
        });
    }
}

/// Keeps what is synced and some of the rest, of which a byte may be anything.
fn tear(file: &mut Vec<u8>, synced: usize, chance: &mut Chance) {
    let rest = file.len().saturating_sub(synced);
    let kept = usize::try_from(chance.below(rest as u64 + 1)).unwrap_or(0);
    file.truncate(synced + kept);
    if kept == 0 || chance.coin() {
        return;
    }
    let at = synced + usize::try_from(chance.below(kept as u64)).unwrap_or(0);
    if let Some(byte) = file.get_mut(at) {
        *byte ^= 0x5a;
    }
}

fn head_of(meta: &SnapshotMeta) -> Vec<u8> {
    // A snapshot that was taken was encoded once.
    marks_head(meta).unwrap_or_default()
}

fn misuse(detail: &str) -> StoreError {
    StoreError::Misuse {
        place: PLACE.to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ChainLink, NodeId, Term};
    use crate::membership::Membership;
    use crate::time::ClusterTime;
    use crate::transport::{IncomingSnapshot, SnapshotIntake};

    const DATA: &[u8] = b"what a state machine has written, and a receiver gets in parts";

    fn meta() -> SnapshotMeta {
        let id = LogId::new(Term::new(1), LogIndex::new(7));
        SnapshotMeta {
            header: SnapshotHeader {
                last: ChainLink { id, checksum: 0 },
                time: ClusterTime::ZERO,
                membership: Arc::new(Membership::nobody()),
                membership_at: id,
            },
            size: DATA.len() as u64,
            checksum: crc32c::crc32c(DATA),
        }
    }

    fn incoming(parts: &Parts) -> IncomingSnapshot {
        let intake = parts
            .inbox()
            .receive_snapshot(NodeId::new(1), Term::new(1), meta());
        match intake.unwrap() {
            SnapshotIntake::Wanted(incoming) => incoming,
            SnapshotIntake::Unneeded => unreachable!("nothing is committed"),
        }
    }

    #[test]
    fn what_a_crash_has_torn_is_gone_on_with_where_it_agrees_with_its_marks() {
        let mut resumed = 0;
        for seed in 0..300 {
            let (parts, mut chance) = (Parts::default(), Chance::new(seed, 0));
            let mut first = incoming(&parts);
            let arrived = usize::try_from(chance.between(1, DATA.len() as u64 - 1)).unwrap();
            for (at, byte) in DATA.iter().enumerate().take(arrived) {
                first.take(at as u64, &[*byte]).unwrap();
            }
            parts.crash(&mut chance);
            drop(first);
            let mut second = incoming(&parts);
            let kept = usize::try_from(second.kept().size).unwrap();
            assert!(kept <= arrived, "seed {seed}");
            resumed += usize::from(kept > 0);
            second.take(kept as u64, &DATA[kept..]).unwrap();
            second.complete().unwrap();
            assert_eq!(parts.take_finished().unwrap(), DATA, "seed {seed}");
        }
        assert!(resumed > 100, "{resumed} of 300 went on");
    }

    #[test]
    fn a_stream_that_was_cut_goes_on_after_all_that_has_arrived() {
        let parts = Parts::default();
        let mut first = incoming(&parts);
        first.take(0, &DATA[..20]).unwrap();
        drop(first);
        assert_eq!(incoming(&parts).kept().size, 20);
    }

    #[test]
    fn who_begins_again_takes_over() {
        let parts = Parts::default();
        let mut first = incoming(&parts);
        first.take(0, &DATA[..20]).unwrap();
        let mut second = incoming(&parts);
        first.take(20, &DATA[20..30]).unwrap_err();
        second.take(20, &DATA[20..]).unwrap();
        second.complete().unwrap();
        assert_eq!(parts.take_finished().unwrap(), DATA);
    }
}
