//! Feeds the state machine: on the apply thread, or in place for machines that never block.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::completion::Completion;
use super::error::StopReason;
use super::recover::open;
use super::replacing::Replaced;
use crate::consensus::mutant::{Mutant, mutant};
use crate::consensus::{Fault, Gathered, Gathering};
use crate::entry::{Entry, Payload};
use crate::id::{ChainLink, LogId};
use crate::membership::Membership;
use crate::restoration::Restoration;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::state_machine::{
    Committed, RestoreCheck, SnapshotView, StateMachine, StateMachineError,
};
use crate::store::{LogReader, SnapshotStore};
use crate::time::ClusterTime;

/// The state machine with its place in the log.
pub(crate) struct Applier {
    machine: Box<dyn StateMachine>,
    pub(crate) position: Position,
    pub(super) snapshots: Arc<dyn SnapshotStore>,
    /// Where the pieces of a backup lie.
    pub(super) log: Box<dyn LogReader>,
    gathering: Gathering,
    /// A snapshot was asked for within a restoration: it is taken at the end.
    pub(super) is_delayed: bool,
    /// The log lost a backup to a later state: nothing is applied before that is there.
    pub(super) is_overtaken: bool,
    /// Commands that the next call of the machine takes.
    batch: Vec<Committed>,
    /// The machine has kept everything through this command by itself, and the log that had it is
    /// lost: what comes of it again is passed over.
    kept: Option<LogId>,
}

/// What the state machine's state stands for: what the header of its next snapshot says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    /// The last entry that was applied, commands and Raft's own alike.
    pub(crate) last: ChainLink,
    pub(crate) time: ClusterTime,
    /// The membership in force at that entry, and where it was appended.
    pub(crate) membership: Option<(LogId, Arc<Membership>)>,
}

/// Something to do, in order.
#[derive(Debug)]
pub(crate) enum Job {
    Apply(Vec<Entry>),
    /// As `Apply`, of an entry that may end a restoration.
    End(Entry),
    Restore(SnapshotMeta),
    TakeSnapshot,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Everything through this entry is applied; `None` if there was nothing to apply.
    pub(crate) through: Option<LogId>,
    /// How often the machine's state was replaced by a snapshot.
    pub(crate) restored: usize,
    /// The machine's responses, by rising index.
    pub(crate) responses: Vec<(LogId, Bytes)>,
    /// Views to be written out; `None` where nothing was applied yet.
    pub(crate) frozen: Vec<Option<Frozen>>,
    /// Backups that have become the state.
    pub(crate) replaced: Vec<Replaced>,
    /// The snapshot that was asked for has to wait for the end of a restoration.
    pub(crate) is_delayed: bool,
}

impl Job {
    /// Gives the jobs that apply these entries: an end of a restoration is one of its own.
    pub(crate) fn apply(entries: Vec<Entry>, mut give: impl FnMut(Self)) {
        if !entries.iter().any(may_end_restoration) {
            return give(Self::Apply(entries));
        }
        for part in
            entries.chunk_by(|one, next| !may_end_restoration(one) && !may_end_restoration(next))
        {
            give(match part {
                [end] if may_end_restoration(end) => Self::End(end.clone()),
                entries => Self::Apply(entries.to_vec()),
            });
        }
    }

    /// Whether it may block, whatever the machine.
    pub(super) fn may_block(&self) -> bool {
        matches!(self, Self::Restore(_) | Self::End(_))
    }
}

/// Whether the entry may need more than the machine.
fn may_end_restoration(entry: &Entry) -> bool {
    matches!(
        entry.payload(),
        Payload::Restoration {
            part: Restoration::End { .. },
            ..
        }
    )
}

/// A snapshot that is yet to be written.
pub(crate) type Frozen = (SnapshotHeader, SnapshotView);

impl Position {
    /// Right after a snapshot.
    pub(crate) fn after(header: &SnapshotHeader) -> Self {
        Self {
            last: header.last,
            time: header.time,
            membership: Some((header.membership_at, Arc::clone(&header.membership))),
        }
    }

    /// Moves on to the next entry.
    pub(super) fn advance(&mut self, entry: &Entry) {
        self.last = entry.link();
        self.time = entry.time();
        if let Payload::Membership { membership, .. } = entry.payload() {
            self.membership = Some((entry.id(), Arc::clone(membership)));
        }
    }

    pub(super) fn header(&self) -> Option<SnapshotHeader> {
        let (membership_at, membership) = self.membership.clone()?;
        Some(SnapshotHeader {
            last: self.last,
            time: self.time,
            membership,
            membership_at,
        })
    }
}

