//! The table: which sessions there are, and what their recent commands were answered.
//!
//! ```text
//!  sequences of a session
//!  1 2 3 4 | 5 6 7 8 9 10 11 12 | 13 ..
//!  settled | the window          | refused until the client has acknowledged more
//!          floor                 floor + window
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ::bytes::Bytes;

use super::limits::SessionLimits;
use super::request::Call;
use super::{Sequence, SessionId};
use crate::consensus::mutant::{Mutant, mutant};
use crate::id::LogIndex;
use crate::time::ClusterTime;

/// Every session that is alive. Equal on replicas that have applied the same entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    sessions: BTreeMap<SessionId, Session>,
    deadlines: BTreeSet<(ClusterTime, SessionId)>,
    /// What differs from what a durable machine has kept.
    changed: BTreeSet<SessionId>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) limits: SessionLimits,
    /// Gone from then on.
    pub(super) deadline: ClusterTime,
    /// The client knows the outcome of everything below.
    pub(super) floor: Sequence,
    pub(super) answers: BTreeMap<Sequence, Answer>,
}

/// What is known of a command that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Response(Bytes),
    TooLarge,
}

/// What to do with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Apply it, unless it is being applied with this batch.
    New,
    /// It was applied before.
    Repeated(Answer),
    /// The client has settled it: it was applied before, or never will be.
    Settled,
    /// The session has too many commands under way.
    WindowFull,
    /// There is no such session.
    Expired,
}

impl Session {
    pub(super) fn new(limits: SessionLimits, now: ClusterTime) -> Self {
        Self {
            limits,
            deadline: now.plus(limits.lifetime),
            floor: Sequence(1),
            answers: BTreeMap::new(),
        }
    }

    /// What is kept of `response`.
    pub(super) fn answer(&self, response: &Bytes) -> Answer {
        match u32::try_from(response.len()) {
            Ok(length) if length <= self.limits.response_bytes_max => {
                Answer::Response(response.clone())
            }
            Ok(_) | Err(_) => Answer::TooLarge,
        }
    }
}

impl Table {
    /// Opens `id`; false if there are too many sessions.
    pub(super) fn open(&mut self, id: SessionId, limits: SessionLimits, now: ClusterTime) -> bool {
        if self.sessions.len() >= usize::try_from(limits.sessions_max).unwrap_or(usize::MAX) {
            return false;
        }
        self.insert(id, Session::new(limits, now));
        self.changed.insert(id);
        true
    }

    /// Puts a session back that was saved.
    pub(super) fn insert(&mut self, id: SessionId, mut session: Session) {
        if mutant(Mutant::SessionAnswersNotSaved) {
            session.answers.clear();
        }
        self.deadlines.insert((session.deadline, id));
        self.sessions.insert(id, session);
    }

    /// Ends a session; false if there is none.
    pub(super) fn close(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.remove(&id) else {
            return false;
        };
        self.deadlines.remove(&(session.deadline, id));
        self.changed.insert(id);
        true
    }

    /// Ends the sessions that were opened after `last`, in another log: their names are still to be
    /// given in this one.
    pub(super) fn end_after(&mut self, last: LogIndex) {
        let later = self.sessions.split_off(&SessionId::new(last.next()));
        for (id, session) in later {
            self.deadlines.remove(&(session.deadline, id));
        }
    }

