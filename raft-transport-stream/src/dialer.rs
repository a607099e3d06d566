//! One lane to one peer: connects when there is something to send, writes what waits, reconnects.

use std::sync::Arc;
use std::time::Duration;

use raft_core::id::NodeId;
use raft_core::message::Message;
use raft_core::wire::{Frame, FrameKind, Lane, RefusalReason};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};

use crate::chance::jittered;
use crate::connection::{Connection, LinkError, Progress};
use crate::context::Context;
use crate::queue::{Address, Queue};

/// A lane of messages to one peer.
pub(crate) struct Dialer {
    context: Arc<Context>,
    peer: NodeId,
    lane: Lane,
    queue: Arc<Queue>,
    pause: Duration,
    /// Why the last attempt failed, so that a lasting trouble is a warning once.
    trouble: String,
}

/// About as much is encoded before it is written.
const WRITE_BYTES: usize = 1 << 20;
/// A connection with nothing to send but signs of life is closed after as many of them.
const UNUSED_TICKS_MAX: u32 = 60;

impl Dialer {
    pub(crate) fn new(context: Arc<Context>, peer: NodeId, lane: Lane, queue: Arc<Queue>) -> Self {
        let pause = context.config.backoff_min.0;
        Self {
            context,
            peer,
            lane,
            queue,
            pause,
            trouble: String::new(),
        }
    }

    /// Serves the lane until the transport is stopped.
    pub(crate) async fn run(mut self) {
        loop {
            self.queue.ready().await;
            let began = Instant::now();
            let address = self.queue.address();
            if let Err(error) = self.serve(&address).await {
                if began.elapsed() > self.context.config.backoff_max.0 {
                    // A connection that lasted deserves a quick successor.
                    self.pause = self.context.config.backoff_min.0;
                    self.trouble.clear();
                }
                self.report(&address.text, &error);
                self.back_off(address.version).await;
            }
        }
    }

    /// Connects, and writes until the connection ends: of itself, or because nobody uses it.
    async fn serve(&self, address: &Address) -> Result<(), LinkError> {
        let counters = &self.context.counters;
        let began = Instant::now();
        let progress = Progress::default();
        let to = (self.peer, address.text.as_str());
        let mut link = match self.context.dial(to, self.lane, &progress).await {
            Ok(link) => link,
            Err(error) => {
                counters.dials_failed.add(1);
                return Err(error);
            }
        };
        let _open = counters.outbound_open.raise();
        match self.write(&mut link, address.version).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_renewal() => {
                // What was sent is taken in before the other end closes too. What waits goes over
                // the next connection.
                counters.renewed.add(1);
                tracing::debug!(peer = %self.peer, lane = ?self.lane, "renewed: {error}");
                link.finish().await;
                // Renewed as soon as it was there: that may go on, and must not take all the time.
                let rested = began + self.context.config.backoff_min.0;
                // Both outcomes mean the same: go on.
                let _ = timeout_at(rested, self.queue.readdressed(address.version)).await;
                Ok(())
            }
            Err(error) => {
                self.context.conclude(&mut link, &error).await;
                Err(error)
            }
        }
    }

    /// Writes everything that waits in as few writes as possible; at rest, watches the other end.
    async fn write(&self, link: &mut Connection<'_>, version: u64) -> Result<(), LinkError> {
        let keepalive = self.context.config.keepalive.0;
        let mut ticks = interval_at(Instant::now() + keepalive, keepalive);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let idle = link.progress.idle(self.context.config.idle_timeout.0);
        let due = link.renewals.clone().due();
        tokio::pin!(idle, due);
        let mut unused_ticks = 0;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                // What the other end says comes first: under load there is no rest to hear it in.
                biased;
                () = &mut due => return Err(LinkError::Renewed),
                frame = link.next_frame() => expect_ping(&frame?)?,
                () = self.queue.changed(version) => {
                    if !self.queue.take(version, &mut batch, WRITE_BYTES) {
                        return Ok(());
                    }
                    unused_ticks = 0;
                    self.write_batch(link, &mut batch).await?;
                }
                _ = ticks.tick() => {
                    unused_ticks += 1;
                    if unused_ticks > UNUSED_TICKS_MAX {
                        return Ok(());
                    }
                    link.out.put_ping(self.context.local.group);
                    link.flush().await?;
                }
                () = &mut idle => return Err(LinkError::TimedOut("a sign of life")),
            }
        }
    }

    async fn write_batch(
        &self,
        link: &mut Connection<'_>,
        batch: &mut Vec<Message>,
    ) -> Result<(), LinkError> {
        let counters = &self.context.counters;
        let count = batch.len();
        for message in batch.drain(..) {
            if let Err(error) = link.out.put_message(&message) {
                counters.dropped_too_large.add(1);
                tracing::error!(peer = %self.peer, %error, "dropped a message");
            }
        }
        match link.flush().await {
            Ok(()) => {
                counters.messages_sent.add(count);
                Ok(())
            }
            Err(error) => {
                self.lose(count);
                Err(error)
            }
        }
    }

    /// Tells the node, and people the first time, that what was sent may be lost.
    fn report(&mut self, address: &str, error: &LinkError) {
        self.lose(self.queue.clear());
        self.context.inbox.unreachable(self.peer);
        let text = error.to_string();
        let (node, peer, lane) = (self.context.local.node, self.peer, self.lane);
        if text == self.trouble {
            tracing::debug!(%node, %peer, address, ?lane, "no connection: {text}");
        } else {
            tracing::warn!(%node, %peer, address, ?lane, "no connection: {text}");
            self.trouble = text;
        }
    }

    fn lose(&self, messages: usize) {
        self.context.counters.dropped_unreachable.add(messages);
    }

    /// Pauses, longer each time; a changed address ends the pause.
    async fn back_off(&mut self, version: u64) {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.context.config.backoff_max.0);
        // Both outcomes mean the same: try again.
        let _ = timeout(jittered(pause), self.queue.readdressed(version)).await;
    }
}

/// All that a receiver of messages says after its hello.
fn expect_ping(frame: &Frame) -> Result<(), LinkError> {
    match frame.kind() {
        FrameKind::Ping => Ok(()),
        FrameKind::Refusal => Err(LinkError::RefusedByPeer(frame.refusal()?)),
        kind => {
            let text = format!("a receiver of messages sent a frame of kind {kind:?}");
            Err(LinkError::refused(RefusalReason::Malformed, &text))
        }
    }
}
