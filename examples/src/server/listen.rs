//! Accepts clients.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::converse;
use super::service::Service;

/// Accepts clients for ever. Dropping the future closes every connection.
pub async fn accept(listener: TcpListener, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let service = Arc::clone(&service);
                connections.spawn(async move {
                    if let Err(error) = converse(stream, service).await
                        && error.kind() == io::ErrorKind::InvalidData
                    {
                        tracing::warn!(%client, %error, "a client was sent away");
                    }
                });
            }
            Err(error) => {
                // For instance too many open files: it may pass.
                tracing::warn!(%error, "cannot accept a client");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
