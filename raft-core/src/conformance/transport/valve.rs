//! Halts a thread at a chosen byte, until the property has seen what it wants to see.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The property's end. Dropping it opens the valve for good, so no thread is left behind.
#[derive(Debug)]
pub(super) struct Valve {
    shared: Arc<Shared>,
    reached: watch::Receiver<u64>,
}

/// The end of the thread that is halted.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    shared: Arc<Shared>,
    reached: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes before this one may pass.
    open_to: Mutex<u64>,
    moved: Condvar,
}

impl Valve {
    /// A valve that lets `open_to` bytes pass.
    pub(super) fn new(open_to: u64) -> (Self, Pipe) {
        let shared = Arc::new(Shared {
            open_to: Mutex::new(open_to),
            moved: Condvar::new(),
        });
        let (sender, reached) = watch::channel(0);
        let pipe = Pipe {
            shared: Arc::clone(&shared),
            reached: Arc::new(sender),
        };
        (Self { shared, reached }, pipe)
    }

    /// Lets the bytes before `offset` pass.
    pub(super) fn open_to(&self, offset: u64) {
        let mut open_to = self.shared.lock();
        *open_to = offset.max(*open_to);
        self.shared.moved.notify_all();
    }

    /// Waits until everything before `offset` has passed.
    pub(super) async fn reached(&mut self, offset: u64) {
        let reached = self.reached.wait_for(|reached| *reached >= offset).await;
        drop(reached.expect("the thread went on as far as it was let"));
    }
}

impl Pipe {
    /// Waits until bytes from `offset` on may pass, and says how many. Blocks.
    pub(super) fn pass(&self, offset: u64) -> u64 {
        self.note(offset);
        let mut open_to = self.shared.lock();
        while *open_to <= offset {
            let moved = self.shared.moved.wait(open_to);
            open_to = moved.unwrap_or_else(PoisonError::into_inner);
        }
        *open_to - offset
    }

    /// Everything before `offset` has passed.
    pub(super) fn note(&self, offset: u64) {
        self.reached.send_if_modified(|reached| {
            let moves = offset > *reached;
            *reached = offset.max(*reached);
            moves
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.open_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.open_to(u64::MAX);
    }
}
