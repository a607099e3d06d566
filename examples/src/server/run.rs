//! Starts a node from its configuration, and runs it until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use raft_core::id::{ClusterId, RecoveryEpoch};
use raft_core::node::{Node, StopReason};
use raft_core::store::Stores;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::listen::accept;
use super::service::Service;
use super::watch_parent::parent_gone;
use crate::backend::{StoreSettings, TransportSettings, bind};
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
    let listener = TcpListener::bind(config.clients.as_str())
        .await
        .or_fail(|| format!("cannot listen for clients on {}", config.clients))?;
    let (node, state) = start(&config).await?;
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
    let parent = async {
        match options.stop_with_parent {
            true => parent_gone().await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        () = accept(listener, Arc::new(service)) => {}
        reason = node.stopped() => return Err(stopped(&config, &reason)),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = parent => {}
    }
    say(format_args!("node {} stops", config.id));
    node.shutdown()
        .await
        .or_fail(|| format!("node {} did not stop cleanly", config.id))?;
    Ok(())
}

async fn start(config: &ServerConfig) -> Result<(Node, SharedState), Failure> {
    let named = || format!("node {} cannot start", config.id);
    let listen = config.listen.as_str();
    let transport = bind(config.transport, listen, &TransportSettings::of(config))?;
    warn_of(config);
    let (machine, state) = KvMachine::new();
    let stores = open_stores(config)?;
    let node = Node::builder_boxed(config.id, stores, transport, Box::new(machine))
        .cluster(ClusterId::from_name(&config.cluster))
        .config(config.raft())
        .initial_membership(config.membership()?)
        .recovery_epoch(RecoveryEpoch::new(config.recovery_epoch))
        .start()
        .await
        .or_fail(named)?;
    Ok((node, state))
}

/// Opens what the configuration names.
///
/// # Errors
/// [`Failure`] if the store cannot be opened: it may be in use.
pub fn open_stores(config: &ServerConfig) -> Result<Stores, Failure> {
    let opened = StoreSettings::of(config).open(config.store, &config.directory);
    opened.or_fail(|| format!("node {}", config.id))
}

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

fn stopped(config: &ServerConfig, reason: &StopReason) -> Failure {
    Failure::new(format!("node {}: {}", config.id, Failure::of(reason)))
}
