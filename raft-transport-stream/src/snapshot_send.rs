//! A snapshot on its way out: read on a thread of its own, written on a connection of its own.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::membership::Peer;
use raft_core::transport::OutboundSnapshot;
use raft_core::wire::{Frame, FrameKind, FrameLimits, Lane, SnapshotChunk, SnapshotOffer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::connection::{Connection, LinkError, Progress};
use crate::context::Context;
use crate::listener::unexpected;

/// Chunks that are read ahead of the connection.
const CHUNKS_AHEAD: usize = 4;

/// Sends a snapshot and tells the node how that ended.
pub(crate) async fn send(context: Arc<Context>, to: Peer, snapshot: OutboundSnapshot) {
    let (term, last) = (snapshot.term, snapshot.meta.id());
    let outcome = match stream(&context, &to, snapshot).await {
        Ok(()) => {
            context.counters.snapshots_sent.add(1);
            Ok(())
        }
        Err(error) => {
            let (node, peer) = (context.local.node, to.id);
            tracing::warn!(%node, %peer, address = to.address, "snapshot {last} not sent: {error}");
            Err(error.to_string())
        }
    };
    // A node that has stopped does not want to know.
    let inbox = &context.inbox;
    let _ = inbox.snapshot_sent(to.id, term, last, outcome).await;
}

async fn stream(context: &Context, to: &Peer, snapshot: OutboundSnapshot) -> Result<(), LinkError> {
    let progress = Progress::default();
    let address = context.address_of(to).unwrap_or_default();
    let peer = (to.id, address.as_str());
    let mut link = context.dial(peer, Lane::Snapshot, &progress).await?;
    link.set_limits(FrameLimits::of_tail(0));
    let _open = context.counters.outbound_open.raise();
    let sent = match write(context, &mut link, snapshot).await {
        // The connection may have ended because the receiver has said why already.
        Err(LinkError::Io(error)) => match link.frame_at_hand().await {
            Ok(Some(frame)) => outcome(&frame).unwrap_or(Err(LinkError::Io(error))),
            Ok(None) | Err(_) => Err(LinkError::Io(error)),
        },
        other => other,
    };
    if let Err(error) = &sent {
        context.conclude(&mut link, error).await;
    }
    sent
}

async fn write(
    context: &Context,
    link: &mut Connection<'_>,
    snapshot: OutboundSnapshot,
) -> Result<(), LinkError> {
    let group = context.local.group;
    let OutboundSnapshot { term, meta, data } = snapshot;
    link.out
        .put_snapshot_offer(group, &SnapshotOffer { term, meta })?;
    let chunk_bytes = context.config.snapshot_chunk_bytes;
    let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
    // Ends when it has read everything, or when the receiver of the channel is gone.
    tokio::task::spawn_blocking(move || read_chunks(data, chunk_bytes, &sender));
    let mut offset = 0;
    while let Some(chunk) = chunks.recv().await {
        let data: Bytes = chunk?;
        let length = data.len() as u64;
        link.out
            .put_snapshot_chunk(group, SnapshotChunk { offset, data })?;
        offset += length;
        link.flush().await?;
        if let Some(frame) = link.frame_at_hand().await?
            && let Some(ended) = outcome(&frame)
        {
            return ended;
        }
    }
    link.out.put_snapshot_end(group);
    link.flush().await?;
    let idle_timeout = context.config.idle_timeout();
    loop {
        // The receiver shows signs of life while it makes the snapshot durable.
        let frame = timeout(idle_timeout, link.next_frame()).await;
        let frame = frame.map_err(|_| LinkError::TimedOut("the receiver's acknowledgement"))?;
        if let Some(ended) = outcome(&frame?) {
            return ended;
        }
    }
}

/// Reads the whole snapshot, chunk after chunk. Blocks.
fn read_chunks(
    data: Box<dyn Read + Send>,
    chunk_bytes: u32,
    chunks: &mpsc::Sender<io::Result<Bytes>>,
) {
    let mut data = data;
    loop {
        let mut chunk = Vec::with_capacity(chunk_bytes as usize);
        let read = data
            .by_ref()
            .take(chunk_bytes.into())
            .read_to_end(&mut chunk);
        let end = chunk.is_empty();
        let next = match read {
            Ok(_) if end => return,
            Ok(_) => Ok(chunk.into()),
            Err(error) => Err(error),
        };
        let failed = next.is_err();
        if chunks.blocking_send(next).is_err() || failed {
            return;
        }
    }
}

/// How the transfer ended, if the frame says so.
fn outcome(frame: &Frame) -> Option<Result<(), LinkError>> {
    match frame.kind() {
        FrameKind::Ping => None,
        FrameKind::SnapshotOutcome => Some(match frame.snapshot_outcome() {
            Ok(outcome) => outcome.map_err(LinkError::Snapshot),
            Err(error) => Err(error.into()),
        }),
        FrameKind::Refusal => Some(match frame.refusal() {
            Ok(refusal) => Err(LinkError::RefusedByPeer(refusal)),
            Err(error) => Err(error.into()),
        }),
        kind => Some(Err(unexpected(kind))),
    }
}
