//! The client: asks again, under the same sequence, until it knows.

use std::time::Duration;

use ::bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::SessionId;
use super::limits::{InvalidLimits, SessionLimits};
use super::proposer::Proposer;
use super::reply::Reply;
use super::request::{Call, Request};
use super::window::{Ticket, Window};
use crate::node::{Applied, Outcome, ProposeError};

/// An open session. Its methods may be called at the same time, and need a tokio runtime with
/// time.
///
/// A session is not kept alive by itself: see [`SessionClient::keep_alive`]. Dropped, it stays open
/// until its lifetime has passed.
#[derive(Debug)]
pub struct SessionClient<P> {
    proposer: P,
    id: SessionId,
    limits: SessionLimits,
    window: watch::Sender<Window>,
}

/// Why there is no response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is gone: it was closed, or not used for its lifetime. Whoever opens another
    /// one must first find out what the old one has done.
    #[error("the session has expired{}", but(.outcome))]
    Expired {
        /// Whether this command may have been applied while the session was alive.
        outcome: Outcome,
    },
    /// No answer came in time, or nobody is left to ask.
    #[error("no answer in time{}: {cause}", but(.outcome))]
    Unanswered {
        /// Whether the command may have been applied, or may be later. Once a later command of the
        /// session is answered, it is not applied any more.
        outcome: Outcome,
        /// What the last attempt said.
        cause: ProposeError,
    },
    /// The command was applied once, and its response was lost and too large to be kept.
    #[error("the command was applied, its response was too large to be kept and is lost")]
    ResponseNotKept,
    /// There are too many sessions. Nothing was opened.
    #[error("the group has too many sessions: close some, or try again when some have expired")]
    TooManySessions,
    /// The limits make no session. Nothing was opened.
    #[error(transparent)]
    InvalidLimits(#[from] InvalidLimits),
    /// The answer is not one of [`super::Sessions`].
    #[error("the answer is no session's: wrap the group's state machine in Sessions")]
    NoSessions,
}

/// The first pause before a command is proposed again. It doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest: below an election.
const PAUSE_MAX: Duration = Duration::from_millis(100);

impl<P: Proposer> SessionClient<P> {
    /// Opens a session, and waits for that at most for `within`. A session that was opened without
    /// the client's knowledge expires by itself.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open(
        proposer: P,
        limits: SessionLimits,
        within: Duration,
    ) -> Result<Self, SessionError> {
        limits.validate()?;
        let (applied, reply) = ask(&proposer, || Request::Open(limits), within).await?;
        match reply {
            Reply::Done => Ok(Self {
                proposer,
                id: SessionId::new(applied.id.index),
                limits,
                window: Window::new(),
            }),
            Reply::TooManySessions => Err(SessionError::TooManySessions),
            _ => Err(SessionError::NoSessions),
        }
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Has a command applied exactly once, and returns the response, however often it had to be
    /// proposed. Waits at most for `within`, until [`SessionLimits::window_max`] leaves room too.
    ///
    /// If the future is dropped, or the outcome is [`Outcome::Unknown`], the command may be applied
    /// once, until a later command of this session is answered, and never after that.
    ///
    /// # Errors
    /// [`SessionError`], whose [outcome](SessionError::outcome) says what is known.
    pub async fn execute(
        &self,
        command: impl Into<Bytes>,
        within: Duration,
    ) -> Result<Bytes, SessionError> {
        let command = command.into();
        let deadline = Instant::now() + within;
        let room = Ticket::take(&self.window, self.limits.window_max);
        let Ok(ticket) = tokio::time::timeout_at(deadline, room).await else {
            return Err(SessionError::Unanswered {
                outcome: Outcome::NeverApplied,
                cause: ProposeError::TimedOut { appended: None },
            });
        };
        let request = || Request::Execute {
            call: Call {
                session: self.id,
                sequence: ticket.sequence(),
                acknowledged_below: ticket.acknowledged_below(),
            },
            command: command.clone(),
        };
        let within = deadline.saturating_duration_since(Instant::now());
        match ask(&self.proposer, request, within).await?.1 {
            Reply::Applied(response) => Ok(response),
            Reply::NotKept => Err(SessionError::ResponseNotKept),
            _ => Err(SessionError::NoSessions),
        }
    }

    /// Lets the session live for another lifetime. Call it well within one if no commands do.
    ///
    /// # Errors
    /// [`SessionError::Expired`] if it was too late, or another [`SessionError`].
    pub async fn keep_alive(&self, within: Duration) -> Result<(), SessionError> {
        self.ask_done(Request::KeepAlive(self.id), within).await
    }

    /// Ends the session, so that it takes no room until it expires.
    ///
    /// # Errors
    /// [`SessionError::Expired`] if there is no session any more, or another [`SessionError`].
    pub async fn close(self, within: Duration) -> Result<(), SessionError> {
        self.ask_done(Request::Close(self.id), within).await
    }

    async fn ask_done(&self, request: Request, within: Duration) -> Result<(), SessionError> {
        match ask(&self.proposer, || request.clone(), within).await?.1 {
            Reply::Done => Ok(()),
            _ => Err(SessionError::NoSessions),
        }
    }
}

/// Proposes until there is an answer that settles the request.
async fn ask<P: Proposer>(
    proposer: &P,
    request: impl Fn() -> Request,
    within: Duration,
) -> Result<(Applied, Reply), SessionError> {
    let deadline = Instant::now() + within;
    let mut outcome = Outcome::NeverApplied;
    let mut pause = PAUSE_MIN;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let cause = match proposer.propose(request().encode(), left).await {
            Ok(applied) => match Reply::decode(&applied.response) {
                Some(Reply::Expired) => return Err(SessionError::Expired { outcome }),
                // Another attempt moves the window.
                Some(Reply::WindowFull) => ProposeError::Overloaded,
                Some(reply) => return Ok((applied, reply)),
                None => return Err(SessionError::NoSessions),
            },
            Err(error) => error,
        };
        if cause.outcome() == Outcome::Unknown {
            outcome = Outcome::Unknown;
        }
        let is_over = proposer.is_gone() || !cause.is_retryable();
        if is_over || Instant::now() + pause >= deadline {
            return Err(SessionError::Unanswered { outcome, cause });
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(PAUSE_MAX);
    }
}

impl SessionError {
    /// Whether the command may have been applied, or may be later.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Expired { outcome } | Self::Unanswered { outcome, .. } => *outcome,
            Self::ResponseNotKept | Self::NoSessions => Outcome::Unknown,
            Self::TooManySessions | Self::InvalidLimits(_) => Outcome::NeverApplied,
        }
    }
}

fn but(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::NeverApplied => "; the command was not applied",
        Outcome::Unknown => "; whether the command was applied is unknown",
    }
}
