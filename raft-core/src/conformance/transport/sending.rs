//! Snapshots that are made up while they are read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::make;
use super::valve::Pipe;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::store::SnapshotRead;
use crate::time::ClusterTime;
use crate::transport::OutboundSnapshot;

/// The leader's term in which snapshots are sent.
pub(super) const SENT_IN: Term = Term::new(3);

/// A state of so many bytes; equal numbers make equal bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// How many bytes.
    pub(super) size: u64,
    /// The last entry that it contains.
    pub(super) index: u64,
}

/// Reads a [`State`].
#[derive(Debug)]
pub(super) struct Source {
    state: State,
    offset: u64,
    pipe: Option<Pipe>,
    fails_at: Option<u64>,
    ends_at: u64,
    goes_on: bool,
    wrong: u32,
    read: Arc<Reading>,
    /// Dropped with the source.
    _given_back: oneshot::Sender<()>,
}

/// What became of a [`Source`], as seen by the property.
#[derive(Debug, Default)]
pub(super) struct Reading {
    bytes: AtomicU64,
    began_at: AtomicU64,
}

/// Resolves when a [`Source`] is no longer held by anybody.
pub(super) type GivenBack = oneshot::Receiver<()>;

const BLOCK_BYTES: usize = 64 << 10;
const BLOCK: u64 = BLOCK_BYTES as u64;
const NUMBER_BYTES: usize = 8;

impl State {
    /// So many bytes, ending with entry 9.
    pub(super) const fn of(size: u64) -> Self {
        Self { size, index: 9 }
    }

    /// What is known of it before it is sent.
    pub(super) fn meta(self) -> SnapshotMeta {
        let id = LogId::new(Term::new(2), LogIndex::new(self.index));
        SnapshotMeta {
            header: SnapshotHeader {
                last: ChainLink { id, checksum: 5 },
                time: ClusterTime::from_micros(self.index),
                membership: make::shared_membership(),
                membership_at: LogId::new(Term::new(1), LogIndex::FIRST),
            },
            size: self.size,
            checksum: self.checksum(),
        }
    }

    /// Puts the bytes from `offset` on into `out`, which ends before the state does.
    pub(super) fn fill(self, mut offset: u64, mut out: &mut [u8]) {
        while !out.is_empty() {
            let (number, at) = (offset / BLOCK, usize_of(offset % BLOCK));
            let count = out.len().min(BLOCK_BYTES - at);
            let (now, later) = out.split_at_mut(count);
            let head = self.head(number);
            let block = head.iter().chain(pattern()).skip(at);
            if at >= NUMBER_BYTES {
                let from = pattern().split_at(at - NUMBER_BYTES).1;
                now.copy_from_slice(from.split_at(count).0);
            } else {
                now.iter_mut()
                    .zip(block.take(NUMBER_BYTES - at))
                    .for_each(|(to, from)| *to = *from);
                let (_, rest) = now.split_at_mut(count.min(NUMBER_BYTES - at));
                rest.copy_from_slice(pattern().split_at(rest.len()).0);
            }
            offset += count as u64;
            out = later;
        }
    }

    /// Every block differs from its neighbours, and from those of another state.
    fn head(self, number: u64) -> [u8; NUMBER_BYTES] {
        (number ^ (self.index << 40)).to_le_bytes()
    }

    fn checksum(self) -> u32 {
        let rest = crc32c::crc32c(pattern());
        let whole = (0..self.size / BLOCK).fold(0, |sum, number| {
            let block = crc32c::crc32c(&self.head(number));
            let block = crc32c::crc32c_combine(block, rest, pattern().len());
            crc32c::crc32c_combine(sum, block, BLOCK_BYTES)
        });
        let mut tail = vec![0; usize_of(self.size % BLOCK)];
        self.fill(self.size - self.size % BLOCK, &mut tail);
        crc32c::crc32c_append(whole, &tail)
    }
}

impl Source {
    /// The whole of `state`; it goes on wherever it is asked to.
    pub(super) fn of(state: State) -> (Self, Arc<Reading>, GivenBack) {
        let (sender, given_back) = oneshot::channel();
        let read = Arc::new(Reading::default());
        let source = Self {
            state,
            offset: 0,
            pipe: None,
            fails_at: None,
            ends_at: state.size,
            goes_on: true,
            wrong: 0,
            read: Arc::clone(&read),
            _given_back: sender,
        };
        (source, read, given_back)
    }

