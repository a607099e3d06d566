//! A backup in the log takes the place of the state.
//!
//! When the end of a restoration is applied, its pieces are read back from this node's own log and
//! become a snapshot at that entry; the machine is restored from it, like from any other. So there is
//! no second place where a backup gathers, a crash in between finds either the log or the snapshot,
//! and what the log carried can be purged at once. In memory there is a piece of the log at a time.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::applier::{Applier, Progress, failed};
use super::error::StopReason;
use crate::consensus::Backup;
use crate::consensus::mutant::{Mutant, mutant};
use crate::entry::Entry;
use crate::id::LogIndex;
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::state_machine::StateMachineError;
use crate::store::{LogReader, SnapshotStore, StoreError};

/// Reads the log in pieces of this size, or an entry.
const READ_BYTES: usize = 1 << 20;

impl Applier {
    /// `end` is applied. May block.
    pub(super) fn replace(
        &mut self,
        end: &Entry,
        backup: &Backup,
        progress: &mut Progress,
    ) -> Result<(), StopReason> {
        let mut position = self.position.clone();
        position.advance(end);
        let header = position.header().ok_or_else(|| {
            let text = format!("entry {} comes before every membership", end.id());
            failed(StateMachineError::new(text))
        })?;
        match copy(
            self.log.as_mut(),
            self.snapshots.as_ref(),
            &header,
            backup,
            end.index(),
        ) {
            Ok(meta) => {
                progress.through = Some(self.restore(&meta)?);
                progress.responses.push((end.id(), Bytes::new()));
                let is_delayed = std::mem::take(&mut self.is_delayed);
                let ends_delay = is_delayed && !mutant(Mutant::DelayNeverEnds);
                progress.replaced.push(Replaced { meta, ends_delay });
                Ok(())
            }
            // The state that a leader has sent is a later one, and on its way to the machine. Until
            // it is there, the machine must not be given more: it lacks this backup.
            Err(StoreError::Purged { .. }) => {
                self.is_overtaken = !mutant(Mutant::OvertakenGoesOn);
                Ok(())
            }
            Err(error) => Err(StopReason::Store(Arc::new(error))),
        }
    }
}

/// The state was replaced by a backup.
#[derive(Debug)]
pub(crate) struct Replaced {
    /// The snapshot that it became.
    pub(crate) meta: SnapshotMeta,
    /// A snapshot was asked for meanwhile: this is the one.
    pub(crate) ends_delay: bool,
}

