//! One connection: frames in, frames out, with deadlines.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use raft_core::id::GroupId;
use raft_core::wire::{Frame, FrameError, FrameLimits, OutBuffer, Refusal, RefusalReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::renewal::Renewals;
use crate::stats::Counters;
use crate::streams::{ByteStream, Established, Proof};

/// A stream of frames over any byte stream.
pub(crate) struct Connection<'a> {
    stream: Box<dyn ByteStream>,
    /// What the other end has proved before its first frame.
    pub(crate) proof: Proof,
    /// When the connection has to be made anew.
    pub(crate) renewals: Renewals,
    read: BytesMut,
    limits: FrameLimits,
    counters: &'a Counters,
    write_timeout: Duration,
    /// What will be written by [`Connection::flush`].
    pub(crate) out: OutBuffer,
    pub(crate) progress: &'a Progress,
}

/// Whether a connection is alive, as seen by [`Progress::idle`].
#[derive(Debug, Default)]
pub(crate) struct Progress {
    reads: AtomicU64,
    /// We are the ones who keep the other end waiting.
    busy: AtomicBool,
}

/// See [`Progress::busy`].
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a AtomicBool);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the other end closed the connection")]
    Closed,
    #[error("the other end refused us ({0})")]
    RefusedByPeer(Refusal),
    /// To be told to the other end.
    #[error("refused ({0})")]
    Refused(Refusal),
    #[error("{0} timed out")]
    TimedOut(&'static str),
    #[error("another connection took its place")]
    Replaced,
    #[error("certificates were read anew")]
    Renewed,
    #[error("this node has stopped")]
    Stopped,
    #[error("{0}")]
    Snapshot(String),
}

/// Room for the next read, while no frame announces more.
const READ_BYTES: usize = 64 << 10;
/// With less room than this, a new read buffer is begun.
const READ_BYTES_MIN: usize = 4 << 10;
/// How long a refused peer may take to read why.
const LINGER: Duration = Duration::from_millis(500);

impl<'a> Connection<'a> {
    pub(crate) fn new(
        established: Established,
        limits: FrameLimits,
        write_timeout: Duration,
        counters: &'a Counters,
        progress: &'a Progress,
    ) -> Self {
        Self {
            stream: established.stream,
            proof: established.proof,
            renewals: established.renewals,
            read: BytesMut::new(),
            limits,
            counters,
            write_timeout,
            out: OutBuffer::new(),
            progress,
        }
    }

    /// From now on, frames up to these limits are taken.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// The next frame. May be dropped while it waits, and called again.
    pub(crate) async fn next_frame(&mut self) -> Result<Frame, LinkError> {
        loop {
            if let Some(frame) = Frame::take(&mut self.read, self.limits)? {
                return Ok(frame);
            }
            if self.read.capacity() - self.read.len() < READ_BYTES_MIN {
                self.read.reserve(READ_BYTES);
            }
            let read = self.stream.read_buf(&mut self.read).await?;
            if read == 0 {
                return Err(LinkError::Closed);
            }
            self.counters.bytes_received.add(read);
            self.progress.reads.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A frame that is there already, or nothing.
    pub(crate) async fn frame_at_hand(&mut self) -> Result<Option<Frame>, LinkError> {
        tokio::select! {
            biased;
            frame = self.next_frame() => frame.map(Some),
            () = std::future::ready(()) => Ok(None),
        }
    }

    /// Writes everything in `out`.
    pub(crate) async fn flush(&mut self) -> Result<(), LinkError> {
        while self.out.has_remaining() {
            let write = self.stream.write_buf(&mut self.out);
            match timeout(self.write_timeout, write).await {
                Err(_) => return Err(LinkError::TimedOut("a write")),
                Ok(Ok(0)) => return Err(LinkError::Closed),
                Ok(written) => self.counters.bytes_sent.add(written?),
            }
        }
        // A stream that encrypts may have taken more than the network has.
        match timeout(self.write_timeout, self.stream.flush()).await {
            Err(_) => Err(LinkError::TimedOut("a write")),
            Ok(flushed) => Ok(flushed?),
        }
    }

    /// Says why, and gives the other end a moment to read it: closing with unread bytes in our
    /// buffer would destroy what is on its way.
    pub(crate) async fn refuse(&mut self, group: GroupId, refusal: &Refusal) {
        self.counters.refused(refusal);
        self.out.put_refusal(group, refusal);
        self.finish().await;
    }

    /// Writes what is left, then reads and discards until the other end closes, for a moment.
    pub(crate) async fn finish(&mut self) {
        let goodbye = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            loop {
                self.read.clear();
                self.read.reserve(READ_BYTES_MIN);
                if self.stream.read_buf(&mut self.read).await? == 0 {
                    return Ok::<(), LinkError>(());
                }
            }
        };
        // However it ends: the connection is over.
        let _ = timeout(LINGER, goodbye).await;
    }
}

impl Progress {
    /// While the guard lives, silence is our own doing.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.store(true, Ordering::Relaxed);
        Busy(&self.busy)
    }

    /// Resolves when nothing was read for between once and twice `idle`.
    pub(crate) async fn idle(&self, idle: Duration) {
        let mut ticks = interval(idle);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            let before = self.reads.load(Ordering::Relaxed);
            ticks.tick().await;
            let silent = self.reads.load(Ordering::Relaxed) == before;
            if silent && !self.busy.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl LinkError {
    /// What the other end should be told, if anything.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Io(_)
            | Self::Closed
            | Self::RefusedByPeer(_)
            | Self::TimedOut(_)
            | Self::Replaced
            | Self::Renewed
            | Self::Stopped
            | Self::Snapshot(_) => None,
        }
    }

    /// Nothing is wrong: the connection ends in order to be made anew.
    pub(crate) fn is_renewal(&self) -> bool {
        match self {
            Self::RefusedByPeer(refusal) => refusal.reason == RefusalReason::Renewed,
            other => matches!(other, Self::Renewed),
        }
    }

    pub(crate) fn refused(reason: RefusalReason, text: &str) -> Self {
        Self::Refused(Refusal::new(reason, text))
    }
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Magic { found } if is_tls(found) => {
                let text = "the other end speaks TLS, this node speaks plain text";
                Self::refused(RefusalReason::WrongMagic, text)
            }
            other => Self::Refused(Refusal::of_frame(&other)),
        }
    }
}

/// Whether bytes begin a record of TLS: its kind (20 to 23), then its version.
fn is_tls(bytes: [u8; 4]) -> bool {
    matches!(bytes, [20..=23, 3, ..])
}
