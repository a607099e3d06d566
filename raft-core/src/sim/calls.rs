//! Who asks a node for something, and hears the answer. Which answer it is, and when, the node's own
//! bookkeeping decides ([`crate::node::callers`]).

use tokio::sync::oneshot;

use super::check::{Asked, Held, broken};
use super::client::End;
use super::cluster::{Cluster, Happening, Own};
use super::driver::SimNode;
use super::situation::Situation;
use crate::change::MembershipChange;
use crate::config::Config;
use crate::consensus::{Conditions, Effect, Event, To};
use crate::entry::Sealed;
use crate::id::{LogIndex, NodeId};
use crate::message::ReadId;
use crate::node::administration::{ChangeResult, TransferResult};
use crate::node::callers::Callers;
use crate::node::waiting::{ProposeResult, ReadResult, Slot};
use crate::node::{Applied, Outcome, ProposeError, ReadError, StopReason};
use crate::time::Timestamp;

/// The callers of one life of a node, as the node knows them and as they are.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) own: Callers,
    proposals: Lines<Proposer, ProposeResult>,
    reads: Lines<Reader, ReadResult>,
    changes: Lines<u64, ChangeResult>,
    transfers: Lines<u64, TransferResult>,
    woken_at: Option<Timestamp>,
}

/// Who waits for one kind of answer, in the order of the calls.
#[derive(Debug)]
pub(super) struct Lines<Caller, Answer>(Vec<(Caller, oneshot::Receiver<Answer>)>);

/// Who waits for a proposal.
#[derive(Clone, Copy, Debug)]
struct Proposer {
    call: u64,
    /// Nobody, if it was proposed by the way, or its client has gone away.
    client: Option<u64>,
    /// What it writes, if the simulator knows.
    value: Option<u64>,
}

/// Who waits for a read.
#[derive(Clone, Copy, Debug)]
struct Reader {
    call: u64,
    client: u64,
}

/// Something to be proposed.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) client: Option<u64>,
    pub(super) value: Option<u64>,
    pub(super) sealed: Sealed,
}

/// What was answered, by kind.
#[derive(Debug)]
struct Answers {
    proposals: Vec<(Proposer, Option<ProposeResult>)>,
    reads: Vec<(Reader, Option<ReadResult>)>,
    changes: Vec<(u64, Option<ChangeResult>)>,
    transfers: Vec<(u64, Option<TransferResult>)>,
}

impl<Caller: Copy, Answer> Lines<Caller, Answer> {
    /// A line for the caller's answer.
    pub(super) fn open(&mut self, caller: Caller) -> oneshot::Sender<Answer> {
        let (reply, answer) = oneshot::channel();
        self.0.push((caller, answer));
        reply
    }

    /// Who hears something, and what; `None` if there will be no answer.
    pub(super) fn heard(&mut self) -> Vec<(Caller, Option<Answer>)> {
        let mut heard = Vec::new();
        self.0.retain_mut(|(caller, line)| {
            let answer = match line.try_recv() {
                Ok(answer) => Some(answer),
                Err(oneshot::error::TryRecvError::Closed) => None,
                Err(oneshot::error::TryRecvError::Empty) => return true,
            };
            heard.push((*caller, answer));
            false
        });
        heard
    }
}

impl<Caller, Answer> Default for Lines<Caller, Answer> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl Calls {
    /// The state machine has applied everything through `applied`.
    pub(super) fn new(config: &Config, applied: LogIndex) -> Self {
        Self {
            own: Callers::new(config, applied),
            proposals: Lines::default(),
            reads: Lines::default(),
            changes: Lines::default(),
            transfers: Lines::default(),
            woken_at: None,
        }
    }

    /// A client waits no longer. The node owes the answer to its proposal all the same.
    pub(super) fn forget(&mut self, client: u64) {
        for (proposer, _) in &mut self.proposals.0 {
            if proposer.client == Some(client) {
                proposer.client = None;
            }
        }
    }

