//! One connection to one server, with many requests on the way at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use raft_core::config::ENTRY_BYTES_LIMIT;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::error::CallError;
use crate::protocol::{Answer, Ask, Body, Frames, GREETING, Outbox, Outcome, Request};

/// A connection. Its requests may be made from any number of tasks.
#[derive(Debug)]
pub struct Connection {
    address: String,
    outbox: Outbox,
    pending: Arc<Mutex<Pending>>,
    reader: AbortHandle,
}

/// The requests that wait for their answers.
#[derive(Debug, Default)]
struct Pending {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<(Outcome, Bytes)>>,
    broken: Option<String>,
}

/// A request's place among those that wait, given up when its caller no longer waits.
struct Place<'a> {
    pending: &'a Mutex<Pending>,
    number: u64,
}

impl Connection {
    /// Connects and greets.
    ///
    /// # Errors
    /// [`CallError::NotSent`] with what the system said.
    pub async fn open(address: &str) -> Result<Self, CallError> {
        let stream = Self::connect(address)
            .await
            .map_err(|error| CallError::NotSent {
                address: address.to_owned(),
                reason: error.to_string(),
            })?;
        let (from, to) = stream.into_split();
        let (outbox, queued) = Outbox::new(REQUESTS_QUEUED_MAX);
        let pending = Arc::new(Mutex::new(Pending::default()));
        let answers = Arc::clone(&pending);
        let reader = tokio::spawn(async move {
            let end = read_answers(from, &answers).await;
            break_off(&answers, end);
        });
        let failed = Arc::clone(&pending);
        tokio::spawn(async move {
            if let Err(error) = Outbox::write_all(to, queued).await {
                break_off(&failed, Err(error));
            }
        });
        Ok(Self {
            address: address.to_owned(),
            outbox,
            pending,
            reader: reader.abort_handle(),
        })
    }

    /// Asks, and waits for the answer as long as the connection stands.
    ///
    /// # Errors
    /// [`CallError`] if the connection breaks.
    pub async fn call(&self, ask: Ask, body: &[u8]) -> Result<(Outcome, Bytes), CallError> {
        let not_sent = |reason: String| CallError::NotSent {
            address: self.address.clone(),
            reason,
        };
        let (answer, waiting) = oneshot::channel();
        let place = {
            let mut pending = lock(&self.pending);
            if let Some(reason) = &pending.broken {
                return Err(not_sent(reason.clone()));
            }
            let number = pending.next;
            pending.next += 1;
            pending.waiting.insert(number, answer);
            Place {
                pending: &self.pending,
                number,
            }
        };
        let number = place.number;
        let sent = self.outbox.send(&Request { number, ask }, body).await;
        sent.map_err(|error| not_sent(error.to_string()))?;
        waiting.await.map_err(|_| CallError::NoAnswer {
            address: self.address.clone(),
            reason: self.why_broken(),
        })
    }

    /// Whether it can carry no further request.
    pub fn is_broken(&self) -> bool {
        lock(&self.pending).broken.is_some()
    }

    fn why_broken(&self) -> String {
        let broken = lock(&self.pending).broken.clone();
        broken.unwrap_or_else(|| "the connection was dropped".into())
    }

    async fn connect(address: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(GREETING).await?;
        Ok(stream)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(self.pending).waiting.remove(&self.number);
    }
}

/// Hands answers to those who wait for them, until the connection ends.
async fn read_answers(from: OwnedReadHalf, pending: &Mutex<Pending>) -> io::Result<()> {
    let mut answers = Frames::<_, Answer>::new(from, ENTRY_BYTES_LIMIT);
    while let Some(frame) = answers.next().await? {
        let Body::Whole(body) = frame.body else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // Nobody may wait any more: then the answer is dropped.
        if let Some(answer) = lock(pending).waiting.remove(&frame.head.number) {
            let _ = answer.send((frame.head.outcome, body));
        }
    }
    Ok(())
}

/// Fails everybody who waits, and everybody who comes later.
fn break_off(pending: &Mutex<Pending>, end: io::Result<()>) {
    let reason = match end {
        Ok(()) => "the server closed the connection".to_owned(),
        Err(error) => error.to_string(),
    };
    let mut pending = lock(pending);
    pending.broken.get_or_insert(reason);
    pending.waiting.clear();
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

const REQUESTS_QUEUED_MAX: usize = 1024;