impl Applier {
    /// `gathering` has seen what lies between the machine's last snapshot and `position`.
    pub(crate) fn new(
        machine: Box<dyn StateMachine>,
        (position, gathering): (Position, Gathering),
        snapshots: Arc<dyn SnapshotStore>,
        log: Box<dyn LogReader>,
    ) -> Self {
        Self {
            machine,
            position,
            snapshots,
            log,
            gathering,
            is_delayed: false,
            is_overtaken: false,
            batch: Vec::new(),
            kept: None,
        }
    }

    /// The stores began anew under a machine that has applied everything through `kept`.
    pub(super) fn pass_over(&mut self, kept: Option<LogId>) {
        self.kept = kept;
    }

    /// Whether the machine must be called on a thread of its own.
    pub(super) fn may_block(&self) -> bool {
        self.machine.may_block()
    }

    /// How the machine has a backup checked.
    pub(super) fn restore_check(&mut self) -> Result<Option<RestoreCheck>, StopReason> {
        self.call(|machine| Ok(machine.restore_check()))
    }

    /// Whether the last entry that was applied stands within a restoration.
    #[cfg(feature = "sim")]
    pub(crate) fn is_within_restoration(&self) -> bool {
        self.gathering.is_open()
    }

    /// Whether no snapshot may be taken at the moment.
    #[cfg(feature = "sim")]
    pub(crate) fn holds_snapshots_up(&self) -> bool {
        self.is_overtaken || self.gathering.is_open()
    }

    /// Does the jobs in order. Commands that stand next to each other are applied in one call.
    pub(crate) fn perform(
        &mut self,
        jobs: impl IntoIterator<Item = Job>,
    ) -> Result<Progress, StopReason> {
        let mut progress = Progress::default();
        for job in jobs {
            match job {
                Job::Apply(entries) => self.take(&entries, &mut progress)?,
                Job::End(entry) => self.take(&[entry], &mut progress)?,
                Job::Restore(meta) => {
                    self.flush(&mut progress)?;
                    progress.through = Some(self.restore(&meta)?);
                    progress.restored += 1;
                    self.freeze_delayed(&mut progress)?;
                }
                Job::TakeSnapshot => {
                    self.is_delayed = true;
                    self.freeze_delayed(&mut progress)?;
                    progress.is_delayed = self.is_delayed;
                }
            }
        }
        self.flush(&mut progress)?;
        Ok(progress)
    }

    /// Replaces the machine's state by a snapshot from our store. May block.
    pub(crate) fn restore(&mut self, meta: &SnapshotMeta) -> Result<LogId, StopReason> {
        let store = Arc::clone(&self.snapshots);
        let (meta, mut data) = store
            .open(meta.id())
            .map_err(|error| StopReason::Store(Arc::new(error)))?;
        let restored = self.call(|machine| machine.restore(&meta, &mut data));
        // The machine may have failed because its snapshot is damaged.
        restored.map_err(|reason| match open(store.as_ref(), &meta, true) {
            Err(error) if error.is_damage() => StopReason::Store(Arc::new(error)),
            Ok(()) | Err(_) => reason,
        })?;
        self.kept = None;
        self.position = Position::after(&meta.header);
        // No snapshot ends within a restoration.
        self.gathering = Gathering::default();
        self.is_overtaken = false;
        self.tell_membership()?;
        Ok(meta.id())
    }

    /// Tells the machine which membership is in force.
    pub(super) fn tell_membership(&mut self) -> Result<(), StopReason> {
        let Some((at, membership)) = self.position.membership.clone() else {
            return Ok(());
        };
        self.call(|machine| {
            machine.membership_changed(at, &membership);
            Ok(())
        })
    }

    fn take(&mut self, entries: &[Entry], progress: &mut Progress) -> Result<(), StopReason> {
        for entry in entries {
            if self.is_overtaken {
                return Ok(());
            }
            if !entry.follows(self.position.last) {
                let (next, applied) = (entry.id(), self.position.last.id);
                return Err(StopReason::Fault(Fault::OutOfOrder { next, applied }));
            }
            match self.gathering.take(entry) {
                Gathered::Other => self.take_one(entry, progress)?,
                Gathered::Part => self.pass(entry, "", progress)?,
                Gathered::Void(reason) => self.pass(entry, reason, progress)?,
                Gathered::Whole(_) if self.has_kept(entry)? => self.pass(entry, "", progress)?,
                Gathered::Whole(backup) => {
                    self.flush(progress)?;
                    self.replace(entry, &backup, progress)?;
                }
            }
            self.freeze_delayed(progress)?;
        }
        Ok(())
    }