    fn answers(&mut self) -> Answers {
        Answers {
            proposals: self.proposals.heard(),
            reads: self.reads.heard(),
            changes: self.changes.heard(),
            transfers: self.transfers.heard(),
        }
    }
}

impl Cluster {
    /// These are proposed together, each with its own slot.
    pub(super) fn propose(
        &mut self,
        id: NodeId,
        conditions: Conditions,
        (batch, deadline): (Vec<Proposal>, Option<Timestamp>),
    ) -> Held {
        let mut commands = Vec::with_capacity(batch.len());
        for proposal in batch {
            let Some((call, node)) = self.begin_call(id, Asked::Proposal) else {
                return Ok(());
            };
            let reply = node.calls.proposals.open(Proposer {
                call,
                client: proposal.client,
                value: proposal.value,
            });
            node.calls.own.waiting.propose(Slot { reply, deadline });
            commands.push(proposal.sealed);
        }
        self.step(id, Event::ProposedUnder(conditions, commands))
    }

    /// A client asks for a read, which `event` makes known to the core.
    pub(super) fn read_at(
        &mut self,
        id: NodeId,
        client: u64,
        event: impl FnOnce(Vec<ReadId>) -> Event,
    ) -> Held {
        let Some((call, node)) = self.begin_call(id, Asked::Read) else {
            return Ok(());
        };
        let reply = node.calls.reads.open(Reader { call, client });
        let read = node.calls.own.waiting.read(reply);
        self.step(id, event(vec![read]))
    }

    /// Asks for a change of membership. Whether it has begun is said at once.
    pub(super) fn request_change(&mut self, leader: NodeId, change: MembershipChange) -> Held {
        let Some((call, node)) = self.begin_call(leader, Asked::Change) else {
            return Ok(());
        };
        let life = node.life;
        let reply = node.calls.changes.open(call);
        let administration = &mut node.calls.own.administration;
        administration.change_asked(reply, change.is_abort());
        self.step(leader, Event::ChangeRequested(change))?;
        let is_unanswered = |node: &SimNode| node.calls.own.administration.awaits_answer();
        let is_silent = self.nodes.get(&leader).is_some_and(is_unanswered);
        if self.lives(leader, life) && is_silent {
            let detail = format!("node {leader} says nothing to a request for a change");
            return broken("a request for a change is answered at once", detail);
        }
        Ok(())
    }

    /// Asks for a transfer of leadership.
    pub(super) fn request_transfer(&mut self, leader: NodeId, to: To) -> Held {
        let Some((call, node)) = self.begin_call(leader, Asked::Transfer) else {
            return Ok(());
        };
        let reply = node.calls.transfers.open(call);
        node.calls.own.administration.transfer_asked(reply);
        self.step(leader, Event::TransferRequested(to))?;
        if let Some(node) = self.nodes.get_mut(&leader) {
            node.calls.own.administration.transfer_begun();
        }
        Ok(())
    }

    /// The number of a new call; `None` if the node is down, and its callers know.
    fn begin_call(&mut self, id: NodeId, asked: fn(u64) -> Asked) -> Option<(u64, &mut SimNode)> {
        let is_up = |node: &&mut SimNode| node.raft.is_some();
        let node = self.nodes.get_mut(&id).filter(is_up)?;
        self.calls += 1;
        self.futures.ask(id, asked(self.calls), self.now);
        Some((self.calls, node))
    }

