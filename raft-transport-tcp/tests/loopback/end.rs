//! One end of a transport, played by a test.

use std::sync::Arc;
use std::time::Duration;

use raft_core::Identity;
use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{
    ChainLink, ClusterId, GroupId, Incarnation, LogId, LogIndex, NodeId, RecoveryEpoch, Term,
};
use raft_core::membership::Peer;
use raft_core::memory::MemoryStores;
use raft_core::message::{Body, Message, Round};
use raft_core::store::SnapshotStore;
use raft_core::time::ClusterTime;
use raft_core::transport::{Inbound, Inbox, InboxReceiver, Transport};
use tokio::sync::mpsc;

use crate::kind::{self, Carrier, TransportConfig, TransportStats};

/// Long enough for a loaded machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One node without a node: a transport and the other end of its inbox.
pub(crate) struct End {
    pub(crate) id: u64,
    pub(crate) transport: Carrier,
    pub(crate) inbox: Inbox,
    pub(crate) receiver: InboxReceiver,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
}

/// How an [`End`] differs from the usual.
pub(crate) struct Setup {
    pub(crate) config: TransportConfig,
    pub(crate) cluster: &'static str,
    pub(crate) group: u64,
    pub(crate) epoch: u64,
    pub(crate) listen: String,
    pub(crate) inbox_bytes_max: u32,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: TransportConfig::default(),
            cluster: "test",
            group: 0,
            epoch: 0,
            listen: "127.0.0.1:0".into(),
            inbox_bytes_max: 64 << 20,
            snapshots: MemoryStores::new().open().snapshots,
        }
    }
}

impl End {
    pub(crate) fn start(id: u64) -> Self {
        Self::start_as(id, Setup::default())
    }

    pub(crate) fn start_with(id: u64, change: impl FnOnce(&mut TransportConfig)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup.config);
        Self::start_as(id, setup)
    }

    pub(crate) fn start_as(id: u64, setup: Setup) -> Self {
        let local = Identity {
            epoch: RecoveryEpoch::new(setup.epoch),
            ..identity(id, setup.cluster, setup.group)
        };
        let transport = kind::bind(&setup.listen, setup.config, local).unwrap();
        Self::over(transport, local, setup.inbox_bytes_max, setup.snapshots)
    }

    /// Starts a transport that was bound already.
    pub(crate) fn over(
        transport: Carrier,
        local: Identity,
        inbox_bytes_max: u32,
        snapshots: Arc<dyn SnapshotStore>,
    ) -> Self {
        let (inbox, receiver) = Inbox::new(inbox_bytes_max, Arc::clone(&snapshots));
        transport.start(local, inbox.clone()).unwrap();
        Self {
            id: local.node.get(),
            transport,
            inbox,
            receiver,
            snapshots,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer {
            id: NodeId::new(self.id),
            address: self.transport.listen_address().to_string(),
        }
    }

    /// Sends a heartbeat with this round.
    pub(crate) fn beat(&self, to: &Peer, round: u64) {
        self.transport.send(to, heartbeat(self.id, to.id, round));
    }

    pub(crate) fn append(&self, to: &Peer, payload_bytes: usize) {
        self.transport
            .send(to, append(self.id, to.id, payload_bytes));
    }

    pub(crate) async fn control(&mut self) -> Inbound {
        next(&mut self.receiver.control).await
    }

    pub(crate) async fn bulk(&mut self) -> Message {
        match next(&mut self.receiver.bulk).await {
            Inbound::Message(message, _) => message,
            other => panic!("not a message: {other:?}"),
        }
    }

    /// The next heartbeat's round; notices are passed over.
    pub(crate) async fn round(&mut self) -> u64 {
        loop {
            if let Inbound::Message(message, _) = self.control().await
                && let Body::Heartbeat { round, .. } = message.body
            {
                return round.0;
            }
        }
    }

    /// Waits until the node is told that `peer` cannot be reached.
    pub(crate) async fn told_unreachable(&mut self, peer: u64) {
        loop {
            if matches!(self.control().await, Inbound::Unreachable(id) if id == NodeId::new(peer)) {
                return;
            }
        }
    }

    /// Waits until the counters satisfy `wanted`.
    pub(crate) async fn counts(&self, wanted: impl Fn(&TransportStats) -> bool) -> TransportStats {
        let reached = async {
            loop {
                let stats = self.transport.stats();
                if wanted(&stats) {
                    return stats;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(stats) => stats,
            Err(_) => panic!("never counted: {:?}", self.transport.stats()),
        }
    }
}

pub(crate) async fn next(lane: &mut mpsc::Receiver<Inbound>) -> Inbound {
    let wait = tokio::time::timeout(PATIENCE, lane.recv());
    wait.await.expect("nothing arrived").expect("inbox closed")
}

pub(crate) fn identity(id: u64, cluster: &str, group: u64) -> Identity {
    Identity {
        cluster: ClusterId::from_name(cluster),
        group: GroupId::new(group),
        node: NodeId::new(id),
        incarnation: Incarnation::new(id),
        epoch: RecoveryEpoch::new(0),
    }
}

pub(crate) fn heartbeat(from: u64, to: NodeId, round: u64) -> Message {
    message(
        from,
        to,
        Body::Heartbeat {
            round: Round(round),
            commit: LogIndex::ZERO,
        },
    )
}

pub(crate) fn append(from: u64, to: NodeId, payload_bytes: usize) -> Message {
    let payload = (0..=u8::MAX)
        .cycle()
        .take(payload_bytes)
        .collect::<Vec<u8>>();
    let sealed = Sealed::new(Payload::Command(payload.into()));
    let entry = Entry::new(ChainLink::ORIGIN, Term::new(1), ClusterTime::ZERO, sealed);
    message(
        from,
        to,
        Body::Append {
            previous: LogId::ORIGIN,
            entries: vec![entry],
            commit: LogIndex::ZERO,
        },
    )
}

pub(crate) fn message(from: u64, to: NodeId, body: Body) -> Message {
    Message {
        group: GroupId::new(0),
        from: NodeId::new(from),
        incarnation: Incarnation::new(from),
        to,
        term: Term::new(1),
        body,
    }
}
