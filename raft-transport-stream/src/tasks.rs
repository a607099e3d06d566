//! Every task of a transport, so that all of them can be ended.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Tasks that end together. Clones are handles to the same tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    runtime: Handle,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    alive: Mutex<Alive>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Alive {
    stopped: bool,
    next: u64,
    handles: BTreeMap<u64, AbortHandle>,
}

/// Takes the task off the list when it ends, in whatever way.
struct Ticket {
    number: u64,
    shared: Arc<Shared>,
}

impl Tasks {
    /// None yet. They will run on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            shared: Arc::default(),
        }
    }

    /// Spawns a task, unless all were stopped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Held until the handle is listed: the task may end before that.
        let mut alive = self.shared.alive();
        if alive.stopped {
            return;
        }
        let number = alive.next;
        alive.next += 1;
        let ticket = Ticket {
            number,
            shared: Arc::clone(&self.shared),
        };
        let handle = self.runtime.spawn(async move {
            let _ticket = ticket;
            task.await;
        });
        alive.handles.insert(number, handle.abort_handle());
    }

    /// Ends every task at its next wake-up, and refuses new ones.
    pub fn stop(&self) {
        let mut alive = self.shared.alive();
        alive.stopped = true;
        for handle in alive.handles.values() {
            handle.abort();
        }
        drop(alive);
        self.shared.ended.notify_waiters();
    }

    /// Waits until the tasks were stopped and none is left.
    pub async fn ended(&self) {
        loop {
            let changed = self.shared.ended.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.shared.is_over() {
                return;
            }
            changed.await;
        }
    }
}

impl Shared {
    fn alive(&self) -> MutexGuard<'_, Alive> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        let alive = self.alive();
        alive.stopped && alive.handles.is_empty()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.alive().handles.remove(&self.number);
        self.shared.ended.notify_waiters();
    }
}