    /// A part of a restoration changes nothing yet. Whoever proposed it hears if it is in vain.
    fn pass(
        &mut self,
        entry: &Entry,
        response: &'static str,
        progress: &mut Progress,
    ) -> Result<(), StopReason> {
        self.flush(progress)?;
        self.position.advance(entry);
        progress.through = Some(entry.id());
        let response = Bytes::from_static(response.as_bytes());
        progress.responses.push((entry.id(), response));
        Ok(())
    }

    fn take_one(&mut self, entry: &Entry, progress: &mut Progress) -> Result<(), StopReason> {
        self.position.advance(entry);
        progress.through = Some(entry.id());
        match entry.payload() {
            Payload::Blank | Payload::Restoration { .. } => {}
            Payload::Command(_) if self.has_kept(entry)? => {}
            Payload::Command(command) => self.batch.push(Committed {
                id: entry.id(),
                time: entry.time(),
                command: command.clone(),
            }),
            Payload::Membership { .. } if mutant(Mutant::MembershipNotTold) => {}
            Payload::Membership { .. } => {
                self.flush(progress)?;
                self.tell_membership()?;
            }
        }
        Ok(())
    }

    /// Whether the machine has applied this command in an earlier life of the log.
    fn has_kept(&mut self, entry: &Entry) -> Result<bool, StopReason> {
        let Some(kept) = self.kept else {
            return Ok(false);
        };
        if entry.index() == kept.index && entry.id() != kept {
            let text = format!("it has applied {kept}, and the group has {}", entry.id());
            return Err(failed(StateMachineError::new(text)));
        }
        Ok(entry.index() <= kept.index)
    }

    /// Applies the commands that were taken.
    fn flush(&mut self, progress: &mut Progress) -> Result<(), StopReason> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        let mut responses = self.call(|machine| machine.apply(&batch))?;
        if mutant(Mutant::ResponsesSwapped) {
            responses.reverse();
        }
        if responses.len() != batch.len() {
            let text = format!(
                "apply returned {} responses to {} commands; it must return one for each",
                responses.len(),
                batch.len()
            );
            return Err(failed(StateMachineError::new(text)));
        }
        let ids = batch.drain(..).map(|committed| committed.id);
        progress.responses.extend(ids.zip(responses));
        self.batch = batch;
        Ok(())
    }

    /// Takes the snapshot that was asked for, unless it would end within a restoration.
    fn freeze_delayed(&mut self, progress: &mut Progress) -> Result<(), StopReason> {
        if self.is_delayed && !self.is_overtaken && !self.gathering.is_open() {
            self.is_delayed = false;
            if !mutant(Mutant::SnapshotBeforeCommands) {
                self.flush(progress)?;
            }
            progress.frozen.push(self.freeze()?);
        }
        Ok(())
    }

    fn freeze(&mut self) -> Result<Option<Frozen>, StopReason> {
        let is_ahead = |kept: LogId| self.position.last.id.index < kept.index;
        if self.kept.is_some_and(is_ahead) {
            return Ok(None); // The state is a later one.
        }
        let Some(header) = self.position.header() else {
            return Ok(None);
        };
        let view = self.call(StateMachine::snapshot)?;
        Ok(Some((header, view)))
    }

    /// Calls the machine. A panic is its failure like an error: it must not take the node's
    /// thread, and everybody who waits, with it.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn StateMachine) -> Result<T, StateMachineError>,
    ) -> Result<T, StopReason> {
        // The machine is never called again after a panic, so half-changed state is not seen.
        let outcome = catch_unwind(AssertUnwindSafe(|| call(self.machine.as_mut())));
        outcome
            .unwrap_or_else(|panic| {
                let text = format!("it panicked: {}", panic_message(panic.as_ref()));
                Err(StateMachineError::new(text))
            })
            .map_err(failed)
    }
}

