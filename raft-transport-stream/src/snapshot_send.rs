//! A snapshot on its way out: read on a thread of its own, written on a connection of its own.

use std::io;
use std::sync::Arc;

use raft_core::id::Term;
use raft_core::membership::Peer;
use raft_core::snapshot::Kept;
use raft_core::transport::{OutboundSnapshot, SnapshotPart};
use raft_core::wire::{Frame, FrameKind, FrameLimits, Lane, SnapshotChunk, SnapshotOffer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::connection::{Connection, LinkError, Progress};
use crate::context::Context;
use crate::listener::unexpected;

/// Parts that are read ahead of the connection.
const PARTS_AHEAD: usize = 4;

/// What the receiver says.
enum Answer {
    /// So much of it is there.
    Kept(Kept),
    /// The transfer is over.
    Ended(Result<(), LinkError>),
}

/// One snapshot being sent.
struct Sending<'a, 'b> {
    context: &'a Context,
    to: &'a Peer,
    link: &'a mut Connection<'b>,
    term: Term,
    /// What the receiver has confirmed.
    confirmed: u64,
}

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
    let turn = context.snapshots.outgoing.acquire().await;
    let _turn = turn.map_err(|_| LinkError::Stopped)?;
    let progress = Progress::default();
    let address = context.address_of(to).unwrap_or_default();
    let peer = (to.id, address.as_str());
    let mut link = context.dial(peer, Lane::Snapshot, &progress).await?;
    link.set_limits(FrameLimits::of_tail(0));
    let _open = context.counters.outbound_open.raise();
    let mut sending = Sending {
        context,
        to,
        link: &mut link,
        term: snapshot.term,
        confirmed: 0,
    };
    let renewed = sending.link.renewals.clone().due();
    let run = async {
        tokio::select! {
            sent = sending.run(snapshot) => sent,
            // What has arrived counts: the next attempt goes on after it.
            () = renewed => Err(LinkError::Renewed),
        }
    };
    let sent = match run.await {
        // The connection may have ended because the receiver has said why already.
        Err(LinkError::Io(error)) => match sending.answer_at_hand().await {
            Ok(Some(Answer::Ended(ended))) => ended,
            Ok(_) | Err(_) => Err(LinkError::Io(error)),
        },
        other => other,
    };
    if let Err(error) = &sent {
        context.conclude(&mut link, error).await;
    }
    sent
}

impl Sending<'_, '_> {
    async fn run(&mut self, snapshot: OutboundSnapshot) -> Result<(), LinkError> {
        let group = self.context.local.group;
        let offer = SnapshotOffer {
            term: snapshot.term,
            meta: snapshot.meta.clone(),
        };
        self.link.out.put_snapshot_offer(group, &offer)?;
        self.link.flush().await?;
        let kept = match self.answer().await? {
            Answer::Kept(kept) => kept,
            Answer::Ended(ended) => return ended,
        };
        self.note_kept(&offer, kept);
        let chunk_bytes = self.context.config.paced_chunk_bytes();
        let (sender, mut parts) = mpsc::channel(PARTS_AHEAD);
        // Ends when it has read everything, or when the receiver of the channel is gone.
        tokio::task::spawn_blocking(move || read_parts(snapshot, kept, chunk_bytes, &sender));
        let mark = offer.mark();
        while let Some(part) = parts.recv().await {
            let SnapshotPart { offset, data } = part?;
            self.context.snapshots.pace.pass(data.len() as u64).await;
            let chunk = SnapshotChunk {
                offer: mark,
                offset,
                data,
            };
            self.link.out.put_snapshot_chunk(group, chunk)?;
            self.link.flush().await?;
            while let Some(answer) = self.answer_at_hand().await? {
                match answer {
                    Answer::Kept(kept) => self.confirm(kept),
                    Answer::Ended(ended) => return ended,
                }
            }
        }
        self.link.out.put_snapshot_end(group);
        self.link.flush().await?;
        loop {
            match self.answer().await? {
                Answer::Kept(kept) => self.confirm(kept),
                Answer::Ended(ended) => return ended,
            }
        }
    }

    /// The receiver goes on with what it has from an earlier connection.
    fn note_kept(&mut self, offer: &SnapshotOffer, kept: Kept) {
        self.confirmed = kept.size;
        if kept.size > 0 {
            self.context.counters.snapshots_resumed.add(1);
            let (node, peer) = (self.context.local.node, self.to.id);
            tracing::info!(%node, %peer, "{} goes on after {} bytes", offer.meta, kept.size);
        }
    }

    /// The receiver has more than before: it lives.
    fn confirm(&mut self, kept: Kept) {
        if kept.size > self.confirmed {
            self.confirmed = kept.size;
            let inbox = &self.context.inbox;
            inbox.snapshot_progressed(self.to.id, self.term);
        }
    }

    /// Waits for what the receiver says next. It shows signs of life while it is busy.
    async fn answer(&mut self) -> Result<Answer, LinkError> {
        let idle_timeout = self.context.config.idle_timeout.0;
        loop {
            let frame = timeout(idle_timeout, self.link.next_frame()).await;
            let frame = frame.map_err(|_| LinkError::TimedOut("the receiver's answer"))??;
            if let Some(answer) = answer_in(&frame)? {
                return Ok(answer);
            }
        }
    }

    /// What the receiver has said already, if anything.
    async fn answer_at_hand(&mut self) -> Result<Option<Answer>, LinkError> {
        while let Some(frame) = self.link.frame_at_hand().await? {
            if let Some(answer) = answer_in(&frame)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

/// Reads what the receiver lacks, part after part. Blocks.
fn read_parts(
    snapshot: OutboundSnapshot,
    kept: Kept,
    chunk_bytes: u32,
    parts: &mpsc::Sender<io::Result<SnapshotPart>>,
) {
    match snapshot.parts(kept, chunk_bytes) {
        Ok(mut rest) => {
            // Ends early if nobody sends them any more.
            let _ = rest.try_for_each(|part| parts.blocking_send(part));
        }
        Err(error) => {
            // As above.
            let _ = parts.blocking_send(Err(error));
        }
    }
}

/// What a frame of the receiver says, if anything.
fn answer_in(frame: &Frame) -> Result<Option<Answer>, LinkError> {
    Ok(match frame.kind() {
        FrameKind::Ping => None,
        FrameKind::SnapshotKept => Some(Answer::Kept(frame.snapshot_kept()?)),
        FrameKind::SnapshotOutcome => {
            let outcome = frame.snapshot_outcome()?;
            Some(Answer::Ended(outcome.map_err(LinkError::Snapshot)))
        }
        FrameKind::Refusal => {
            let refusal = LinkError::RefusedByPeer(frame.refusal()?);
            Some(Answer::Ended(Err(refusal)))
        }
        kind => return Err(unexpected(kind)),
    })
}
