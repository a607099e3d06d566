//! The wrapper and its table, command by command.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use proptest::prelude::*;

use super::reply::Reply;
use super::request::{Call, Request};
use super::table::Table;
use super::*;
use crate::id::{ChainLink, LogId, Term};
use crate::membership::Membership;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use crate::time::ClusterTime;

/// Counts its commands, and responds with the count; `fail` is an error, `long` a long response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counter {
    applied: Vec<Bytes>,
    kept: Option<LogId>,
}

impl StateMachine for Counter {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut responses = Vec::new();
        for Committed { command, .. } in batch {
            if command.as_ref() == b"fail" {
                return Err(StateMachineError::new("told to fail"));
            }
            self.applied.push(command.clone());
            let count = self.applied.len().to_string();
            responses.push(match command.as_ref() {
                b"long" => vec![b'x'; 100].into(),
                _ => count.into(),
            });
        }
        Ok(responses)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.applied.join(&b','.to_owned())))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let commands = bytes.split(|byte| *byte == b',');
        self.applied = commands.map(Bytes::copy_from_slice).collect();
        Ok(())
    }

    fn last_applied(&self) -> Option<LogId> {
        self.kept
    }
}

fn committed(index: u64, seconds: u64, request: &Request) -> Committed {
    Committed {
        id: LogId::new(Term::new(1), LogIndex::new(index)),
        time: ClusterTime::ZERO.plus(Duration::from_secs(seconds)),
        command: request.encode(),
    }
}

fn limits() -> SessionLimits {
    SessionLimits {
        lifetime: Duration::from_secs(10),
        sessions_max: 3,
        window_max: 3,
        response_bytes_max: 8,
    }
}

fn execute(session: u64, sequence: u64, below: u64, command: &'static str) -> Request {
    Request::Execute {
        call: Call {
            session: SessionId::new(LogIndex::new(session)),
            sequence: Sequence(sequence),
            acknowledged_below: Sequence(below),
        },
        command: command.into(),
    }
}

/// Applies requests as one batch, from `index` on, one a second.
fn apply(machine: &mut impl StateMachine, index: u64, requests: &[Request]) -> Vec<Reply> {
    let batch: Vec<Committed> = (index..)
        .zip(requests)
        .map(|(index, request)| committed(index, index, request))
        .collect();
    let replies = machine.apply(&batch).unwrap();
    replies
        .iter()
        .map(|reply| Reply::decode(reply).unwrap())
        .collect()
}

fn applied(text: &'static str) -> Reply {
    Reply::Applied(text.into())
}

fn snapshot_of(machine: &mut impl StateMachine) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.snapshot().unwrap().write(&mut bytes).unwrap();
    bytes
}

fn meta(bytes: &[u8]) -> SnapshotMeta {
    meta_at(1_000, bytes)
}

fn meta_at(index: u64, bytes: &[u8]) -> SnapshotMeta {
    let header = SnapshotHeader {
        last: ChainLink {
            id: LogId::new(Term::new(1), LogIndex::new(index)),
            checksum: 0,
        },
        time: ClusterTime::ZERO,
        membership: Arc::new(Membership::of_voters([(1, "a")]).unwrap()),
        membership_at: LogId::ORIGIN,
    };
    SnapshotMeta {
        header,
        size: bytes.len() as u64,
        checksum: 0,
    }
}

fn restored(bytes: &[u8]) -> Result<Sessions<Counter>, StateMachineError> {
    let mut machine = Sessions::new(Counter::default());
    machine.restore(&meta(bytes), &mut &*bytes)?;
    Ok(machine)
}

/// A backup of another group knows sessions that this log may still name like them.
#[test]
fn a_session_beyond_the_end_of_a_restored_state_is_ended() {
    let mut table = Table::default();
    let now = ClusterTime::ZERO;
    for index in [3, 5, 9] {
        let id = SessionId::new(LogIndex::new(index));
        assert!(table.open(id, SessionLimits::default(), now));
    }
    let mut bytes = Vec::new();
    saved::write_table(&table, &mut bytes).unwrap();
    Counter::default()
        .snapshot()
        .unwrap()
        .write(&mut bytes)
        .unwrap();
    for (index, expected) in [(9, 3), (8, 2), (5, 2), (4, 1), (1, 0)] {
        let mut machine = Sessions::new(Counter::default());
        machine
            .restore(&meta_at(index, &bytes), &mut &*bytes)
            .unwrap();
        assert_eq!(machine.count(), expected, "restored at {index}");
    }
}

