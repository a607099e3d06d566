//! Answers what clients ask, with the node and its state.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::consensus::{To, TransferError};
use raft_core::id::NodeId;
use raft_core::node::{
    Applied, Node, Outcome as Doubt, ProposeError, ReadError, ReadMode, TransferLeadershipError,
};

use crate::kv::{Command, Effect, KEY_BYTES_MAX, SharedState};
use crate::protocol::{Ask, Body, DigestReport, MemberReport, NodeReport, Outcome};

/// One node, as its clients see it. Shared by all connections.
#[derive(Debug)]
pub struct Service {
    node: Node,
    state: SharedState,
    cluster: String,
    clients: BTreeMap<u64, String>,
    entry_bytes_max: usize,
}

impl Service {
    /// A service of `node`, whose machine writes `state`. `clients` says where clients reach each
    /// node.
    pub fn new(
        node: Node,
        state: SharedState,
        cluster: String,
        clients: BTreeMap<u64, String>,
        entry_bytes_max: usize,
    ) -> Self {
        Self {
            node,
            state,
            cluster,
            clients,
            entry_bytes_max,
        }
    }

    /// The largest value that can fit into an entry: larger ones need not be read in.
    pub fn value_bytes_max(&self) -> usize {
        self.entry_bytes_max
    }

    /// Carries out one request. The second value is the body of the answer.
    pub async fn answer(&self, ask: Ask, body: Body) -> (Outcome, Bytes) {
        let outcome = match (ask, body) {
            (_, Body::TooLong { bytes }) => too_large(bytes, self.entry_bytes_max),
            (Ask::Get { key, freshness }, _) => return self.get(&key, freshness.mode()).await,
            (Ask::Put { key }, Body::Whole(value)) => {
                self.change(Command::Put { key, value }).await
            }
            (Ask::Delete { key }, _) => self.change(Command::Delete { key }).await,
            (Ask::Status, _) => self.status().await,
            (Ask::Digest, _) => self.digest().await,
            (Ask::Transfer { to }, _) => self.transfer(to).await,
        };
        (outcome, Bytes::new())
    }

    async fn change(&self, command: Command) -> Outcome {
        let (Command::Put { key, .. } | Command::Delete { key }) = &command;
        if key.len() > KEY_BYTES_MAX {
            let bytes = key.len();
            return Outcome::Refused {
                reason: format!("the key has {bytes} bytes, the limit is {KEY_BYTES_MAX}"),
            };
        }
        match self.node.propose(command.encode()).await {
            Ok(applied) => changed(&applied),
            Err(error) => self.not_changed(&error),
        }
    }

    fn not_changed(&self, error: &ProposeError) -> Outcome {
        let reason = error.to_string();
        match error {
            ProposeError::NotLeader { leader } => self.not_leader(*leader),
            ProposeError::TooLarge { bytes, bytes_max } => too_large(*bytes, *bytes_max),
            _ if error.outcome() == Doubt::Unknown => Outcome::Unknown { reason },
            _ => Outcome::NotNow { reason },
        }
    }

    async fn transfer(&self, to: Option<u64>) -> Outcome {
        let to = to.map_or(To::Best, |node| To::Node(NodeId::new(node)));
        match self.node.transfer_leadership(to).await {
            Ok(leader) => Outcome::Transferred {
                leader: leader.get(),
            },
            Err(TransferLeadershipError::Failed(TransferError::NotLeader(leader))) => {
                self.not_leader(leader)
            }
            Err(error) => Outcome::Refused {
                reason: error.to_string(),
            },
        }
    }

    async fn get(&self, key: &str, mode: ReadMode) -> (Outcome, Bytes) {
        if let Err(error) = self.node.read_barrier(mode).await {
            return (not_read(&error), Bytes::new());
        }
        match self.state.read().value(key) {
            Some(value) => (Outcome::Value, value),
            None => (Outcome::Absent, Bytes::new()),
        }
    }

    async fn digest(&self) -> Outcome {
        if let Err(error) = self.node.read_barrier(ReadMode::Linearizable).await {
            return not_read(&error);
        }
        let (id, state) = (self.node.id().get(), self.state.clone());
        let digest = tokio::task::spawn_blocking(move || {
            let state = state.read();
            DigestReport {
                id,
                applied: state.applied().index.get(),
                keys: state.len() as u64,
                digest: format!("{:032x}", state.digest()),
            }
        });
        match digest.await {
            Ok(report) => Outcome::Digest(report),
            Err(error) => Outcome::NotNow {
                reason: error.to_string(),
            },
        }
    }

    async fn status(&self) -> Outcome {
        let raft = match self.node.status().await {
            Ok(status) => status.raft,
            Err(stopped) => {
                let reason = stopped.to_string();
                return Outcome::NotNow { reason };
            }
        };
        let members = raft.membership.members().iter().map(|(id, member)| {
            let progress = raft.peers.iter().find(|peer| peer.id == *id);
            MemberReport {
                id: id.get(),
                raft: member.address.clone(),
                clients: self.clients.get(&id.get()).cloned(),
                voter: raft.membership.is_voter(*id),
                matched: progress.map(|peer| peer.matched.get()),
                state: progress.map(|peer| peer.state.to_owned()),
            }
        });
        Outcome::Status(NodeReport {
            cluster: self.cluster.clone(),
            id: raft.id.get(),
            role: raft.standing.role.as_str().to_owned(),
            repairing: raft.repairing.map(|former| former.reason),
            term: raft.standing.term.get(),
            leader: raft.standing.leader.map(NodeId::get),
            last: raft.last.index.get(),
            durable: raft.durable.get(),
            committed: raft.committed.get(),
            applied: raft.applied.get(),
            snapshot: raft.snapshot.map(|id| id.index.get()),
            purged: raft.purged.get(),
            keys: self.state.read().len() as u64,
            dropped: raft.dropped,
            members: members.collect(),
        })
    }

    fn not_leader(&self, leader: Option<NodeId>) -> Outcome {
        let leader = leader.filter(|leader| *leader != self.node.id());
        let address = leader.and_then(|leader| self.clients.get(&leader.get()));
        Outcome::NotLeader {
            leader: address.cloned(),
        }
    }
}

fn changed(applied: &Applied) -> Outcome {
    let existed = match Effect::decode(&applied.response) {
        Effect::Existed => true,
        Effect::WasAbsent => false,
        Effect::NotUnderstood => {
            let reason = "the store did not understand the command".into();
            return Outcome::Refused { reason };
        }
    };
    Outcome::Changed {
        index: applied.id.index.get(),
        existed,
    }
}

fn not_read(error: &ReadError) -> Outcome {
    Outcome::NotNow {
        reason: error.to_string(),
    }
}

fn too_large(bytes: usize, bytes_max: usize) -> Outcome {
    Outcome::Refused {
        reason: format!(
            "the entry has {bytes} bytes, the limit is {bytes_max}: store less under one key, or \
             raise limits.entry_bytes_max in the configuration of every node"
        ),
    }
}
