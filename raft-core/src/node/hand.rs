//! Hands work to whoever does it: a thread, or the event loop itself.

use std::collections::VecDeque;

use tokio::sync::mpsc;

/// Collects jobs during one turn of the event loop.
///
/// For a thread, the jobs of a turn are one hand-off and one wake-up. In place, they stay until the
/// turn settles.
pub(super) struct Hand<Worker, Job> {
    queue: VecDeque<Job>,
    place: Place<Worker, Job>,
}

enum Place<Worker, Job> {
    /// `None` while the worker is lent out.
    Here(Option<Worker>),
    Thread(mpsc::UnboundedSender<Vec<Job>>),
}

impl<Worker, Job> Hand<Worker, Job> {
    /// The event loop works itself.
    pub(super) fn in_place(worker: Worker) -> Self {
        Self {
            queue: VecDeque::new(),
            place: Place::Here(Some(worker)),
        }
    }

    /// A thread works.
    pub(super) fn to_thread(sender: mpsc::UnboundedSender<Vec<Job>>) -> Self {
        Self {
            queue: VecDeque::new(),
            place: Place::Thread(sender),
        }
    }

    /// Adds a job.
    pub(super) fn push(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// The worker and its jobs, if it works here, is not lent out, and there are any.
    pub(super) fn work(&mut self) -> Option<(&mut Worker, &mut VecDeque<Job>)> {
        match &mut self.place {
            Place::Here(Some(worker)) if !self.queue.is_empty() => Some((worker, &mut self.queue)),
            Place::Here(_) | Place::Thread(_) => None,
        }
    }

    /// Takes the worker away for a while; its jobs wait.
    pub(super) fn lend(&mut self) -> Option<Worker> {
        match &mut self.place {
            Place::Here(worker) => worker.take(),
            Place::Thread(_) => None,
        }
    }

    /// The worker comes back.
    pub(super) fn give_back(&mut self, worker: Worker) {
        if let Place::Here(place) = &mut self.place {
            *place = Some(worker);
        }
    }

    /// Hands everything to the thread, if one works.
    pub(super) fn hand_off(&mut self) {
        if let Place::Thread(sender) = &self.place
            && !self.queue.is_empty()
        {
            // A thread that has failed says so through the completions.
            let _ = sender.send(std::mem::take(&mut self.queue).into());
        }
    }
}