#[test]
fn a_repeated_command_is_answered_and_not_applied() {
    let mut machine = Sessions::new(Counter::default());
    let replies = apply(
        &mut machine,
        1,
        &[
            Request::Open(limits()),
            execute(1, 1, 1, "a"),
            execute(1, 1, 1, "a"),
            execute(1, 2, 1, "b"),
        ],
    );
    let expected = [Reply::Done, applied("1"), applied("1"), applied("2")];
    assert_eq!(replies, expected);
    let again = [
        execute(1, 2, 1, "b"),
        execute(1, 1, 1, "a"),
        execute(1, 1, 2, "a"),
    ];
    assert_eq!(
        apply(&mut machine, 5, &again[..2]),
        [applied("2"), applied("1")]
    );
    assert_eq!(
        apply(&mut machine, 7, &[execute(1, 3, 2, "c")]),
        [applied("3")]
    );
    assert_eq!(apply(&mut machine, 8, &again[1..2]), [Reply::Settled]);
    assert_eq!(machine.machine().applied, ["a", "b", "c"]);
}

#[test]
fn two_sessions_may_use_the_same_sequences() {
    let mut machine = Sessions::new(Counter::default());
    let requests = [
        Request::Open(limits()),
        Request::Open(limits()),
        execute(1, 1, 1, "a"),
        execute(2, 1, 1, "b"),
        execute(1, 1, 1, "a"),
    ];
    let replies = apply(&mut machine, 1, &requests);
    assert_eq!(replies[2..], [applied("1"), applied("2"), applied("1")]);
}

#[test]
fn a_session_expires_by_the_time_in_the_log_and_is_not_opened_again_by_itself() {
    let mut machine = Sessions::new(Counter::default());
    let open = committed(1, 0, &Request::Open(limits()));
    let used = committed(2, 9, &execute(1, 1, 1, "a"));
    let kept = committed(3, 18, &Request::KeepAlive(SessionId::new(LogIndex::new(1))));
    let late = committed(4, 28, &execute(1, 1, 1, "a"));
    let later = committed(5, 29, &execute(1, 2, 2, "b"));
    let replies = machine.apply(&[open, used, kept, late, later]).unwrap();
    let replies: Vec<Reply> = replies.iter().filter_map(Reply::decode).collect();
    let expected = [
        Reply::Done,
        applied("1"),
        Reply::Done,
        Reply::Expired,
        Reply::Expired,
    ];
    assert_eq!(replies, expected);
    assert_eq!((machine.machine().applied.len(), machine.count()), (1, 0));
}

#[test]
fn whatever_is_no_request_is_refused_and_what_is_newer_stops_the_machine() {
    let mut machine = Sessions::new(Counter::default());
    let mut raw = committed(1, 1, &Request::Open(limits()));
    raw.command = "raw".into();
    let reply = machine.apply(std::slice::from_ref(&raw)).unwrap();
    assert_eq!(Reply::decode(&reply[0]), Some(Reply::Malformed));
    raw.command = Bytes::from_static(&[0x5e, 9, 1, 0]);
    let error = machine.apply(&[raw]).unwrap_err();
    assert!(error.to_string().contains("format 9"), "{error}");
    let plain = Request::decode(&plain(b"free")).unwrap();
    let replies = apply(&mut machine, 2, &[plain.clone(), plain]);
    assert_eq!(replies, [applied("1"), applied("2")]);
}

#[test]
fn a_response_is_kept_only_once_its_command_is_applied() {
    let mut machine = Sessions::new(Counter::default());
    apply(&mut machine, 1, &[Request::Open(limits())]);
    let failing = committed(2, 2, &execute(1, 1, 1, "fail"));
    machine.apply(&[failing]).unwrap_err();
    let answers = |table: &Table| {
        let session = table.get(SessionId::new(LogIndex::new(1)));
        session.map(|session| session.answers.len())
    };
    assert_eq!(answers(machine.table_for_tests()), Some(0));
}

