//! A snapshot on its way in: read from the connection, written on a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::id::NodeId;
use raft_core::snapshot::Kept;
use raft_core::transport::{IncomingSnapshot, SnapshotIntake};
use raft_core::wire::{Frame, FrameKind, RefusalReason, SnapshotOffer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{Connection, LinkError};
use crate::context::Context;
use crate::listener::unexpected;

/// Chunks that wait for the disk.
const CHUNKS_AHEAD: usize = 4;

/// What the writing thread is given.
enum Part {
    Chunk(Frame),
    /// Everything was sent. Without it, the snapshot stays unfinished.
    End,
}

/// How a stream ended, for the sender. `Ok` also if the snapshot was not needed.
type Outcome = Result<Received, String>;

/// What came of a stream.
#[derive(PartialEq)]
enum Received {
    Durable,
    Unneeded,
}

/// One snapshot being received.
struct Receiving<'a, 'b> {
    context: &'a Context,
    link: &'a mut Connection<'b>,
    /// What the writing thread has.
    written: Arc<AtomicU64>,
    told: u64,
}

/// Takes in one snapshot from `peer` and answers how that ended.
pub(crate) async fn receive(
    context: &Context,
    link: &mut Connection<'_>,
    peer: NodeId,
) -> Result<(), LinkError> {
    let offer = link.next_frame().await?.snapshot_offer()?;
    let Ok(_turn) = context.snapshots.incoming.try_acquire() else {
        let most = context.config.snapshot_streams_max;
        let text = format!("{most} snapshots are being received here, snapshot_streams_max");
        let reason = RefusalReason::TooManyConnections;
        return Err(LinkError::refused(reason, &text));
    };
    let description = offer.meta.to_string();
    let mut receiving = Receiving {
        context,
        link,
        written: Arc::default(),
        told: 0,
    };
    let outcome = receiving.run(peer, offer).await?;
    let (node, group) = (context.local.node, context.local.group);
    match &outcome {
        Ok(Received::Durable) => {
            context.counters.snapshots_received.add(1);
            tracing::info!(%node, %peer, "received {description}");
        }
        Ok(Received::Unneeded) => tracing::info!(%node, %peer, "{description} is not needed"),
        Err(reason) => tracing::warn!(%node, %peer, "{description} not received: {reason}"),
    }
    link.out.put_snapshot_outcome(group, &outcome.map(|_| ()))?;
    link.finish().await;
    Ok(())
}

impl Receiving<'_, '_> {
    async fn run(&mut self, peer: NodeId, offer: SnapshotOffer) -> Result<Outcome, LinkError> {
        let inbox = self.context.inbox.clone();
        let mark = offer.mark();
        // Verifies what was kept, which may take a while.
        let opening = tokio::task::spawn_blocking(move || {
            let intake = inbox.receive_snapshot(peer, offer.term, offer.meta);
            intake.map_err(io::Error::other)
        });
        let incoming = match self.wait(opening).await? {
            Ok(SnapshotIntake::Wanted(incoming)) => incoming,
            Ok(SnapshotIntake::Unneeded) => return Ok(Ok(Received::Unneeded)),
            Err(reason) => return Ok(Err(reason)),
        };
        self.begin(incoming.kept()).await?;
        let (sender, parts) = mpsc::channel(CHUNKS_AHEAD);
        let written = Arc::clone(&self.written);
        let writing = tokio::task::spawn_blocking(move || write(incoming, mark, parts, &written));
        self.pass_on(sender).await?;
        self.wait(writing).await
    }

    /// Answers the offer.
    async fn begin(&mut self, kept: Kept) -> Result<(), LinkError> {
        if kept.size > 0 {
            self.context.counters.snapshots_resumed.add(1);
        }
        self.written.store(kept.size, Ordering::Relaxed);
        self.told = kept.size;
        self.tell(kept).await
    }

    async fn tell(&mut self, kept: Kept) -> Result<(), LinkError> {
        let group = self.context.local.group;
        self.link.out.put_snapshot_kept(group, kept)?;
        self.link.flush().await
    }

    /// Hands the chunks to the writing thread until the end, or until that thread has given up.
    async fn pass_on(&mut self, parts: mpsc::Sender<Part>) -> Result<(), LinkError> {
        loop {
            let frame = self.link.next_frame().await?;
            let part = match frame.kind() {
                FrameKind::SnapshotChunk => Part::Chunk(frame),
                FrameKind::SnapshotEnd => Part::End,
                FrameKind::Ping => continue,
                FrameKind::Refusal => return Err(LinkError::RefusedByPeer(frame.refusal()?)),
                kind => return Err(unexpected(kind)),
            };
            let over = matches!(part, Part::End);
            let busy = self.link.progress.busy();
            if parts.send(part).await.is_err() || over {
                return Ok(());
            }
            drop(busy);
            self.tell_progress().await?;
        }
    }

    /// The sender learns that the stream moves.
    async fn tell_progress(&mut self) -> Result<(), LinkError> {
        let size = self.written.load(Ordering::Relaxed);
        if size <= self.told {
            return Ok(());
        }
        self.told = size;
        // Only the first answer is gone on after, so the checksum has no meaning here.
        self.tell(Kept { size, checksum: 0 }).await
    }

    /// Waits for the blocking thread, and shows the sender meanwhile that we are alive.
    async fn wait<T>(
        &mut self,
        mut work: JoinHandle<io::Result<T>>,
    ) -> Result<Result<T, String>, LinkError> {
        let _busy = self.link.progress.busy();
        let mut ticks = interval(self.context.config.keepalive.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return Ok(match done {
                    Ok(done) => done.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                }),
                _ = ticks.tick() => {
                    self.link.out.put_ping(self.context.local.group);
                    self.link.flush().await?;
                }
            }
        }
    }
}

/// Verifies and writes what arrives. Blocks. Whatever ends it early leaves what has arrived to the
/// next stream.
fn write(
    mut incoming: IncomingSnapshot,
    mark: u32,
    mut parts: mpsc::Receiver<Part>,
    written: &AtomicU64,
) -> io::Result<Received> {
    while let Some(part) = parts.blocking_recv() {
        if !incoming.is_wanted()? {
            incoming.discard();
            return Ok(Received::Unneeded);
        }
        let frame = match part {
            Part::Chunk(frame) => frame,
            Part::End => return incoming.finish().map(|()| Received::Durable),
        };
        let chunk = frame.snapshot_chunk().map_err(io::Error::other)?;
        if chunk.offer != mark {
            let text = "a chunk of another snapshot, or of another leader's term";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        incoming.take(chunk.offset, &chunk.data)?;
        written.store(incoming.kept().size, Ordering::Relaxed);
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
