//! The node's threads: named, watched for panics, joined at the end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc;
use tracing::Span;

use super::applier::panic_message;
use super::completion::Completion;
use super::error::StopReason;

/// Threads that end when the event loop lets go of their queues.
pub(super) struct Crew {
    name: String,
    span: Span,
    completions: mpsc::UnboundedSender<Completion>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Nobody yet. Thread names begin with `name`.
    pub(super) fn new(
        name: String,
        span: Span,
        completions: mpsc::UnboundedSender<Completion>,
    ) -> Self {
        Self {
            name,
            span,
            completions,
            threads: Vec::new(),
        }
    }

    /// Starts a thread. If it panics, the node stops and says so.
    pub(super) fn start(
        &mut self,
        place: &'static str,
        body: impl FnOnce(&mpsc::UnboundedSender<Completion>) + Send + 'static,
    ) -> io::Result<()> {
        let completions = self.completions.clone();
        let span = self.span.clone();
        let run = move || {
            let _entered = span.enter();
            // What the body owned is dropped with it, and never seen again.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&completions))) {
                let message = panic_message(panic.as_ref());
                let failed = Completion::Failed(StopReason::Panicked { place, message });
                // If the event loop is gone, nobody needs to know.
                let _ = completions.send(failed);
            }
        };
        let thread = Builder::new()
            .name(format!("{}-{place}", self.name))
            .spawn(run)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until every thread has ended. Blocks.
    pub(super) fn join(self) {
        for thread in self.threads {
            // Its panic was caught and reported.
            let _ = thread.join();
        }
    }
}