/// The apply thread: takes all that is queued, reports once.
pub(super) fn run(
    mut applier: Applier,
    mut queue: mpsc::UnboundedReceiver<Vec<Job>>,
    completions: &mpsc::UnboundedSender<Completion>,
) {
    while let Some(mut jobs) = queue.blocking_recv() {
        while let Ok(more) = queue.try_recv() {
            jobs.extend(more);
        }
        let (completion, failed) = match applier.perform(jobs) {
            Ok(progress) => (Completion::Applied(progress), false),
            Err(reason) => (Completion::Failed(reason), true),
        };
        // If the event loop is gone, the queue ends as well.
        let _ = completions.send(completion);
        if failed {
            return;
        }
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

pub(super) fn failed(error: StateMachineError) -> StopReason {
    StopReason::StateMachine(Arc::new(error))
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::sync::Mutex;

    use crate::entry::Sealed;
    use crate::id::Term;
    use crate::memory::MemoryStores;

    /// Writes down every call.
    #[derive(Clone, Default)]
    struct Recorder {
        calls: Arc<Mutex<Vec<String>>>,
    }

    impl Recorder {
        fn note(&self, text: String) {
            self.calls.lock().unwrap().push(text);
        }
    }

    impl StateMachine for Recorder {
        fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
            let ids: Vec<String> = batch.iter().map(|one| one.id.to_string()).collect();
            self.note(format!("apply {}", ids.join(" ")));
            match batch[0].command.as_ref() {
                b"panic" => panic!("no such thing"),
                b"short" => Ok(Vec::new()),
                _ => Ok(batch.iter().map(|one| one.command.clone()).collect()),
            }
        }

        fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
            self.note("snapshot".into());
            Ok(SnapshotView::of_bytes("state"))
        }

        fn restore(
            &mut self,
            meta: &SnapshotMeta,
            from: &mut dyn Read,
        ) -> Result<(), StateMachineError> {
            let mut state = String::new();
            from.read_to_string(&mut state)?;
            self.note(format!("restore {} {state}", meta.id()));
            Ok(())
        }

        fn membership_changed(&mut self, at: LogId, membership: &Membership) {
            self.note(format!("membership {at} {membership}"));
        }
    }

    fn log(payloads: Vec<Payload>) -> Vec<Entry> {
        let mut last = ChainLink::ORIGIN;
        let place = |payload| {
            let sealed = Sealed::new(payload);
            let entry = Entry::new(last, Term::new(1), ClusterTime::ZERO, sealed);
            last = entry.link();
            entry
        };
        payloads.into_iter().map(place).collect()
    }

    fn membership() -> Payload {
        Payload::membership(Membership::of_voters([(1, "a")]).unwrap()).unwrap()
    }

    fn command(text: &'static str) -> Payload {
        Payload::Command(Bytes::from_static(text.as_bytes()))
    }

    fn applier() -> (Applier, Recorder, Arc<dyn SnapshotStore>) {
        let recorder = Recorder::default();
        let stores = MemoryStores::new().open();
        let snapshots = stores.snapshots;
        let machine = Box::new(recorder.clone());
        let begin = (Position::default(), Gathering::default());
        let log = stores.log.reader().unwrap();
        let applier = Applier::new(machine, begin, Arc::clone(&snapshots), log);
        (applier, recorder, snapshots)
    }

    #[test]
    fn neighbouring_commands_are_one_call_and_memberships_come_between() {
        let (mut applier, recorder, _) = applier();
        let log = log(vec![
            command("a"),
            Payload::Blank,
            command("b"),
            membership(),
            command("c"),
        ]);
        let (first, rest) = log.split_at(1);
        let jobs = [Job::Apply(first.to_vec()), Job::Apply(rest.to_vec())];
        let progress = applier.perform(jobs).unwrap();
        assert_eq!(progress.through, Some(log[4].id()));
        let responses: Vec<Bytes> = progress
            .responses
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(responses, ["a", "b", "c"]);
        let calls = recorder.calls.lock().unwrap().join("; ");
        assert_eq!(calls, "apply 1.1 3.1; membership 4.1 voters 1; apply 5.1");
    }

    #[test]
    fn a_snapshot_stands_for_exactly_what_was_applied_before_it() {
        let (mut applier, recorder, snapshots) = applier();
        let log = log(vec![membership(), command("a"), command("b")]);
        let jobs = [
            Job::TakeSnapshot,
            Job::Apply(log[..2].to_vec()),
            Job::TakeSnapshot,
            Job::Apply(log[2..].to_vec()),
        ];
        let mut frozen = applier.perform(jobs).unwrap().frozen;
        let (header, view) = frozen.pop().flatten().unwrap();
        assert!(frozen.pop().unwrap().is_none(), "nothing was applied yet");
        assert_eq!(
            (header.last, header.membership_at),
            (log[1].link(), log[0].id())
        );
        let mut sink = snapshots.create(&header).unwrap();
        view.write(&mut sink).unwrap();
        sink.flush().unwrap();
        let meta = sink.finish().unwrap();
        let progress = applier.perform([Job::Restore(meta)]).unwrap();
        assert_eq!(progress.through, Some(log[1].id()));
        let calls = recorder.calls.lock().unwrap();
        assert_eq!(calls[calls.len() - 2], "restore 2.1 state");
        assert_eq!(calls[calls.len() - 1], "membership 1.1 voters 1");
    }

    #[test]
    fn a_panic_and_a_missing_response_are_failures_of_the_machine() {
        for text in ["panic", "short"] {
            let (mut applier, _, _) = applier();
            let jobs = [Job::Apply(log(vec![command(text)]))];
            let reason = applier.perform(jobs).unwrap_err();
            assert!(matches!(reason, StopReason::StateMachine(_)), "{reason}");
        }
    }
}
