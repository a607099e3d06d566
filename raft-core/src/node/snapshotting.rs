//! Which snapshot is being taken, and who waits for it.

use tokio::sync::oneshot;

use super::error::{SnapshotError, StopReason};
use crate::id::LogIndex;
use crate::snapshot::SnapshotMeta;

pub(crate) type SnapshotResult = Result<SnapshotMeta, SnapshotError>;
type Reply = oneshot::Sender<SnapshotResult>;

/// At most one snapshot is taken at a time. Callers that come meanwhile wait for the next one, which
/// contains everything that was applied when they asked.
#[derive(Debug, Default)]
pub(crate) struct Snapshotting {
    newest: Option<SnapshotMeta>,
    in_progress: bool,
    /// It waits for the end of a restoration, which may never be heard of here.
    is_delayed: bool,
    /// The core waits to hear of the one in progress.
    for_core: bool,
    waiting: Vec<Reply>,
    waiting_for_next: Vec<Reply>,
}

/// What follows from a snapshot's end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The core had asked for it.
    pub(crate) for_core: bool,
    /// Another one must be taken.
    pub(crate) again: bool,
}

impl Snapshotting {
    pub(crate) fn new(newest: Option<SnapshotMeta>) -> Self {
        Self {
            newest,
            ..Self::default()
        }
    }

    /// Whether one is being taken.
    #[cfg(feature = "sim")]
    pub(crate) fn is_in_progress(&self) -> bool {
        self.in_progress
    }

    /// A snapshot is in our store, taken here or received.
    pub(crate) fn stored(&mut self, meta: &SnapshotMeta) {
        let newer = |newest: &SnapshotMeta| newest.id().index < meta.id().index;
        if self.newest.as_ref().is_none_or(newer) {
            self.newest = Some(meta.clone());
        }
    }

    /// The core wants one. Whether it must be begun.
    #[must_use]
    pub(crate) fn core_asks(&mut self) -> bool {
        self.for_core = true;
        !std::mem::replace(&mut self.in_progress, true)
    }

    /// A caller wants one that contains everything `applied`. Whether it must be begun.
    #[must_use]
    pub(crate) fn caller_asks(&mut self, applied: LogIndex, reply: Reply) -> bool {
        if let Some(newest) = self
            .newest
            .as_ref()
            .filter(|meta| meta.id().index >= applied)
        {
            // The caller may have gone away.
            let _ = reply.send(Ok(newest.clone()));
            return false;
        }
        if self.is_delayed {
            // The caller may have gone away.
            let _ = reply.send(Err(SnapshotError::Restoring));
            return false;
        }
        if self.in_progress {
            self.waiting_for_next.push(reply);
            return false;
        }
        self.waiting.push(reply);
        self.in_progress = true;
        true
    }

    /// The one in progress has to wait. Callers do not: nobody can say for how long (RULE 6).
    pub(crate) fn delayed(&mut self) {
        self.is_delayed = true;
        self.refuse_all(&SnapshotError::Restoring);
    }

    /// The one in progress has ended.
    pub(crate) fn ended(&mut self, result: &SnapshotResult) -> Ended {
        if let Ok(meta) = result {
            self.stored(meta);
        }
        self.is_delayed = false;
        for reply in std::mem::take(&mut self.waiting) {
            // The caller may have gone away.
            let _ = reply.send(result.clone());
        }
        self.waiting = std::mem::take(&mut self.waiting_for_next);
        self.in_progress = !self.waiting.is_empty();
        Ended {
            for_core: std::mem::take(&mut self.for_core),
            again: self.in_progress,
        }
    }

    /// The node stops: answers everybody.
    pub(crate) fn fail_all(&mut self, reason: &StopReason) {
        self.refuse_all(&SnapshotError::Stopped(reason.clone()));
    }

    fn refuse_all(&mut self, error: &SnapshotError) {
        let next = self.waiting_for_next.drain(..);
        for reply in self.waiting.drain(..).chain(next) {
            // The caller may have gone away.
            let _ = reply.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::id::{ChainLink, LogId, Term};
    use crate::membership::Membership;
    use crate::snapshot::SnapshotHeader;
    use crate::time::ClusterTime;

    fn meta(index: u64) -> SnapshotMeta {
        let id = LogId::new(Term::new(1), LogIndex::new(index));
        SnapshotMeta {
            header: SnapshotHeader {
                last: ChainLink { id, checksum: 0 },
                time: ClusterTime::ZERO,
                membership: Arc::new(Membership::of_voters([(1, "a")]).unwrap()),
                membership_at: id,
            },
            size: 0,
            checksum: 0,
        }
    }

    #[test]
    fn who_asks_while_one_is_taken_gets_the_next() {
        let mut snapshotting = Snapshotting::new(None);
        assert!(snapshotting.core_asks());
        let (reply, mut answer) = oneshot::channel();
        assert!(!snapshotting.caller_asks(LogIndex::new(7), reply));
        let ended = snapshotting.ended(&Ok(meta(5)));
        assert_eq!((ended.for_core, ended.again), (true, true));
        assert!(answer.try_recv().is_err());
        let ended = snapshotting.ended(&Ok(meta(7)));
        assert_eq!((ended.for_core, ended.again), (false, false));
        assert_eq!(answer.try_recv().unwrap().unwrap(), meta(7));
    }

    #[test]
    fn who_asks_in_the_middle_of_a_restoration_is_told_so() {
        let mut snapshotting = Snapshotting::new(None);
        let (reply, mut first) = oneshot::channel();
        assert!(snapshotting.caller_asks(LogIndex::new(7), reply));
        snapshotting.delayed();
        let (reply, mut second) = oneshot::channel();
        assert!(!snapshotting.caller_asks(LogIndex::new(7), reply));
        for answer in [&mut first, &mut second] {
            let answer = answer.try_recv().unwrap();
            assert!(matches!(answer, Err(SnapshotError::Restoring)));
        }
        assert!(!snapshotting.ended(&Ok(meta(8))).again);
        let (reply, mut third) = oneshot::channel();
        assert!(!snapshotting.caller_asks(LogIndex::new(8), reply));
        assert!(third.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_snapshot_that_is_there_already_is_not_taken_again() {
        let mut snapshotting = Snapshotting::new(Some(meta(7)));
        let (reply, mut answer) = oneshot::channel();
        assert!(!snapshotting.caller_asks(LogIndex::new(7), reply));
        assert_eq!(answer.try_recv().unwrap().unwrap(), meta(7));
        let (reply, _answer) = oneshot::channel();
        assert!(snapshotting.caller_asks(LogIndex::new(8), reply));
    }
}