#[test]
fn a_long_response_is_given_once_and_then_known_to_be_lost() {
    let mut machine = Sessions::new(Counter::default());
    let long = execute(1, 1, 1, "long");
    let replies = apply(
        &mut machine,
        1,
        &[Request::Open(limits()), long.clone(), long.clone()],
    );
    assert_eq!(replies[1], Reply::Applied(vec![b'x'; 100].into()));
    assert_eq!(replies[2], Reply::NotKept);
    assert_eq!(apply(&mut machine, 4, &[long]), [Reply::NotKept]);
}

#[test]
fn a_snapshot_keeps_what_was_answered() {
    let mut machine = Sessions::new(Counter::default());
    let requests = [
        Request::Open(limits()),
        execute(1, 1, 1, "a"),
        execute(1, 2, 1, "long"),
    ];
    apply(&mut machine, 1, &requests);
    let mut other = restored(&snapshot_of(&mut machine)).unwrap();
    assert_eq!(*other.table_for_tests(), *machine.table_for_tests());
    for machine in [&mut machine, &mut other] {
        let again = [
            execute(1, 1, 1, "a"),
            execute(1, 2, 1, "long"),
            execute(1, 3, 1, "b"),
        ];
        let replies = apply(machine, 4, &again);
        assert_eq!(replies, [applied("1"), Reply::NotKept, applied("3")]);
    }
}

#[test]
fn every_flipped_bit_of_a_saved_table_is_noticed() {
    let mut machine = Sessions::new(Counter::default());
    apply(
        &mut machine,
        1,
        &[Request::Open(limits()), execute(1, 1, 1, "a")],
    );
    let bytes = snapshot_of(&mut machine);
    let table = bytes.len() - 1;
    for bit in 0..table * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        restored(&flipped).unwrap_err();
    }
    for length in 0..table {
        restored(&bytes[..length]).unwrap_err();
    }
    let foreign = restored(b"a,b,c,d,e,f").unwrap_err();
    assert!(
        foreign.to_string().contains("without sessions"),
        "{foreign}"
    );
}

#[test]
fn the_format_of_the_saved_table_is_pinned() {
    let mut machine = Sessions::new(Counter::default());
    apply(
        &mut machine,
        1,
        &[Request::Open(limits()), execute(1, 1, 1, "a")],
    );
    let record = [
        &1_u64.to_le_bytes()[..],
        &10_000_000_u64.to_le_bytes(),
        &3_u32.to_le_bytes(),
        &3_u32.to_le_bytes(),
        &8_u32.to_le_bytes(),
        &12_000_000_u64.to_le_bytes(),
        &1_u64.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &1_u64.to_le_bytes(),
        &1_u32.to_le_bytes(),
        b"1",
    ]
    .concat();
    let length = u32::try_from(record.len()).unwrap();
    let mut expected = [
        &b"sessions"[..],
        &1_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &length.to_le_bytes(),
        &record,
    ]
    .concat();
    let sum = crc32c::crc32c(&expected);
    expected.extend_from_slice(&sum.to_le_bytes());
    expected.push(b'a');
    assert_eq!(snapshot_of(&mut machine), expected);
}

#[test]
fn a_machine_that_keeps_its_state_alone_is_refused() {
    let id = LogId::new(Term::new(1), LogIndex::new(1));
    let mut machine = Sessions::new(Counter {
        kept: Some(id),
        ..Counter::default()
    });
    let error = machine
        .apply(&[committed(1, 1, &Request::Open(limits()))])
        .unwrap_err();
    assert!(error.to_string().contains("Sessions::durable"), "{error}");
}

/// A machine whose whole state outlives it.
#[derive(Clone, Debug, Default)]
struct Kept {
    counter: Counter,
    records: BTreeMap<SessionId, Vec<u8>>,
}

impl StateMachine for Kept {
    fn apply(&mut self, _: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        Err(StateMachineError::new("the table was forgotten"))
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.counter.snapshot()
    }

    fn restore(&mut self, _: &SnapshotMeta, _: &mut dyn Read) -> Result<(), StateMachineError> {
        Err(StateMachineError::new("the table was forgotten"))
    }

    fn last_applied(&self) -> Option<LogId> {
        self.counter.kept
    }
}

impl DurableSessions for Kept {
    fn apply_with_sessions(
        &mut self,
        batch: &[Committed],
        through: LogId,
        sessions: &mut RecordsOf<'_>,
    ) -> Result<Vec<Bytes>, StateMachineError> {
        let mut next = self.clone();
        let responses = next.counter.apply(batch)?;
        for SessionRecord { session, state } in sessions(&responses)? {
            match state {
                Some(state) => drop(next.records.insert(session, state)),
                None => drop(next.records.remove(&session)),
            }
        }
        next.counter.kept = Some(through);
        *self = next;
        Ok(responses)
    }