    /// It waits where the valve is closed.
    pub(super) fn through(mut self, pipe: Pipe) -> Self {
        self.pipe = Some(pipe);
        self
    }

    /// It fails after so many bytes.
    pub(super) fn failing_at(mut self, offset: u64) -> Self {
        self.fails_at = Some(offset);
        self
    }

    /// It has fewer bytes than its state.
    pub(super) fn ending_at(mut self, offset: u64) -> Self {
        self.ends_at = offset;
        self
    }

    /// It begins at its beginning only.
    pub(super) fn only_from_the_beginning(mut self) -> Self {
        self.goes_on = false;
        self
    }

    /// What is announced has another checksum.
    pub(super) fn with_a_wrong_checksum(mut self) -> Self {
        self.wrong = 1;
        self
    }

    /// What is handed to the transport.
    pub(super) fn outbound(self) -> OutboundSnapshot {
        let mut meta = self.state.meta();
        meta.checksum ^= self.wrong;
        OutboundSnapshot {
            term: SENT_IN,
            meta,
            data: Box::new(self),
        }
    }
}

impl Reading {
    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Where reading began; zero at the beginning.
    pub(super) fn began_at(&self) -> u64 {
        self.began_at.load(Ordering::Relaxed)
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut count = (self.ends_at - self.offset).min(out.len() as u64);
        if let Some(fails_at) = self.fails_at {
            if self.offset >= fails_at {
                return Err(io::Error::other("the disk is gone"));
            }
            count = count.min(fails_at - self.offset);
        }
        if count == 0 {
            return Ok(0);
        }
        if let Some(pipe) = &self.pipe {
            count = count.min(pipe.pass(self.offset));
        }
        let (now, _) = out.split_at_mut(usize_of(count));
        self.state.fill(self.offset, now);
        self.offset += count;
        self.read.bytes.fetch_add(count, Ordering::Relaxed);
        if let Some(pipe) = &self.pipe {
            pipe.note(self.offset);
        }
        Ok(now.len())
    }
}

impl SnapshotRead for Source {
    fn start_after(&mut self, kept: Kept) -> io::Result<bool> {
        if self.goes_on {
            self.offset = kept.size;
            self.read.began_at.store(kept.size, Ordering::Relaxed);
        }
        Ok(self.goes_on)
    }
}

/// What every block holds behind its number.
fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<bytes::Bytes> = OnceLock::new();
    PATTERN.get_or_init(|| make::payload(BLOCK_BYTES - NUMBER_BYTES))
}

fn usize_of(small: u64) -> usize {
    usize::try_from(small).expect("below the size of a buffer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(state: State) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (mut source, ..) = Source::of(state);
        source.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes() {
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 5, 3 * BLOCK + 100] {
            let state = State::of(size);
            let bytes = bytes(state);
            assert_eq!(bytes.len() as u64, size);
            assert_eq!(crc32c::crc32c(&bytes), state.meta().checksum, "{size}");
        }
    }

    #[test]
    fn bytes_are_the_same_wherever_reading_begins() {
        let state = State::of(2 * BLOCK + 77);
        let whole = bytes(state);
        for offset in [1, 7, 8, 9, BLOCK - 1, BLOCK, BLOCK + 3, 2 * BLOCK + 76] {
            for count in [1_u64, 5, 70, BLOCK] {
                let count = count.min(state.size - offset);
                let mut part = vec![0; usize_of(count)];
                state.fill(offset, &mut part);
                let (from, to) = (usize_of(offset), usize_of(offset + count));
                assert!(part == whole[from..to], "{count} bytes at {offset}");
            }
        }
    }

    #[test]
    fn blocks_and_states_differ() {
        let one = bytes(State::of(2 * BLOCK));
        let (first, second) = one.split_at(BLOCK_BYTES);
        assert!(first != second);
        assert!(
            one != bytes(State {
                index: 10,
                size: 2 * BLOCK
            })
        );
    }
}
