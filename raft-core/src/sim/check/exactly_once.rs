//! A command of a session is applied once, its answer is always the first one's, and a session that
//! has expired says so (thesis §6.3).
//!
//! It is told every committed command with its reply, in log order, and keeps a model of its own:
//! what is promised, by the request's numbers and the entry's time alone.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::LogId;
use crate::sessions::{Reply, Request, Sequence, SessionId, SessionLimits};
use crate::time::ClusterTime;

/// What is promised to the sessions of a group whose machine counts the commands it applies, and
/// answers with the count.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct ExactlyOnce {
    sessions: BTreeMap<SessionId, Promised>,
    /// How many commands the machine has applied.
    applied: u64,
}

/// What is promised to one session.
#[derive(Clone, Debug)]
struct Promised {
    limits: SessionLimits,
    until: ClusterTime,
    /// The client has settled everything below.
    floor: Sequence,
    first_answers: BTreeMap<Sequence, Bytes>,
}

impl ExactlyOnce {
    /// Judges the reply to the next command of the log.
    pub(in crate::sim) fn replied(
        &mut self,
        (id, time): (LogId, ClusterTime),
        command: &Bytes,
        reply: &Bytes,
    ) -> Result<(), String> {
        let (Ok(request), Some(reply)) = (Request::decode(command), Reply::decode(reply)) else {
            return Err(format!("entry {id} is no request, or its reply is none"));
        };
        self.sessions.retain(|_, session| session.until > time);
        let is_kept = match &request {
            Request::Open(limits) => self.opened(SessionId::new(id.index), *limits, time, &reply),
            Request::Execute { call, .. } => match self.sessions.get_mut(&call.session) {
                Some(session) => {
                    session.until = session.until.max(time.plus(session.limits.lifetime));
                    session.floor = session.floor.max(call.acknowledged_below);
                    session.executed(call.sequence, &reply, &mut self.applied)
                }
                None => reply == Reply::Expired,
            },
            Request::KeepAlive(session) => match self.sessions.get_mut(session) {
                Some(session) => {
                    session.until = session.until.max(time.plus(session.limits.lifetime));
                    reply == Reply::Done
                }
                None => reply == Reply::Expired,
            },
            Request::Close(session) => match self.sessions.remove(session) {
                Some(_) => reply == Reply::Done,
                None => reply == Reply::Expired,
            },
            Request::Plain(_) => is_count(&reply, &mut self.applied),
        };
        if is_kept {
            return Ok(());
        }
        let applied = self.applied;
        Err(format!(
            "at {time}, {request:?} (entry {id}) is answered {reply:?}, after {applied} commands were \
             applied, with these sessions open: {:?}",
            self.sessions
        ))
    }

    fn opened(
        &mut self,
        id: SessionId,
        limits: SessionLimits,
        time: ClusterTime,
        reply: &Reply,
    ) -> bool {
        let sessions_max = usize::try_from(limits.sessions_max).unwrap_or(usize::MAX);
        if self.sessions.len() >= sessions_max {
            return *reply == Reply::TooManySessions;
        }
        let session = Promised {
            limits,
            until: time.plus(limits.lifetime),
            floor: Sequence(1),
            first_answers: BTreeMap::new(),
        };
        self.sessions.insert(id, session);
        *reply == Reply::Done
    }
}

impl Promised {
    fn executed(&mut self, sequence: Sequence, reply: &Reply, applied: &mut u64) -> bool {
        if sequence < self.floor {
            return *reply == Reply::Settled;
        }
        if let Some(first) = self.first_answers.get(&sequence) {
            return matches!(reply, Reply::Applied(again) if again == first);
        }
        if sequence.0 - self.floor.0 >= u64::from(self.limits.window_max) {
            return *reply == Reply::WindowFull;
        }
        if let Reply::Applied(answer) = reply {
            self.first_answers.insert(sequence, answer.clone());
        }
        is_count(reply, applied)
    }
}

/// Whether the machine has counted one more command.
fn is_count(reply: &Reply, applied: &mut u64) -> bool {
    *applied += 1;
    matches!(reply, Reply::Applied(count) if count.as_ref() == applied.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{LogIndex, Term};
    use crate::sessions::Call;

    struct Log {
        judge: ExactlyOnce,
        index: u64,
    }

    impl Log {
        /// One session, opened by entry 1 at time zero, that lives for a second.
        fn with_session() -> Self {
            let (judge, index) = (ExactlyOnce::default(), 0);
            let mut log = Self { judge, index };
            let limits = SessionLimits {
                lifetime: Duration::from_secs(1),
                ..SessionLimits::default()
            };
            log.judge(0, &Request::Open(limits), &Reply::Done).unwrap();
            log
        }

        fn judge(&mut self, millis: u64, request: &Request, reply: &Reply) -> Result<(), String> {
            self.index += 1;
            let id = LogId::new(Term::new(1), LogIndex::new(self.index));
            let time = ClusterTime::ZERO.plus(Duration::from_millis(millis));
            self.judge
                .replied((id, time), &request.encode(), &reply.encode())
        }

        fn execute(&mut self, millis: u64, sequence: u64, reply: &Reply) -> Result<(), String> {
            let call = Call {
                session: SessionId::new(LogIndex::new(1)),
                sequence: Sequence(sequence),
                acknowledged_below: Sequence(1),
            };
            let command = Bytes::from_static(b"count");
            self.judge(millis, &Request::Execute { call, command }, reply)
        }
    }

    fn count(count: u64) -> Reply {
        Reply::Applied(Bytes::copy_from_slice(&count.to_le_bytes()))
    }

    #[test]
    fn a_repeated_command_has_to_get_its_first_answer() {
        let mut log = Log::with_session();
        log.execute(1, 1, &count(1)).unwrap();
        log.execute(2, 1, &count(1)).unwrap();
        log.execute(3, 1, &count(2)).unwrap_err();
    }

    #[test]
    fn a_command_that_was_applied_behind_the_clients_back_is_noticed_at_the_next() {
        let mut log = Log::with_session();
        log.execute(1, 1, &count(1)).unwrap();
        log.execute(2, 2, &count(3)).unwrap_err();
    }

    #[test]
    fn a_session_has_to_expire_in_time_and_not_before() {
        let mut log = Log::with_session();
        log.execute(999, 1, &count(1)).unwrap();
        log.execute(1_998, 2, &count(2)).unwrap();
        log.execute(2_998, 3, &Reply::Expired).unwrap();
        let mut log = Log::with_session();
        log.execute(1_000, 1, &count(1)).unwrap_err();
        let mut log = Log::with_session();
        log.execute(999, 1, &Reply::Expired).unwrap_err();
    }
}
