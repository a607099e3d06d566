//! How a node is put together.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Node;
use super::backup::BackupMeta;
use super::entropy::entropy;
use super::error::StartError;
use super::initial_state::InitialState;
use super::launch::Launch;
use super::recover::Who;
use crate::config::{Config, ConfigError};
use crate::id::{ClusterId, GroupId, NodeId, RecoveryEpoch};
use crate::membership::Membership;
use crate::state_machine::StateMachine;
use crate::store::Stores;
use crate::transport::Transport;

/// Puts a node together. What has no good default was an argument of [`Node::builder`].
#[must_use = "a builder does nothing before `start`"]
pub struct NodeBuilder {
    who: Who,
    config: Config,
    seed: Option<u64>,
    runtime: Option<Handle>,
    stores: Stores,
    transport: Arc<dyn Transport>,
    machine: Box<dyn StateMachine>,
    initial_state: Option<InitialState>,
}

impl NodeBuilder {
    pub(super) fn new(
        node: NodeId,
        stores: Stores,
        transport: Arc<dyn Transport>,
        machine: Box<dyn StateMachine>,
    ) -> Self {
        let who = Who {
            cluster: ClusterId::from_name("default"),
            group: GroupId::default(),
            node,
            initial_membership: None,
            epoch: RecoveryEpoch::default(),
        };
        Self {
            who,
            config: Config::default(),
            seed: None,
            runtime: None,
            stores,
            transport,
            machine,
            initial_state: None,
        }
    }

    /// The cluster. Default: the one named `default`. Nodes of different clusters refuse each
    /// other, and each other's stores.
    pub fn cluster(mut self, cluster: ClusterId) -> Self {
        self.who.cluster = cluster;
        self
    }

    /// The group within the cluster. Default: group zero.
    pub fn group(mut self, group: GroupId) -> Self {
        self.who.group = group;
        self
    }

    /// The tunables. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The members with which the group begins. It counts only on empty stores, and is ignored
    /// later, so it may stay in a program. Every founding member must be given the same one;
    /// a node that joins later is given none.
    pub fn initial_membership(mut self, membership: Membership) -> Self {
        self.who.initial_membership = Some(membership);
        self
    }

    /// The state with which the group begins, in place of an empty machine: what
    /// [`Node::backup`](super::Node::backup) gave. Like the initial membership, without which it means
    /// nothing, it counts only on empty stores, and every founding member must be given the same;
    /// members with different ones stop when they hear each other. A backup of another
    /// [cluster](NodeBuilder::cluster) is refused, unless it is
    /// [for any](BackupMeta::for_any_cluster).
    ///
    /// Index, term and membership of the former group are forgotten; its time goes on. `data` is
    /// verified against the size and the checksum in `meta`, and whether the machine can restore them is
    /// verified if it says [how](StateMachine::restore_check): with a state that is refused nothing is
    /// founded, and the next start may be given another. Without that it shows when the machine is given
    /// the bytes, which every start repeats: only empty stores then begin with another state. Whether the
    /// machine understands a state that another version of it has written is up to the machine.
    pub fn initial_state(mut self, meta: BackupMeta, data: impl Read + Send + 'static) -> Self {
        let data = Box::new(data);
        self.initial_state = Some(InitialState { meta, data });
        self
    }

    /// The recovery epoch of the group that a new node joins. Default: zero, for a group that was
    /// never recovered from the loss of its
    /// quorum. It counts only on empty stores; beyond zero, an initial membership is ignored there.
    pub fn recovery_epoch(mut self, epoch: RecoveryEpoch) -> Self {
        self.who.epoch = epoch;
        self
    }

    /// Runs the event loop and the transport on this runtime. Default: on a thread of the node's
    /// own, so that a busy application cannot hold up heartbeats. Stop the node before the runtime.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Where the random election timeouts come from. Default: the system's random numbers. Members
    /// must not share a seed, or their elections collide.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, recovers what the stores hold, and starts the node. May be called on
    /// any executor. If the future is dropped, the node that was starting shuts down.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do. Nothing that is stored is lost by trying.
    pub async fn start(self) -> Result<Node, StartError> {
        self.config.validate()?;
        self.check_transport()?;
        if let Some(membership) = &self.who.initial_membership
            && !membership.contains(self.who.node)
        {
            return Err(StartError::NotAMember {
                node: self.who.node,
                membership: membership.to_string(),
            });
        }
        if let Some(state) = &self.initial_state {
            state.meta.check(self.who.cluster)?;
        }
        let (started, outcome) = oneshot::channel();
        let name = format!("raft-{}", self.who.node);
        let runtime = self.runtime;
        let launch = Launch {
            name: name.clone(),
            who: self.who,
            config: self.config,
            seed: self.seed.unwrap_or_else(entropy),
            stores: self.stores,
            transport: self.transport,
            machine: self.machine,
            initial_state: self.initial_state,
            started,
        };
        // The thread is the last to end, after it has joined the others: nobody can join it.
        thread::Builder::new()
            .name(name)
            .spawn(move || launch.run(runtime))
            .map_err(StartError::Thread)?;
        outcome.await.unwrap_or(Err(StartError::Panicked))
    }
}

impl NodeBuilder {
    /// What the transport cannot carry would never be replicated.
    fn check_transport(&self) -> Result<(), ConfigError> {
        let needed = self.config.message_bytes_max();
        match self.transport.message_bytes_max() {
            Some(bytes_max) if bytes_max < needed => Err(ConfigError(format!(
                "the transport carries messages of up to {bytes_max} bytes, and entry_bytes_max ({}) \
                 and append_bytes_max ({}) allow messages of {needed}: raise the transport's \
                 frame_max, or lower these",
                self.config.entry_bytes_max, self.config.append_bytes_max
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("who", &self.who)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
