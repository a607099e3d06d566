//! A snapshot on its way in: read from the connection, written on a thread of its own.

use std::io::{self, Write};

use raft_core::id::NodeId;
use raft_core::transport::Inbox;
use raft_core::wire::{Frame, FrameKind, SnapshotOffer};
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
    /// Everything was sent. Without it, what arrived is thrown away.
    End,
}

/// Takes in one snapshot from `peer` and answers how that ended.
pub(crate) async fn receive(
    context: &Context,
    link: &mut Connection<'_>,
    peer: NodeId,
) -> Result<(), LinkError> {
    let offer = link.next_frame().await?.snapshot_offer()?;
    let description = offer.meta.to_string();
    let (sender, parts) = mpsc::channel(CHUNKS_AHEAD);
    let inbox = context.inbox.clone();
    let writing = tokio::task::spawn_blocking(move || write(&inbox, peer, offer, parts));
    pass_on(link, sender).await?;
    let outcome = wait(context, link, writing).await?;
    let (node, group) = (context.local.node, context.local.group);
    match &outcome {
        Ok(()) => {
            context.counters.snapshots_received.add(1);
            tracing::info!(%node, %peer, "received {description}");
        }
        Err(reason) => tracing::warn!(%node, %peer, "{description} not received: {reason}"),
    }
    link.out.put_snapshot_outcome(group, &outcome)?;
    link.finish().await;
    Ok(())
}

/// Hands the chunks to the writing thread until the end, or until that thread has given up.
async fn pass_on(link: &mut Connection<'_>, parts: mpsc::Sender<Part>) -> Result<(), LinkError> {
    loop {
        let frame = link.next_frame().await?;
        let part = match frame.kind() {
            FrameKind::SnapshotChunk => Part::Chunk(frame),
            FrameKind::SnapshotEnd => Part::End,
            FrameKind::Ping => continue,
            FrameKind::Refusal => return Err(LinkError::RefusedByPeer(frame.refusal()?)),
            kind => return Err(unexpected(kind)),
        };
        let over = matches!(part, Part::End);
        let _busy = link.progress.busy();
        if parts.send(part).await.is_err() || over {
            return Ok(());
        }
    }
}

/// Waits for the writing thread, and shows the sender meanwhile that we are alive.
async fn wait(
    context: &Context,
    link: &mut Connection<'_>,
    mut writing: JoinHandle<io::Result<()>>,
) -> Result<Result<(), String>, LinkError> {
    let _busy = link.progress.busy();
    let mut ticks = interval(context.config.keepalive());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            written = &mut writing => return Ok(match written {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }),
            _ = ticks.tick() => {
                link.out.put_ping(context.local.group);
                link.flush().await?;
            }
        }
    }
}

/// Verifies and writes what arrives. Blocks. Whatever ends it early leaves nothing behind.
fn write(
    inbox: &Inbox,
    peer: NodeId,
    offer: SnapshotOffer,
    mut parts: mpsc::Receiver<Part>,
) -> io::Result<()> {
    let incoming = inbox.receive_snapshot(peer, offer.term, offer.meta);
    let mut incoming = incoming.map_err(io::Error::other)?;
    let mut expected = 0;
    while let Some(part) = parts.blocking_recv() {
        let frame = match part {
            Part::Chunk(frame) => frame,
            Part::End => return incoming.finish(),
        };
        let chunk = frame.snapshot_chunk().map_err(io::Error::other)?;
        if chunk.offset != expected {
            let text = format!("a chunk at {} instead of {expected}", chunk.offset);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        incoming.write_all(&chunk.data)?;
        expected += chunk.data.len() as u64;
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