    /// Ends what was not used for its lifetime. Called with the time of every command.
    pub(super) fn expire(&mut self, now: ClusterTime) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
            && !mutant(Mutant::SessionsNeverExpire)
        {
            self.close(id);
        }
    }

    /// A session is used: it lives on. False if there is none.
    pub(super) fn renew(&mut self, id: SessionId, now: ClusterTime) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let deadline = now.plus(session.limits.lifetime).max(session.deadline);
        self.deadlines.remove(&(session.deadline, id));
        self.deadlines.insert((deadline, id));
        session.deadline = deadline;
        self.changed.insert(id);
        true
    }

    /// What to do with a command. Drops what its client has acknowledged.
    pub(super) fn judge(&mut self, call: Call, now: ClusterTime) -> Verdict {
        if !self.renew(call.session, now) {
            return Verdict::Expired;
        }
        if mutant(Mutant::SessionAnswersOfAnyone) {
            let mut sessions = self.sessions.values();
            let answer = sessions.find_map(|session| session.answers.get(&call.sequence));
            return answer.map_or(Verdict::New, |answer| Verdict::Repeated(answer.clone()));
        }
        let Some(session) = self.sessions.get_mut(&call.session) else {
            return Verdict::Expired;
        };
        if call.acknowledged_below > session.floor {
            session.floor = call.acknowledged_below;
            session.answers = session.answers.split_off(&session.floor);
        }
        let is_settled = call.sequence < session.floor;
        let is_applied_again = mutant(Mutant::SessionRepeatApplied)
            || (is_settled && mutant(Mutant::SessionSettledApplied));
        if is_applied_again {
            Verdict::New
        } else if is_settled {
            Verdict::Settled
        } else if let Some(answer) = session.answers.get(&call.sequence) {
            Verdict::Repeated(answer.clone())
        } else if call.sequence.0 - session.floor.0 >= u64::from(session.limits.window_max) {
            Verdict::WindowFull
        } else {
            Verdict::New
        }
    }

    /// A command was applied: its answer is kept, unless the client has settled it meanwhile.
    pub(super) fn applied(&mut self, id: SessionId, sequence: Sequence, response: &Bytes) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if sequence >= session.floor {
            let answer = session.answer(response);
            session.answers.insert(sequence, answer);
            self.changed.insert(id);
        }
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// Which sessions differ since this was last asked.
    pub(super) fn take_changed(&mut self) -> BTreeSet<SessionId> {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::LogIndex;

    fn id(index: u64) -> SessionId {
        SessionId::new(LogIndex::new(index))
    }

    fn at(seconds: u64) -> ClusterTime {
        ClusterTime::ZERO.plus(Duration::from_secs(seconds))
    }

    fn limits() -> SessionLimits {
        SessionLimits {
            lifetime: Duration::from_secs(10),
            sessions_max: 2,
            window_max: 3,
            response_bytes_max: 4,
        }
    }

    fn call(session: u64, sequence: u64, acknowledged_below: u64) -> Call {
        Call {
            session: id(session),
            sequence: Sequence(sequence),
            acknowledged_below: Sequence(acknowledged_below),
        }
    }

    fn table() -> Table {
        let mut table = Table::default();
        assert!(table.open(id(1), limits(), at(0)));
        assert!(table.open(id(2), limits(), at(0)));
        table
    }

    fn apply(table: &mut Table, call: Call, response: &'static str) {
        assert_eq!(table.judge(call, at(0)), Verdict::New);
        table.applied(call.session, call.sequence, &response.into());
    }

    #[test]
    fn a_command_is_known_by_its_session_and_its_sequence() {
        let mut table = table();
        apply(&mut table, call(1, 1, 1), "one");
        apply(&mut table, call(2, 1, 1), "two");
        apply(&mut table, call(1, 2, 1), "more");
        let repeated = |text: &'static str| Verdict::Repeated(Answer::Response(text.into()));
        assert_eq!(table.judge(call(1, 1, 1), at(0)), repeated("one"));
        assert_eq!(table.judge(call(2, 1, 1), at(0)), repeated("two"));
        assert_eq!(table.judge(call(1, 2, 1), at(0)), repeated("more"));
    }

    #[test]
    fn the_window_holds_so_many_and_moves_with_the_acknowledgement() {
        let mut table = table();
        apply(&mut table, call(1, 3, 1), "c");
        assert_eq!(table.judge(call(1, 4, 1), at(0)), Verdict::WindowFull);
        apply(&mut table, call(1, 1, 1), "a");
        apply(&mut table, call(1, 4, 2), "d");
        assert_eq!(table.judge(call(1, 1, 1), at(0)), Verdict::Settled);
        assert_eq!(table.judge(call(1, 2, 1), at(0)), Verdict::New);
        let held = &table.get(id(1)).unwrap().answers;
        assert_eq!(held.keys().map(|s| s.0).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn an_acknowledgement_from_the_past_moves_nothing_back() {
        let mut table = table();
        apply(&mut table, call(1, 5, 5), "e");
        assert!(matches!(
            table.judge(call(1, 5, 2), at(0)),
            Verdict::Repeated(_)
        ));
        assert_eq!(table.get(id(1)).unwrap().floor, Sequence(5));
    }

    #[test]
    fn a_session_that_is_used_lives_on_and_another_expires() {
        let mut table = table();
        table.expire(at(6));
        assert!(table.renew(id(1), at(6)));
        table.expire(at(10));
        assert!(table.get(id(1)).is_some());
        assert_eq!(table.judge(call(2, 1, 1), at(10)), Verdict::Expired);
        table.expire(at(16));
        assert!(!table.renew(id(1), at(16)), "it was not used for 10 s");
        assert!(table.deadlines.is_empty());
    }

    #[test]
    fn a_full_table_refuses_and_pushes_nobody_out() {
        let mut table = table();
        assert!(!table.open(id(3), limits(), at(1)));
        assert!(table.close(id(1)));
        assert!(!table.close(id(1)));
        assert!(table.open(id(3), limits(), at(1)));
        assert_eq!(table.judge(call(1, 1, 1), at(1)), Verdict::Expired);
    }

    #[test]
    fn a_response_that_is_too_large_leaves_a_mark() {
        let mut table = table();
        apply(&mut table, call(1, 1, 1), "12345");
        let verdict = table.judge(call(1, 1, 1), at(0));
        assert_eq!(verdict, Verdict::Repeated(Answer::TooLarge));
    }
}
