//! Performs the durability stream: on the log thread, or in place for stores that never block.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::completion::Completion;
use super::error::StopReason;
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{Sequence, Write};
use crate::former_lives::FormerLives;
use crate::hard_state::HardState;
use crate::store::{LogStore, StableRecord, StableStore, StoreError};

/// The two stores that the stream of [`Write`]s goes to.
///
/// # What a crash may leave of a batch
/// A batch is performed as: the *last* hard state in it, then every log operation in order, then
/// one sync. Nothing is reported before all of it is durable, so nothing of it was promised to
/// anybody, and each of these states is one that the core can be restarted from:
///
/// | crash | term and vote | log |
/// |---|---|---|
/// | before the hard state is set | old | old |
/// | after it, before the sync ends | new | old, and a prefix of the operations |
/// | after the sync | new | new |
///
/// A term and vote that are ahead of the log are harmless: they are a promise not to act in older
/// terms. The opposite, entries of a term that the node does not remember to have reached, is
/// what must not be: hence the hard state goes first. Setting only the last one is the same as
/// crashing between two writes, seen from outside: those in between were never promised either.
pub(crate) struct LogWriter {
    log: Box<dyn LogStore>,
    stable: Box<dyn StableStore>,
}

/// A batch that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Persisted {
    /// Everything through here.
    pub(crate) through: Sequence,
    /// How often the log was synced for it: once, or never if only the hard state changed.
    pub(crate) log_syncs: u64,
}

impl LogWriter {
    pub(crate) fn new(log: Box<dyn LogStore>, stable: Box<dyn StableStore>) -> Self {
        Self { log, stable }
    }

    /// Whether the calls must be made on a thread of their own.
    pub(super) fn may_block(&self) -> bool {
        self.log.may_block() || self.stable.may_block()
    }

    /// Makes a batch of writes durable, in order. After an error nothing is tried again (RULE 4).
    pub(crate) fn perform(&mut self, batch: &[Write]) -> Result<Persisted, StoreError> {
        if let Some(hard_state) = last_hard_state(batch) {
            hard_state.save(self.stable.as_mut())?;
        }
        let mut touched = false;
        for write in batch {
            touched |= self.change_log(write)?;
        }
        if touched {
            self.log.sync()?;
        }
        if batch.iter().any(|write| write.repaired) && !mutant(Mutant::RepairNotNoted) {
            self.note_repair()?;
        }
        let through = batch
            .last()
            .map_or(Sequence::default(), |write| write.sequence);
        let log_syncs = u64::from(touched);
        Ok(Persisted { through, log_syncs })
    }

    /// The repair of these stores is over. Last of all: before, the log that says so must be there.
    fn note_repair(&mut self) -> Result<(), StoreError> {
        let former = FormerLives::load(self.stable.as_ref())?;
        former.map_or(Ok(()), |former| {
            let repaired = FormerLives {
                is_repaired: true,
                ..former
            };
            repaired.save(self.stable.as_mut())
        })
    }

    /// Whether there was anything to change.
    fn change_log(&mut self, write: &Write) -> Result<bool, StoreError> {
        if let Some(from) = write.truncate_from {
            self.log.truncate_suffix(from)?;
        }
        if let Some(through) = write.purge_through {
            self.log.purge_prefix(through)?;
        }
        if !write.append.is_empty() {
            self.log.append(&write.append)?;
        }
        Ok(write.truncate_from.is_some()
            || write.purge_through.is_some()
            || !write.append.is_empty())
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").finish_non_exhaustive()
    }
}

/// The log thread: takes all that is queued, makes it durable with one sync, reports once.
pub(super) fn run(
    mut writer: LogWriter,
    mut queue: mpsc::UnboundedReceiver<Vec<Write>>,
    completions: &mpsc::UnboundedSender<Completion>,
) {
    while let Some(mut batch) = queue.blocking_recv() {
        while let Ok(more) = queue.try_recv() {
            batch.extend(more);
        }
        let (completion, failed) = match writer.perform(&batch) {
            Ok(persisted) => (Completion::Persisted(persisted), false),
            Err(error) => (Completion::Failed(StopReason::Store(Arc::new(error))), true),
        };
        // If the event loop is gone, the queue ends as well.
        let _ = completions.send(completion);
        if failed {
            return;
        }
    }
}

fn last_hard_state(batch: &[Write]) -> Option<HardState> {
    if mutant(Mutant::OlderHardStateWritten) {
        return batch.iter().find_map(|write| write.hard_state);
    }
    batch.iter().rev().find_map(|write| write.hard_state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, Sealed};
    use crate::id::{ChainLink, LogIndex, NodeId, Term};
    use crate::memory::MemoryStores;
    use crate::store::Stores;
    use crate::time::ClusterTime;

    fn writer(memory: &MemoryStores) -> LogWriter {
        let Stores { log, stable, .. } = memory.open();
        LogWriter::new(log, stable)
    }

    fn entry(previous: ChainLink, term: u64) -> Entry {
        let sealed = Sealed::command("x");
        Entry::new(previous, Term::new(term), ClusterTime::ZERO, sealed)
    }

    fn hard_state(term: u64) -> HardState {
        HardState {
            term: Term::new(term),
            vote: Some(NodeId::new(1)),
        }
    }

    #[test]
    fn a_batch_is_one_sync_and_one_cumulative_report() {
        let memory = MemoryStores::new();
        let first = entry(ChainLink::ORIGIN, 1);
        let lost = entry(first.link(), 1);
        let kept = entry(first.link(), 2);
        let batch = [
            Write {
                sequence: Sequence(4),
                hard_state: Some(hard_state(1)),
                append: vec![first, lost],
                ..Write::default()
            },
            Write {
                sequence: Sequence(5),
                hard_state: Some(hard_state(2)),
                truncate_from: Some(LogIndex::new(2)),
                append: vec![kept.clone()],
                ..Write::default()
            },
        ];
        let persisted = writer(&memory).perform(&batch).unwrap();
        assert_eq!(persisted.through, Sequence(5));
        assert_eq!(persisted.log_syncs, 1);
        memory.crash();
        let stores = memory.open();
        assert_eq!(stores.log.bounds().unwrap().last, kept.link());
        let stored = HardState::load(stores.stable.as_ref()).unwrap();
        assert_eq!(stored, Some(hard_state(2)));
    }

    #[test]
    fn a_vote_alone_does_not_sync_the_log() {
        let batch = [Write {
            sequence: Sequence(1),
            hard_state: Some(hard_state(3)),
            ..Write::default()
        }];
        let persisted = writer(&MemoryStores::new()).perform(&batch).unwrap();
        assert_eq!(persisted.log_syncs, 0);
    }
}
