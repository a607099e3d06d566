//! From recovered stores to a running node, and from its end to the last thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot, watch};
use tracing::Instrument;

use super::Node;
use super::applier::panic_message;
use super::assembly::{Assembly, Built};
use super::crew::Crew;
use super::error::{StartError, StopReason};
use super::events::NodeEvent;
use super::initial_state::InitialState;
use super::recover::{Who, recover};
use crate::config::Config;
use crate::state_machine::StateMachine;
use crate::store::Stores;
use crate::transport::Transport;

/// Everything that a node is made of.
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) who: Who,
    pub(super) config: Config,
    pub(super) seed: u64,
    pub(super) stores: Stores,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) machine: Box<dyn StateMachine>,
    pub(super) initial_state: Option<InitialState>,
    pub(super) started: oneshot::Sender<Result<Node, StartError>>,
}

/// How long the node's own runtime waits for what the transport still does when all has stopped.
const RUNTIME_END_MAX: Duration = Duration::from_secs(5);

impl Launch {
    /// Recovers, then runs the node: here, or on the runtime that was given.
    pub(super) fn run(self, runtime: Option<Handle>) {
        let recovered = match recover(
            &self.who,
            &self.config,
            self.stores,
            self.machine,
            self.initial_state,
        ) {
            Ok(recovered) => recovered,
            Err(error) => return refuse(self.started, error),
        };
        let assembly = Assembly {
            name: self.name,
            config: self.config,
            seed: self.seed,
            transport: self.transport,
            recovered,
        };
        if let Some(runtime) = runtime {
            runtime.spawn(async move {
                let ended = run(assembly, self.started).await;
                // If the runtime ends first, the threads end on their own.
                let _ = tokio::task::spawn_blocking(|| ended.join()).await;
            });
            return;
        }
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match own {
            Ok(own) => {
                let ended = own.block_on(run(assembly, self.started));
                own.shutdown_timeout(RUNTIME_END_MAX);
                ended.join();
            }
            Err(error) => refuse(self.started, StartError::Thread(error)),
        }
    }
}

/// A node whose event loop has ended.
struct Ended {
    reason: StopReason,
    /// `None` if it never began.
    left: Option<(Crew, Farewell)>,
}

/// Tells everybody that the node has stopped, whatever way it ends.
pub(super) struct Farewell {
    pub(super) stopped: watch::Sender<Option<StopReason>>,
    pub(super) events: broadcast::Sender<NodeEvent>,
}

/// Starts the transport and the threads, and runs the event loop to its end.
async fn run(assembly: Assembly, started: oneshot::Sender<Result<Node, StartError>>) -> Ended {
    let transport = Arc::clone(&assembly.transport);
    let stopping = Arc::new(AtomicBool::new(false));
    let identity = assembly.recovered.identity;
    let span = tracing::info_span!("raft", node = %identity.node, group = %identity.group);
    let built = match assembly.build(&span, &stopping) {
        Ok(built) => built,
        Err(error) => {
            transport.stop();
            refuse(started, error);
            return Ended {
                reason: StopReason::Shutdown,
                left: None,
            };
        }
    };
    let Built {
        event_loop,
        shared,
        crew,
        farewell,
    } = built;
    // If nobody waits for the node any more, its last handle goes here, and it shuts down.
    let _ = started.send(Ok(Node::new(shared)));
    let ended = tokio::spawn(event_loop.run().instrument(span)).await;
    // The event loop has done both, unless it panicked.
    stopping.store(true, Ordering::Relaxed);
    transport.stop();
    let reason = ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => StopReason::Panicked {
            place: "event loop",
            message: panic_message(panic.as_ref()),
        },
        Err(_) => StopReason::RuntimeGone,
    });
    Ended {
        reason,
        left: Some((crew, farewell)),
    }
}

impl Ended {
    /// Waits for the threads, then tells everybody. Blocks.
    fn join(self) {
        if let Some((crew, farewell)) = self.left {
            crew.join();
            farewell.say(self.reason);
        }
    }
}

impl Farewell {
    fn say(&self, reason: StopReason) {
        // Nobody need listen.
        let _ = self.events.send(NodeEvent::Stopped(reason.clone()));
        self.stopped.send_replace(Some(reason));
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if self.stopped.borrow().is_none() {
            self.say(StopReason::RuntimeGone);
        }
    }
}

fn refuse(started: oneshot::Sender<Result<Node, StartError>>, error: StartError) {
    tracing::error!(%error, "node not started");
    // The caller may have gone away.
    let _ = started.send(Err(error));
}
