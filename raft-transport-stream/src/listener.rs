//! Callers: let in, introduced, and listened to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raft_core::id::NodeId;
use raft_core::message::Message;
use raft_core::wire::{Frame, FrameKind, FrameLimits, Hello, Lane, Refusal, RefusalReason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::config::SNAPSHOT_CHUNK_BYTES_LIMIT;
use crate::connection::{Connection, LinkError, Progress};
use crate::context::Context;
use crate::distrust::HandshakeFailed;
use crate::handshake;
use crate::renewal::PATIENCE;
use crate::seats::{Full, Seat, Seats};
use crate::snapshot_receive;
use crate::streams::{Caller, Established};

/// Takes in connections, a bounded number of them, one for each peer and lane.
#[derive(Debug)]
pub(crate) struct Callers {
    context: Arc<Context>,
    seats: Arc<Seats>,
    /// Callers over the bound that are being told so.
    waiting_room: Arc<Semaphore>,
    /// The newest connection of each peer and lane. Dropping the sender ends the older one.
    current: Mutex<BTreeMap<(NodeId, Lane), oneshot::Sender<()>>>,
}

/// Callers over the bound beyond these are closed without a word.
const WAITING_ROOM: usize = 16;
/// The system refused to hand out a connection, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Callers {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            seats: Arc::new(Seats::new(&context.config)),
            waiting_room: Arc::new(Semaphore::new(WAITING_ROOM)),
            current: Mutex::default(),
            context,
        }
    }

    /// Accepts until the transport is stopped.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            match self.context.streams.accept().await {
                Ok(caller) => self.admit(caller),
                Err(error) => {
                    tracing::warn!(node = %self.context.local.node, %error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, caller: Caller) {
        let this = Arc::clone(self);
        match self.seats.take(caller.address) {
            Ok(seat) => {
                let served = async move { this.serve(caller, seat).await };
                self.context.tasks.spawn(served);
            }
            Err(full) => {
                if let Ok(place) = Arc::clone(&self.waiting_room).try_acquire_owned() {
                    let refused = async move { this.turn_away(caller, full, place).await };
                    self.context.tasks.spawn(refused);
                }
            }
        }
    }

    async fn turn_away(&self, caller: Caller, Full(setting): Full, _place: OwnedSemaphorePermit) {
        let text = format!("as many connections are open here as {setting} allows");
        let refusal = Refusal::new(RefusalReason::TooManyConnections, &text);
        self.log(&caller.from, None, &LinkError::Refused(refusal.clone()));
        let Ok(stream) = self.establish(caller).await else {
            return;
        };
        let progress = Progress::default();
        let mut link = self.context.link(stream, &progress);
        link.refuse(self.context.local.group, &refusal).await;
    }

    /// What has to be done before the first frame can come.
    async fn establish(&self, caller: Caller) -> Result<Established, LinkError> {
        let within = self.context.config.handshake_timeout.0;
        match timeout(within, caller.established).await {
            Ok(established) => established
                .inspect_err(|error| self.context.counters.distrust(error))
                .map_err(LinkError::Io),
            Err(_) => Err(LinkError::TimedOut("the handshake")),
        }
    }

    async fn serve(&self, caller: Caller, _seat: Seat) {
        let context = &*self.context;
        let _open = context.counters.inbound_open.raise();
        let from = caller.from.clone();
        let stream = match self.establish(caller).await {
            Ok(stream) => stream,
            Err(error) => {
                context.counters.handshakes_failed.add(1);
                return self.log(&from, None, &error);
            }
        };
        let progress = Progress::default();
        let mut link = context.link(stream, &progress);
        let within = context.config.handshake_timeout.0;
        let hello = match handshake::accept(&mut link, context.local, within).await {
            Ok(hello) => hello,
            Err(error) => {
                self.log(&from, None, &error);
                return context.conclude(&mut link, &error).await;
            }
        };
        context.counters.accepted.add(1);
        context.callers.learn(hello.from.node, &hello.address);
        tracing::debug!(
            node = %context.local.node, peer = %hello.from.node, %from, lane = ?hello.lane,
            "accepted"
        );
        let (newest, replaced) = oneshot::channel();
        {
            let mut current = self.current();
            current.retain(|_, replaces| !replaces.is_closed());
            current.insert((hello.from.node, hello.lane), newest);
        }
        let ended = tokio::select! {
            // First: nothing of the older connection arrives after what comes over the newer.
            biased;
            _ = replaced => Err(LinkError::Replaced),
            ended = self.listen(&mut link, &hello) => ended,
            () = progress.idle(context.config.idle_timeout.0) => {
                Err(LinkError::TimedOut("a sign of life"))
            }
        };
        if let Err(error) = ended {
            self.log(&from, Some(&hello), &error);
            context.conclude(&mut link, &error).await;
        }
    }

    async fn listen(&self, link: &mut Connection<'_>, hello: &Hello) -> Result<(), LinkError> {
        let due = link.renewals.clone().due();
        tokio::pin!(due);
        let config = &self.context.config;
        let tail_bytes_max = match hello.lane {
            Lane::Bulk => config.frame_bytes_max(),
            Lane::Snapshot => SNAPSHOT_CHUNK_BYTES_LIMIT,
            _ => 0,
        };
        link.set_limits(FrameLimits::of_tail(tail_bytes_max));
        if hello.lane == Lane::Snapshot {
            return tokio::select! {
                received = snapshot_receive::receive(&self.context, link, hello.from.node) => received,
                () = &mut due => Err(LinkError::Refused(renewed())),
            };
        }
        loop {
            let frame = tokio::select! {
                biased;
                () = &mut due => return self.see_off(link, hello).await,
                frame = link.next_frame() => frame?,
            };
            self.take(link, hello, &frame).await?;
        }
    }

    async fn take(
        &self,
        link: &mut Connection<'_>,
        hello: &Hello,
        frame: &Frame,
    ) -> Result<(), LinkError> {
        match frame.kind() {
            FrameKind::Message => {
                let message = self.checked(frame.message()?, hello)?;
                let _busy = link.progress.busy();
                let delivered = self.context.inbox.deliver(message).await;
                delivered.map_err(|_| LinkError::Stopped)?;
                self.context.counters.messages_received.add(1);
                Ok(())
            }
            FrameKind::Ping => {
                link.out.put_ping(self.context.local.group);
                link.flush().await
            }
            FrameKind::Refusal => Err(LinkError::RefusedByPeer(frame.refusal()?)),
            kind => Err(unexpected(kind)),
        }
    }

    /// Asks the caller to call again, and takes in what it has sent before it knew.
    async fn see_off(&self, link: &mut Connection<'_>, hello: &Hello) -> Result<(), LinkError> {
        link.out.put_refusal(self.context.local.group, &renewed());
        link.flush().await?;
        let rest = async {
            loop {
                let frame = link.next_frame().await?;
                self.take(link, hello, &frame).await?;
            }
        };
        timeout(PATIENCE, rest)
            .await
            .unwrap_or(Err(LinkError::TimedOut("a new connection")))
    }

    /// A message may only be of the peer that introduced itself, for us, and on its own lane.
    fn checked(&self, message: Message, hello: &Hello) -> Result<Message, LinkError> {
        let local = self.context.local;
        if message.group != local.group {
            let text = format!("a message for group {}", message.group);
            return Err(LinkError::refused(RefusalReason::WrongGroup, &text));
        }
        if (message.from, message.to) != (hello.from.node, local.node) {
            let text = format!("a message of {} to {}", message.from, message.to);
            return Err(LinkError::refused(RefusalReason::WrongNode, &text));
        }
        if message.body.is_control() != (hello.lane == Lane::Control) {
            let text = format!("{} on the wrong lane", message.body.name());
            return Err(LinkError::refused(RefusalReason::Malformed, &text));
        }
        Ok(message)
    }

    fn log(&self, from: &str, hello: Option<&Hello>, error: &LinkError) {
        let node = self.context.local.node;
        let peer = hello.map(|hello| hello.from.node.get());
        let lane = hello.map(|hello| hello.lane);
        let distrust =
            matches!(error, LinkError::Io(error) if HandshakeFailed::within(error).is_some());
        let refused = error.refusal().is_some() || matches!(error, LinkError::RefusedByPeer(_));
        if refused || distrust {
            tracing::warn!(%node, peer, %from, ?lane, "a caller was turned away: {error}");
        } else {
            tracing::debug!(%node, peer, %from, ?lane, "a caller is gone: {error}");
        }
    }

    fn current(&self) -> MutexGuard<'_, BTreeMap<(NodeId, Lane), oneshot::Sender<()>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told to callers whose connection rests on certificates that were read before others.
fn renewed() -> Refusal {
    let text = "certificates were read anew here: call again";
    Refusal::new(RefusalReason::Renewed, text)
}

/// A frame that has no place here.
pub(crate) fn unexpected(kind: FrameKind) -> LinkError {
    let text = format!("a frame of kind {kind:?} is not expected here");
    LinkError::refused(RefusalReason::Malformed, &text)
}
