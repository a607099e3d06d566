//! Runs a property: a runtime, the backend, and how long to wait.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::backend::{Delivery, Heal, TransportBackend, Verdict};
use super::ends::{End, Ledger, Setup};
use crate::id::NodeId;

/// What a property works with.
pub(super) struct Net<'a> {
    backend: &'a mut dyn TransportBackend,
    ledger: Ledger,
}

/// How long to wait for what has to happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(Duration);

/// Does not wait for threads that a failed property has left behind.
struct Running(Option<Runtime>);

/// Runs `story` on a runtime of its own.
pub(super) fn run(
    backend: &mut dyn TransportBackend,
    story: impl AsyncFnOnce(&mut Net<'_>) -> Verdict,
) -> Verdict {
    let runtime = Builder::new_current_thread().enable_all().build();
    let running = Running(Some(runtime.expect("a runtime")));
    let lacks_nothing = backend.lacks_nothing();
    let mut net = Net {
        backend,
        ledger: Ledger::default(),
    };
    let verdict = match &running.0 {
        Some(runtime) => runtime.block_on(story(&mut net)),
        None => Verdict::Skipped("runtime"),
    };
    if let Verdict::Skipped(want) = verdict {
        assert!(
            !lacks_nothing,
            "skipped, for there is no {want}, though the backend says that it lacks nothing"
        );
    }
    verdict
}

impl Net<'_> {
    /// A started node of the usual cluster.
    pub(super) fn end(&mut self, node: u64) -> End {
        self.start(Setup::of(node))
    }

    /// A started node.
    pub(super) fn start(&mut self, setup: Setup) -> End {
        let endpoint = self.backend.open(setup.local, setup.listen.as_deref());
        End::start(setup, endpoint, self.ledger.clone(), self.patience())
    }

    /// The node once more, at the same address. It has stopped, or nearly.
    pub(super) async fn restart(&mut self, end: End) -> End {
        end.stop().await;
        let mut setup = Setup::as_before(&end);
        setup.listen = Some(end.address());
        drop(end);
        self.start(setup)
    }

    /// All of them once more. They stop at the same time.
    pub(super) async fn restart_all(&mut self, ends: Vec<End>) -> Vec<End> {
        for end in &ends {
            end.begin_to_stop();
        }
        let mut again = Vec::new();
        for end in ends {
            again.push(self.restart(end).await);
        }
        again
    }

    pub(super) fn patience(&self) -> Patience {
        Patience(self.backend.patience())
    }

    pub(super) fn cut(&mut self, one: u64, other: u64) -> Option<Heal> {
        self.backend.cut(NodeId::new(one), NodeId::new(other))
    }

    pub(super) fn disturb(&mut self, seed: u64) -> Option<Heal> {
        self.backend.disturb(seed)
    }

    pub(super) fn delivery(&self) -> Delivery {
        self.backend.delivery()
    }

    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.backend.snapshot_bytes()
    }

    pub(super) fn held_bytes_max(&self) -> usize {
        self.backend.held_bytes_max()
    }

    pub(super) fn reconnects(&self) -> usize {
        self.backend.reconnects()
    }

    /// A transport that nobody has started.
    pub(super) fn unstarted(&mut self, node: u64) -> super::Endpoint {
        self.backend.open(super::make::identity(node), None)
    }
}

impl Patience {
    /// Waits for `event`; panics if it takes too long.
    #[expect(clippy::panic, reason = "a property that fails panics")]
    pub(super) async fn wait<T>(self, event: impl Future<Output = T>, what: &str) -> T {
        match timeout(self.0, event).await {
            Ok(value) => value,
            Err(_) => panic!("waited for {:?}, in vain: {what}", self.0),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