/// Makes the pieces of `backup` a snapshot.
fn copy(
    log: &mut dyn LogReader,
    snapshots: &dyn SnapshotStore,
    header: &SnapshotHeader,
    backup: &Backup,
    end: LogIndex,
) -> Result<SnapshotMeta, StoreError> {
    let place = || format!("snapshot {}", header.last.id);
    let mut sink = snapshots.create(header)?;
    let mut copied = Kept::NOTHING;
    let mut next = backup.begin.index.next();
    while next < end {
        let entries = log.read(next..end, READ_BYTES)?;
        for data in entries.iter().filter_map(|entry| backup.piece(entry)) {
            sink.write_all(data)
                .map_err(StoreError::io(place(), "write a backup"))?;
            copied.add(data);
        }
        let last = entries.last().map_or(next, Entry::index);
        next = last.next();
    }
    if copied != backup.all {
        let what = format!("restoration {}", backup.begin);
        let detail = format!("{copied:?} lie where {:?} were applied", backup.all);
        return Err(StoreError::damaged("log", what, &detail));
    }
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::Mutex;

    use crate::consensus::Gathering;
    use crate::entry::{Payload, Sealed};
    use crate::id::{ChainLink, Term};
    use crate::membership::Membership;
    use crate::memory::MemoryStores;
    use crate::node::applier::{Job, Position};
    use crate::restoration::Restoration;
    use crate::state_machine::{Committed, SnapshotView, StateMachine};
    use crate::store::Stores;
    use crate::time::ClusterTime;

    /// A text that commands are added to.
    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<String>>);

    impl StateMachine for Text {
        fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
            let mut text = self.0.lock().unwrap();
            for committed in batch {
                text.push_str(std::str::from_utf8(&committed.command).unwrap());
            }
            Ok(vec![Bytes::from_static(b"added"); batch.len()])
        }

        fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
            Ok(SnapshotView::of_bytes(self.0.lock().unwrap().clone()))
        }

        fn restore(
            &mut self,
            _: &SnapshotMeta,
            from: &mut dyn Read,
        ) -> Result<(), StateMachineError> {
            let mut text = String::new();
            from.read_to_string(&mut text)?;
            *self.0.lock().unwrap() = text;
            Ok(())
        }
    }

    /// A member whose log restores `backup` between other commands: `a`, `b`, the end, `c`.
    struct Member {
        stores: Stores,
        log: Vec<Entry>,
        applier: Applier,
        text: Text,
    }

    fn member() -> Member {
        let begin = LogIndex::new(3);
        let command = |text: &'static str| Payload::Command(Bytes::from_static(text.as_bytes()));
        let chunk = |offset, data: &'static str| {
            Payload::restoration(&Restoration::Chunk {
                begin,
                offset,
                data: Bytes::from_static(data.as_bytes()),
            })
        };
        let payloads = [
            Payload::membership(Membership::of_voters([(1, "a")]).unwrap()).unwrap(),
            command("a"),
            Payload::restoration(&Restoration::Begin {
                size: 6,
                checksum: crc32c::crc32c(b"backup"),
            }),
            chunk(0, "back"),
            command("b"),
            chunk(4, "up"),
            Payload::restoration(&Restoration::End {
                begin,
                time: ClusterTime::ZERO,
            }),
            command("c"),
        ];
        let mut last = ChainLink::ORIGIN;
        let log = payloads.into_iter().map(|payload| {
            let sealed = Sealed::new(payload);
            let entry = Entry::new(last, Term::new(1), ClusterTime::ZERO, sealed);
            last = entry.link();
            entry
        });
        let log: Vec<Entry> = log.collect();
        let mut stores = MemoryStores::new().open();
        stores.log.append(&log).unwrap();
        let text = Text::default();
        let applier = Applier::new(
            Box::new(text.clone()),
            (Position::default(), Gathering::default()),
            Arc::clone(&stores.snapshots),
            stores.log.reader().unwrap(),
        );
        Member {
            stores,
            log,
            applier,
            text,
        }
    }

    const END: usize = 6;

    #[test]
    fn the_backup_is_the_state_from_its_end_on_and_a_snapshot() {
        let mut member = member();
        let progress = member.applier.perform([Job::Apply(member.log.clone())]);
        let progress = progress.unwrap();
        assert_eq!(*member.text.0.lock().unwrap(), "backupc");
        let ids: Vec<u64> = progress
            .responses
            .iter()
            .map(|(id, _)| id.index.get())
            .collect();
        assert_eq!(ids, [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(progress.replaced.len(), 1);
        let listed = member.stores.snapshots.list().unwrap();
        assert_eq!(listed[0], progress.replaced[0].meta);
        assert_eq!(listed[0].header.last, member.log[END].link());
    }

    #[test]
    fn a_snapshot_that_is_wanted_in_the_middle_is_the_backup() {
        let mut member = member();
        let (before, after) = member.log.split_at(4);
        let jobs = [
            Job::Apply(before.to_vec()),
            Job::TakeSnapshot,
            Job::Apply(after.to_vec()),
        ];
        let progress = member.applier.perform(jobs).unwrap();
        assert!(progress.frozen.is_empty());
        assert!(progress.replaced[0].ends_delay);
    }

    /// A leader's snapshot has taken the place of the log, and is yet to be restored.
    #[test]
    fn a_backup_that_the_log_has_lost_is_waited_for() {
        let mut member = member();
        let last = member.log[END + 1].link();
        let mut position = Position::default();
        for entry in &member.log {
            position.advance(entry);
        }
        let mut sink = member.stores.snapshots.create(&position.header().unwrap());
        sink.as_mut().unwrap().write_all(b"later").unwrap();
        let later = sink.unwrap().finish().unwrap();
        member.stores.log.purge_prefix(last).unwrap();
        let (before, after) = member.log.split_at(END);
        let (end, after) = after.split_first().unwrap();
        let jobs = [
            Job::Apply(before.to_vec()),
            Job::End(end.clone()),
            Job::Apply(after.to_vec()),
            Job::TakeSnapshot,
        ];
        let progress = member.applier.perform(jobs).unwrap();
        assert_eq!(*member.text.0.lock().unwrap(), "ab");
        assert_eq!(progress.through, Some(before[END - 1].id()));
        assert!(progress.frozen.is_empty() && progress.replaced.is_empty());
        let progress = member.applier.perform([Job::Restore(later)]).unwrap();
        assert_eq!(*member.text.0.lock().unwrap(), "later");
        let (header, _) = progress.frozen[0].as_ref().unwrap();
        assert_eq!(header.last, last);
    }
}