    /// The core says something that may be for callers.
    pub(super) fn tell_callers(&mut self, id: NodeId, said: &Effect) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let local = node.local(now);
        node.calls.own.hear(said, local);
        if let Effect::TransferEnded(outcome) = said {
            node.calls
                .own
                .administration
                .transfer_ended(outcome.clone());
        }
    }

    /// Some callers may have waited for long enough.
    pub(super) fn expire_calls(&mut self, id: NodeId) -> Held {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let local = node.local(now);
        node.calls.woken_at = None;
        node.calls.own.expire(local);
        let late = node.calls.own.deadline().filter(|due| *due <= local);
        if let Some(late) = late {
            let detail = format!("somebody waits at node {id} until {late}, and it is {local}");
            return broken("a deadline is kept", detail);
        }
        self.hear_answers(id)
    }

    /// A node that stops answers everybody before it does.
    pub(super) fn stop_calls(&mut self, id: NodeId) -> Held {
        let reason = StopReason::Shutdown;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.calls.own.fail_all(&reason);
        }
        self.hear_answers(id)?;
        self.fail_snapshots(id, &reason)?;
        self.futures.are_all_answered(id)
    }

    /// Whoever was answered hears it.
    pub(super) fn hear_answers(&mut self, id: NodeId) -> Held {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(());
        };
        let answers = node.calls.answers();
        for (proposer, answer) in answers.proposals {
            self.end_call(id, Asked::Proposal(proposer.call), answer.is_some())?;
            answer.map_or(Ok(()), |answer| self.proposal_answered(proposer, answer))?;
        }
        for (reader, answer) in answers.reads {
            self.end_call(id, Asked::Read(reader.call), answer.is_some())?;
            match answer {
                Some(Ok(_)) => self.read_answered(id, reader.client)?,
                Some(Err(error)) => self.read_failed(reader.client, &error),
                None => {}
            }
        }
        for (call, answer) in answers.changes {
            self.end_call(id, Asked::Change(call), answer.is_some())?;
            if let Some(Ok(at)) = answer {
                self.checks.changed(at)?;
            }
        }
        for (call, answer) in answers.transfers {
            self.end_call(id, Asked::Transfer(call), answer.is_some())?;
        }
        self.wake_for_calls(id);
        Ok(())
    }

    /// A caller whose line goes dead would wait for the end of its node.
    pub(super) fn end_call(&mut self, id: NodeId, asked: Asked, is_answered: bool) -> Held {
        self.futures.answer(id, asked);
        match is_answered {
            true => Ok(()),
            false => broken(
                "every future resolves",
                format!("node {id} was asked for {asked:?}, and has forgotten who asked"),
            ),
        }
    }

    fn wake_for_calls(&mut self, id: NodeId) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let Some(deadline) = node.calls.own.deadline() else {
            return;
        };
        let at = node.clock.world(deadline);
        let planned = node.calls.woken_at;
        if planned.is_some_and(|planned| planned <= at && planned > now) {
            return; // An earlier wake-up looks again.
        }
        node.calls.woken_at = Some(at);
        let life = node.life;
        self.schedule_at(at, Happening::Own(id, life, Own::Expire));
    }

    fn proposal_answered(&mut self, proposer: Proposer, answer: ProposeResult) -> Held {
        let Proposer { client, value, .. } = proposer;
        let error = match answer {
            Ok(Applied { id, response }) => {
                if let Some(value) = value {
                    self.checks.answered(value, id, &response)?;
                }
                return match client {
                    Some(client) => self.write_applied(client, id, &response),
                    None => Ok(()),
                };
            }
            Err(error) => error,
        };
        if error.outcome() == Outcome::NeverApplied
            && let Some(value) = value
        {
            self.checks.refused(value)?;
        }
        self.observe_refusal(&error);
        let end = match (&error, error.outcome()) {
            (ProposeError::Overwritten { .. }, _) => End::Overwritten,
            (_, Outcome::NeverApplied) => End::Refused,
            (_, Outcome::Unknown) => End::Unknown,
        };
        if let Some(client) = client {
            self.finish(client, end);
        }
        Ok(())
    }

    fn read_failed(&mut self, client: u64, error: &ReadError) {
        let operation = self.clients.waiting.get(&client);
        let is_awaited = operation.is_some_and(|operation| operation.awaits.is_some());
        if is_awaited && matches!(error, ReadError::TimedOut) {
            self.meet(Situation::AwaitedEntryMissed);
        }
        self.finish(client, End::ReadFailed);
    }
}
