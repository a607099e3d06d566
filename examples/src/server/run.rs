//! Starts a node from its configuration, and runs it until it is told to stop.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use raft_core::id::{ClusterId, RecoveryEpoch};
use raft_core::node::Node;
use raft_core::store::StoreError;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::listen::accept;
use super::service::Service;
use super::watch_parent::parent_gone;
use crate::backend::{OpenError, StoreSettings, TransportSettings, bind};
use crate::config::ServerConfig;
use crate::failure::{Failure, OrFail};
use crate::kv::{KvMachine, SharedState};
use crate::terminal::say;

/// How to serve, besides what the configuration says.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServeOptions {
    /// Stop when the standard input ends: for servers that are another program's children.
    pub stop_with_parent: bool,
}

/// Serves until a signal (SIGINT, SIGTERM), or until the node stops by itself.
///
/// # Errors
/// [`Failure`] if the node cannot start, or stopped because going on was not safe.
pub async fn serve(path: &Path, options: ServeOptions) -> Result<(), Failure> {
    let config = ServerConfig::read(path)?;
    // Signals are taken from the very start: an early one must not end the process half way.
    let mut interrupt = signal(SignalKind::interrupt()).or_fail(|| "cannot take SIGINT".into())?;
    let mut terminate = signal(SignalKind::terminate()).or_fail(|| "cannot take SIGTERM".into())?;
    let told_to_stop = async {
        let parent = async {
            match options.stop_with_parent {
                true => parent_gone().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = parent => {}
        }
    };
    let mut told_to_stop = pin!(told_to_stop);
    warn_of(&config);
    // A directory begins anew a few times at most, so this ends.
    while let End::Damage(reason) = live(&config, told_to_stop.as_mut()).await? {
        begin_anew(&config, &reason).await?;
    }
    Ok(())
}

/// How a life of the node ends.
enum End {
    AsTold,
    /// Data was found damaged, and the node is to repair itself.
    Damage(String),
}

/// Starts the node, and serves until it is to stop, or finds damage.
async fn live(
    config: &ServerConfig,
    told_to_stop: impl Future<Output = ()>,
) -> Result<End, Failure> {
    let listener = TcpListener::bind(config.clients.as_str())
        .await
        .or_fail(|| format!("cannot listen for clients on {}", config.clients))?;
    let (node, state) = match start(config).await? {
        Ok(started) => started,
        Err(damage) => return Ok(End::Damage(damage)),
    };
    let service = Service::new(
        node.clone(),
        state,
        config.cluster.clone(),
        config.client_addresses(),
        config.raft().entry_bytes_max,
    );
    say(format_args!(
        "node {} of cluster {} is up: nodes on {}, clients on {}, data in {}",
        config.id,
        config.cluster,
        config.listen,
        config.clients,
        config.directory.display()
    ));
    tokio::select! {
        () = accept(listener, Arc::new(service)) => {}
        reason = node.stopped() => {
            let stopped = Failure::new(format!("node {}: {}", config.id, Failure::of(&reason)));
            return damage_or(config, reason.is_damage(), stopped).map(End::Damage);
        }
        () = told_to_stop => {}
    }
    say(format_args!("node {} stops", config.id));
    node.shutdown()
        .await
        .or_fail(|| format!("node {} did not stop cleanly", config.id))?;
    Ok(End::AsTold)
}

/// The node, or what was found damaged, if that is to be repaired.
async fn start(config: &ServerConfig) -> Result<Result<(Node, SharedState), String>, Failure> {
    let listen = config.listen.as_str();
    let transport = bind(config.transport, listen, &TransportSettings::of(config))?;
    let stores = match StoreSettings::of(config).open(config.store, &config.directory) {
        Ok(stores) => stores,
        Err(error) => {
            let is_damage = error.is_damage();
            let named = Failure::new(format!("node {}: {}", config.id, Failure::of(&error)));
            return damage_or(config, is_damage, named).map(Err);
        }
    };
    let (machine, state) = KvMachine::new();
    let node = Node::builder_boxed(config.id, stores, transport, Box::new(machine))
        .cluster(ClusterId::from_name(&config.cluster))
        .config(config.raft())
        .initial_membership(config.membership()?)
        .recovery_epoch(RecoveryEpoch::new(config.recovery_epoch))
        .start()
        .await;
    match node {
        Ok(node) => Ok(Ok((node, state))),
        Err(error) => {
            let failure = Failure::of(&error);
            let failure = Failure::new(format!("node {} cannot start: {failure}", config.id));
            damage_or(config, error.is_damage(), failure).map(Err)
        }
    }
}

/// What is damaged, if it is and the node repairs itself, or the failure.
fn damage_or(config: &ServerConfig, is_damage: bool, failure: Failure) -> Result<String, Failure> {
    match is_damage && config.repairs_itself() {
        true => Ok(failure.to_string()),
        false => Err(failure),
    }
}

async fn begin_anew(config: &ServerConfig, reason: &str) -> Result<(), Failure> {
    say(format_args!(
        "node {} begins anew, and gets its data from the others, for {reason}",
        config.id
    ));
    let settings = StoreSettings::of(config);
    let deadline = Instant::now() + CLOSED_WITHIN;
    loop {
        match settings.begin_anew(config.store, &config.directory, reason) {
            // The last client that is being served may still hold the node.
            Err(OpenError::Store {
                source: StoreError::InUse { .. },
                ..
            }) if Instant::now() < deadline => {
                sleep(CLOSED_WITHIN / 100).await;
            }
            begun => return begun.or_fail(|| format!("node {} cannot begin anew", config.id)),
        }
    }
}

/// So soon a node that has stopped lets its directory go.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// What the words of the configuration leave open to accidents.
fn warn_of(config: &ServerConfig) {
    let id = config.id;
    if !config.store.is_durable() {
        say(format_args!(
            "node {id} keeps its log in memory: restarted, it has forgotten its votes"
        ));
    }
    if !config.transport.is_secure() {
        let unused = match config.tls {
            Some(_) => ", and [tls] is not used",
            None => "",
        };
        say(format_args!(
            "node {id} talks to the others in plain text (transport = \"{}\"){unused}: whoever reaches \
             the network can read along and interfere",
            config.transport
        ));
    }
}
