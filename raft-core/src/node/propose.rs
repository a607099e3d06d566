//! How a handle proposes.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Node;
use super::error::{Outcome, ProposeError};
use super::request::Request;
use super::waiting::{Applied, ProposeResult, Slot};
use crate::consensus::Conditions;
use crate::entry::Sealed;
use crate::id::Term;
use crate::time::Timestamp;

/// How a command is proposed. The default is that of [`Node::propose`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing before they are given to a node"]
pub struct ProposeOptions {
    deadline: Option<Duration>,
    conditions: Conditions,
}

impl ProposeOptions {
    /// No deadline, in whichever term, here.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits at most for so long in all. Default: as long as the command may still commit.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Only if the node that proposes is in this term: else the command is refused, and never
    /// applied. For a caller that has decided by what it has read in a term. Default: in any term.
    pub fn expected_term(mut self, term: Term) -> Self {
        self.conditions.expected_term = Some(term);
        self
    }

    /// Where this node does not lead, its leader appends the command, and this node answers once it
    /// has applied it. The command is sent on once, and only while the term lasts. An answer that is
    /// lost on the way leaves an outcome unknown which a refusal would not; so this is off by
    /// default, and best for commands that may be applied twice, or of a [session](crate::sessions).
    pub fn forward(mut self) -> Self {
        self.conditions.forward = true;
        self
    }
}

impl Node {
    /// Replicates a command, and returns the response of this node's state machine once it is
    /// committed and applied. Only a leader takes commands; see [`ProposeOptions::forward`].
    ///
    /// Waits as long as the command may still commit; see [`Node::propose_within`]. If the future
    /// is dropped, the command may be applied or not.
    ///
    /// # Errors
    /// [`ProposeError`], whose [outcome](ProposeError::outcome) says whether the command may have
    /// been applied all the same.
    pub async fn propose(&self, command: impl Into<Bytes>) -> Result<Applied, ProposeError> {
        self.propose_with(command, ProposeOptions::new()).await
    }

    /// As [`Node::propose`], but waits at most for `deadline` in all.
    ///
    /// # Errors
    /// As [`Node::propose`], and [`ProposeError::TimedOut`]: its outcome is
    /// [`Outcome::NeverApplied`] only if the command was surely never appended.
    pub async fn propose_within(
        &self,
        command: impl Into<Bytes>,
        deadline: Duration,
    ) -> Result<Applied, ProposeError> {
        let options = ProposeOptions::new().deadline(deadline);
        self.propose_with(command, options).await
    }

    /// As [`Node::propose`], with options.
    ///
    /// # Errors
    /// As [`Node::propose_within`].
    pub async fn propose_with(
        &self,
        command: impl Into<Bytes>,
        options: ProposeOptions,
    ) -> Result<Applied, ProposeError> {
        let deadline = self.deadline_of(options);
        let (sealed, slot, answer) = self.admit(command.into(), deadline)?;
        let request = Request::Propose(sealed, slot, options.conditions);
        let lost = self.send_proposals(request);
        self.answer(answer, lost).await
    }

    /// Replicates several commands with one hand-off, in order. There is one result for each; those
    /// that are accepted stand in the log in the given order.
    pub async fn propose_many(&self, commands: Vec<Bytes>) -> Vec<Result<Applied, ProposeError>> {
        let options = ProposeOptions::new();
        self.propose_many_with(commands, options).await
    }

    /// As [`Node::propose_many`], with options. What is forwarded may take several messages, which
    /// can overtake each other: then only the commands of each stand in the given order.
    pub async fn propose_many_with(
        &self,
        commands: Vec<Bytes>,
        options: ProposeOptions,
    ) -> Vec<Result<Applied, ProposeError>> {
        let deadline = self.deadline_of(options);
        let mut batch = Vec::with_capacity(commands.len());
        let admit = |command| match self.admit(command, deadline) {
            Ok((sealed, slot, answer)) => {
                batch.push((sealed, slot));
                Ok(answer)
            }
            Err(error) => Err(error),
        };
        let admitted: Vec<_> = commands.into_iter().map(admit).collect();
        let lost = self.send_proposals(Request::ProposeMany(batch, options.conditions));
        let mut results = Vec::with_capacity(admitted.len());
        for one in admitted {
            results.push(match one {
                Ok(answer) => self.answer(answer, lost).await,
                Err(error) => Err(error),
            });
        }
        results
    }

    fn deadline_of(&self, options: ProposeOptions) -> Option<Timestamp> {
        let within = options.deadline?;
        Some(self.shared.clock.now() + within)
    }

    /// Checks and seals a command, on the caller's thread.
    fn admit(
        &self,
        command: Bytes,
        deadline: Option<Timestamp>,
    ) -> Result<(Sealed, Slot, oneshot::Receiver<ProposeResult>), ProposeError> {
        let (bytes, bytes_max) = (command.len(), self.shared.entry_bytes_max);
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        if !self.shared.gate.enter(bytes) {
            return Err(ProposeError::Overloaded);
        }
        let (reply, answer) = oneshot::channel();
        Ok((Sealed::command(command), Slot { reply, deadline }, answer))
    }

    /// Sends proposals, and returns what has become of them if no answer comes. Where they cannot be
    /// sent, their slots are dropped here, so that no answer is waited for.
    fn send_proposals(&self, request: Request) -> Outcome {
        match self.shared.requests.send(request) {
            Ok(()) => Outcome::Unknown,
            Err(_) => Outcome::NeverApplied,
        }
    }

    /// Waits for a proposal's answer. `lost` is the outcome if there will be none.
    async fn answer(
        &self,
        answer: oneshot::Receiver<ProposeResult>,
        lost: Outcome,
    ) -> ProposeResult {
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(ProposeError::Stopped {
                reason: self.stopped().await,
                outcome: lost,
            }),
        }
    }
}
