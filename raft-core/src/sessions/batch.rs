//! One batch of commands on its way through the table to the machine and back.
//!
//! How commands are cut into batches differs between replicas, so nothing here may depend on it:
//! the table after a batch is the table after its commands one by one.

use std::collections::BTreeMap;

use ::bytes::Bytes;

use super::reply::Reply;
use super::request::{Request, RequestError};
use super::table::{Answer, Table, Verdict};
use super::{Sequence, SessionId};
use crate::consensus::mutant::{Mutant, mutant};
use crate::state_machine::{Committed, StateMachineError};

/// What becomes of each command.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// For the machine.
    pub(super) commands: Vec<Committed>,
    /// What is being applied, by its place in `commands`.
    pending: BTreeMap<(SessionId, Sequence), usize>,
    replies: Vec<Pending>,
}

/// A reply, as far as it is known before the machine has applied its commands.
#[derive(Debug)]
enum Pending {
    Ready(Reply),
    /// The response to a command for the machine.
    Response(usize),
    /// The same command again: what it gets must not depend on where batches end.
    Repeated {
        of: usize,
        response_bytes_max: u32,
    },
}

impl Batch {
    /// Takes the next command.
    pub(super) fn take(
        &mut self,
        table: &mut Table,
        committed: &Committed,
    ) -> Result<(), StateMachineError> {
        let now = committed.time;
        table.expire(now);
        let done = |is_done| Pending::Ready(if is_done { Reply::Done } else { Reply::Expired });
        let reply = match Request::decode(&committed.command) {
            Ok(Request::Open(limits)) => {
                let opened = table.open(SessionId::new(committed.id.index), limits, now);
                Pending::Ready(if opened {
                    Reply::Done
                } else {
                    Reply::TooManySessions
                })
            }
            Ok(Request::Execute { call, command }) => match table.judge(call, now) {
                Verdict::New => {
                    let key = (call.session, call.sequence);
                    self.apply_once(table, key, committed, command)
                }
                Verdict::Repeated(Answer::Response(response)) => {
                    Pending::Ready(Reply::Applied(response))
                }
                Verdict::Repeated(Answer::TooLarge) => Pending::Ready(Reply::NotKept),
                Verdict::Settled => Pending::Ready(Reply::Settled),
                Verdict::WindowFull => Pending::Ready(Reply::WindowFull),
                Verdict::Expired => Pending::Ready(Reply::Expired),
            },
            Ok(Request::KeepAlive(session)) => done(table.renew(session, now)),
            Ok(Request::Close(session)) => done(table.close(session)),
            Ok(Request::Plain(command)) => Pending::Response(self.push(committed, command)),
            Err(RequestError::Malformed) => Pending::Ready(Reply::Malformed),
            Err(RequestError::Unknown { version, kind }) => {
                return Err(StateMachineError::new(format!(
                    "entry {} holds a session command of format {version} and kind {kind}, unknown \
                     to this build: upgrade before you start it on this data",
                    committed.id
                )));
            }
        };
        self.replies.push(reply);
        Ok(())
    }

    /// The machine has applied its commands: their answers are kept.
    pub(super) fn settle(
        &self,
        table: &mut Table,
        responses: &[Bytes],
    ) -> Result<(), StateMachineError> {
        if responses.len() != self.commands.len() {
            return Err(StateMachineError::new(format!(
                "apply returned {} responses to {} commands; it must return one for each",
                responses.len(),
                self.commands.len()
            )));
        }
        for ((session, sequence), at) in &self.pending {
            if let Some(response) = responses.get(*at) {
                table.applied(*session, *sequence, response);
            }
        }
        Ok(())
    }

    /// One reply for each command that was taken.
    pub(super) fn replies(self, responses: &[Bytes]) -> Vec<Bytes> {
        let response = |at: usize| responses.get(at).cloned().unwrap_or_default();
        let reply = |pending| match pending {
            Pending::Ready(reply) => reply,
            Pending::Response(at) => Reply::Applied(response(at)),
            Pending::Repeated {
                of,
                response_bytes_max,
            } => {
                let response = response(of);
                match u32::try_from(response.len()) {
                    Ok(length) if length <= response_bytes_max => Reply::Applied(response),
                    Ok(_) | Err(_) => Reply::NotKept,
                }
            }
        };
        let replies = self.replies.into_iter().map(reply);
        replies.map(|reply| reply.encode()).collect()
    }

    fn apply_once(
        &mut self,
        table: &Table,
        key: (SessionId, Sequence),
        committed: &Committed,
        command: Bytes,
    ) -> Pending {
        if let Some(of) = self.pending.get(&key)
            && !mutant(Mutant::SessionBatchRepeatApplied)
        {
            let limits = table.get(key.0).map(|session| session.limits);
            return Pending::Repeated {
                of: *of,
                response_bytes_max: limits.map_or(0, |limits| limits.response_bytes_max),
            };
        }
        let at = self.push(committed, command);
        self.pending.insert(key, at);
        Pending::Response(at)
    }

    fn push(&mut self, committed: &Committed, command: Bytes) -> usize {
        let at = self.commands.len();
        self.commands.push(Committed {
            id: committed.id,
            time: committed.time,
            command,
        });
        at
    }
}
