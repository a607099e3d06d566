//! Lives in which the clients use sessions: they retry what they do not know the outcome of, ask
//! again for answers that they have seen, fall silent until their session expires, and leave.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;

use super::chance::Chance;
use super::check::ExactlyOnce;
use super::own::{Ending, Observed, Operation, Workload};
use crate::id::LogIndex;
use crate::sessions::{Call, Reply, Request, Sequence, SessionId, SessionLimits, Sessions};
use crate::snapshot::SnapshotMeta;
use crate::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

/// Counts the commands that it applies, and answers with the count.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    count: u64,
}

/// All clients with their sessions, and what they are promised.
#[derive(Clone, Debug, Default)]
pub(super) struct SessionClients {
    clients: BTreeMap<u64, Client>,
    promised: ExactlyOnce,
}

/// One client.
#[derive(Clone, Debug, Default)]
struct Client {
    session: Option<SessionId>,
    /// The last command, and whether its answer is known.
    last: u64,
    is_answered: bool,
    /// What it waits for.
    asked: Option<Request>,
    /// It says nothing for so many turns.
    silence: u64,
}

/// A machine that exactly-once sessions wrap.
pub(super) fn machine() -> Sessions<Tally> {
    Sessions::new(Tally::default())
}

impl StateMachine for Tally {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let count = |_| {
            self.count += 1;
            Bytes::copy_from_slice(&self.count.to_le_bytes())
        };
        Ok(batch.iter().map(count).collect())
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.count.to_le_bytes().to_vec()))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes)?;
        self.count = u64::from_le_bytes(bytes);
        Ok(())
    }
}

impl Workload<Sessions<Tally>> for SessionClients {
    fn next(&mut self, client: u64, chance: &mut Chance) -> Operation {
        if chance.below(5) == 0 {
            return Operation::read(Bytes::new());
        }
        let client = self.clients.entry(client).or_default();
        if client.silence > 0 {
            client.silence -= 1;
            return Operation::nothing();
        }
        let request = client.request(chance);
        client.asked = Some(request.clone());
        Operation::command(request.encode())
    }

    fn read(&self, machine: &Sessions<Tally>, _: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&machine.machine().count.to_le_bytes())
    }

    fn check(&mut self, observed: &Observed<'_>) -> Result<(), String> {
        match observed {
            Observed::Applied {
                id,
                time,
                command,
                response,
            } => self.promised.replied((*id, *time), command, response),
            Observed::Read { .. } => Ok(()), // Compared with the reference.
        }
    }

    fn ended(&mut self, client: u64, ending: &Ending<'_>) {
        let client = self.clients.entry(client).or_default();
        // A retry asks for the same again, so nothing else has to be remembered.
        if let (Ending::Applied { id, response }, Some(asked)) = (ending, client.asked.take())
            && let Some(reply) = Reply::decode(response)
        {
            client.hears(id.index, &asked, &reply);
        }
    }
}

impl Client {
    fn request(&mut self, chance: &mut Chance) -> Request {
        let Some(session) = self.session else {
            return Request::Open(SessionLimits {
                lifetime: chance.duration(Duration::from_millis(200), Duration::from_secs(8)),
                sessions_max: u32::try_from(chance.between(2, 8)).unwrap_or(8),
                window_max: u32::try_from(chance.between(1, 4)).unwrap_or(4),
                response_bytes_max: 64,
            });
        };
        match chance.below(40) {
            0 => return Request::Close(session),
            1 | 2 => return Request::KeepAlive(session),
            3 => self.silence = chance.between(1, 60),
            // A call that the client has long had the answer of arrives once more.
            4 if self.last > 1 => return call(session, self.last - 1),
            _ => {}
        }
        // An answer that was seen is asked for again now and then, as if it had been lost.
        if self.is_answered && chance.below(4) > 0 {
            self.last += 1;
            self.is_answered = false;
        }
        call(session, self.last)
    }

    fn hears(&mut self, at: LogIndex, asked: &Request, reply: &Reply) {
        match (asked, reply) {
            (Request::Open(_), Reply::Done) => {
                self.session = Some(SessionId::new(at));
                self.last = 1;
                self.is_answered = false;
            }
            (Request::Execute { call, .. }, Reply::Applied(_)) => {
                self.is_answered = call.sequence.0 == self.last;
            }
            (Request::Close(_), _) | (_, Reply::Expired) => self.session = None,
            (
                Request::Open(_)
                | Request::Execute { .. }
                | Request::KeepAlive(_)
                | Request::Plain(_),
                _,
            ) => {} // Asked again at the next turn.
        }
    }
}

/// The command of this number, from a client that has had the answers of all before it.
fn call(session: SessionId, sequence: u64) -> Request {
    let call = Call {
        session,
        sequence: Sequence(sequence),
        acknowledged_below: Sequence(sequence),
    };
    let command = Bytes::from_static(b"count");
    Request::Execute { call, command }
}
