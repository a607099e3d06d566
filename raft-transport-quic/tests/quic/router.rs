//! A router between one caller and a node: it translates addresses, forgets, and holds back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// Its outer end is at another port after each [`Router::forget`].
pub(crate) struct Router {
    pub(crate) address: SocketAddr,
    forget: mpsc::Sender<()>,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What has passed, and what may.
#[derive(Default)]
struct Seen {
    /// Requests to prove an address (Retry), from the node.
    retries: AtomicUsize,
    holds_back_answers: AtomicBool,
}

/// The first four bits of a packet that asks to prove an address.
const RETRY: u8 = 0b1111;
const DATAGRAM_BYTES_MAX: usize = 1 << 16;

impl Router {
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let inner = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (forget, forgets) = mpsc::channel(1);
        let seen = Arc::<Seen>::default();
        Self {
            address: inner.local_addr().unwrap(),
            forget,
            task: tokio::spawn(route(inner, node, forgets, Arc::clone(&seen))),
            seen,
        }
    }

    /// From now on the caller is seen at another port.
    pub(crate) async fn forget(&self) {
        self.forget.send(()).await.unwrap();
        // Room for the next one: the first was taken.
        let taken = self.forget.reserve().await;
        drop(taken.unwrap());
    }

    /// From now on nothing comes back to the caller.
    pub(crate) fn hold_back_answers(&self) {
        self.seen.holds_back_answers.store(true, Ordering::Relaxed);
    }

    /// Waits until the node has asked the caller to prove its address.
    pub(crate) async fn address_was_asked_for(&self) {
        let asked = async {
            while self.seen.retries.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        asked.expect("it was not asked");
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn route(
    inner: UdpSocket,
    node: SocketAddr,
    mut forgets: mpsc::Receiver<()>,
    seen: Arc<Seen>,
) {
    let outside = || UdpSocket::bind("127.0.0.1:0");
    let mut outer = outside().await.unwrap();
    let mut caller = None;
    let (mut out, mut back) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
    loop {
        tokio::select! {
            received = inner.recv_from(&mut out) => {
                let (length, from) = received.unwrap();
                caller = Some(from);
                outer.send_to(&out[..length], node).await.unwrap();
            }
            received = outer.recv_from(&mut back) => {
                let (length, _) = received.unwrap();
                if back[0] >> 4 == RETRY {
                    seen.retries.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(caller) = caller
                    && !seen.holds_back_answers.load(Ordering::Relaxed)
                {
                    inner.send_to(&back[..length], caller).await.unwrap();
                }
            }
            Some(()) = forgets.recv() => outer = outside().await.unwrap(),
        }
    }
}