    fn restore_with_sessions(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
        sessions: &[SessionRecord],
    ) -> Result<(), StateMachineError> {
        self.counter.restore(meta, from)?;
        let records = sessions.iter().cloned();
        self.records = records
            .filter_map(|r| Some((r.session, r.state?)))
            .collect();
        Ok(())
    }

    fn sessions(&self) -> Result<Vec<SessionRecord>, StateMachineError> {
        let records = self.records.iter().map(|(session, state)| SessionRecord {
            session: *session,
            state: Some(state.clone()),
        });
        Ok(records.collect())
    }
}

#[test]
fn a_machine_on_disk_finds_its_sessions_again() {
    let mut machine = Sessions::durable(Kept::default()).unwrap();
    let closed = Request::Close(SessionId::new(LogIndex::new(2)));
    let requests = [
        Request::Open(limits()),
        Request::Open(limits()),
        execute(1, 1, 1, "a"),
        closed,
    ];
    apply(&mut machine, 1, &requests);
    let last = machine.last_applied().unwrap();
    assert_eq!(
        last.index,
        LogIndex::new(4),
        "an entry of the table alone counts too"
    );
    let mut again = Sessions::durable(machine.machine().clone()).unwrap();
    assert_eq!(
        (again.count(), apply(&mut again, 5, &requests[2..3])),
        (1, vec![applied("1")])
    );
    let mut moved = Sessions::durable(Kept::default()).unwrap();
    let bytes = snapshot_of(&mut machine);
    moved.restore(&meta(&bytes), &mut &*bytes).unwrap();
    let mut moved = Sessions::durable(moved.machine().clone()).unwrap();
    assert_eq!(apply(&mut moved, 5, &requests[2..3]), [applied("1")]);
    let mut spoilt = moved.machine().clone();
    for record in spoilt.records.values_mut() {
        record[9] ^= 1;
    }
    Sessions::durable(spoilt).unwrap_err();
}

fn any_request() -> impl Strategy<Value = Request> {
    let session = || 1..6_u64;
    let id = |index| SessionId::new(LogIndex::new(index));
    let command = proptest::sample::select(vec!["a", "b", "long"]);
    prop_oneof![
        2 => Just(Request::Open(limits())),
        8 => (session(), 1..6_u64, 0..5_u64, command)
            .prop_map(|(session, sequence, back, command)| {
                execute(session, sequence, sequence.saturating_sub(back), command)
            }),
        1 => session().prop_map(move |index| Request::KeepAlive(id(index))),
        1 => session().prop_map(move |index| Request::Close(id(index))),
        1 => Just(Request::Plain("free".into())),
    ]
}

proptest! {
    /// Replicas cut the log into batches as it comes, restart, and take snapshots when they like.
    #[test]
    fn every_replica_ends_with_the_same_table(
        requests in proptest::collection::vec((any_request(), 0..4_u64), 1..60),
        cuts in proptest::collection::vec(1..7_usize, 60),
        snapshot_after in 0..60_usize,
    ) {
        let mut seconds = 0;
        let log: Vec<Committed> = (1..).zip(&requests).map(|(index, (request, passed))| {
            seconds += passed;
            committed(index, seconds, request)
        }).collect();
        let mut singly = Sessions::new(Counter::default());
        let expected: Vec<Bytes> = log
            .iter()
            .flat_map(|one| singly.apply(std::slice::from_ref(one)).unwrap())
            .collect();
        let mut batched = Sessions::new(Counter::default());
        let (mut replies, mut rest) = (Vec::new(), log.as_slice());
        for cut in cuts {
            let (batch, after) = rest.split_at(cut.min(rest.len()));
            replies.extend(batched.apply(batch).unwrap());
            rest = after;
            if replies.len() == snapshot_after && !batched.machine().applied.is_empty() {
                batched = restored(&snapshot_of(&mut batched)).unwrap();
            }
        }
        prop_assert_eq!(replies, expected);
        prop_assert_eq!(batched.machine(), singly.machine());
        prop_assert_eq!(batched.table_for_tests(), singly.table_for_tests());
    }
}
