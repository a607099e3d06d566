//! One server as a client sees it: an address, and the connection to it while it stands.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::error::CallError;
use crate::protocol::{Ask, NodeReport, Outcome};

/// A server, connected when it is needed.
#[derive(Debug)]
pub(super) struct Server {
    address: String,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Server {
    pub(super) fn new(address: String) -> Arc<Self> {
        Arc::new(Self {
            address,
            connection: Mutex::new(None),
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Asks once. Waits until `deadline`, and no longer than an attempt may take.
    pub(super) async fn ask(
        &self,
        ask: Ask,
        body: &[u8],
        deadline: Instant,
    ) -> Result<(Outcome, Bytes), CallError> {
        let now = Instant::now();
        let connected = timeout_at(deadline.min(now + CONNECT_WITHIN), self.connected()).await;
        let connection = match connected {
            Ok(connection) => connection?,
            Err(_) => {
                return Err(CallError::NotSent {
                    address: self.address.clone(),
                    reason: "connecting took too long".into(),
                });
            }
        };
        let answered = timeout_at(
            deadline.min(now + ATTEMPT_WITHIN),
            connection.call(ask, body),
        );
        answered.await.unwrap_or_else(|_| {
            Err(CallError::NoAnswer {
                address: self.address.clone(),
                reason: "it took too long".into(),
            })
        })
    }

    /// How the server says it is.
    pub(super) async fn status(&self, deadline: Instant) -> Result<NodeReport, CallError> {
        match self.ask(Ask::Status, &[], deadline).await? {
            (Outcome::Status(report), _) => Ok(report),
            (other, _) => Err(CallError::NoAnswer {
                address: self.address.clone(),
                reason: format!("asked for its status, it said {other:?}"),
            }),
        }
    }

    async fn connected(&self) -> Result<Arc<Connection>, CallError> {
        let mut connection = self.connection.lock().await;
        if let Some(standing) = connection.as_ref().filter(|known| !known.is_broken()) {
            return Ok(Arc::clone(standing));
        }
        let opened = Arc::new(Connection::open(&self.address).await?);
        *connection = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

const CONNECT_WITHIN: Duration = Duration::from_secs(1);
const ATTEMPT_WITHIN: Duration = Duration::from_secs(5);
