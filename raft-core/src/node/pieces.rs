//! The bytes of a backup, piece by piece into the log.

use std::collections::VecDeque;

use bytes::Bytes;

use super::checking::take_all;
use super::error::RestoreError;
use super::restoring::{Answer, Restorer};
use crate::id::LogId;
use crate::restoration::Restoration;
use crate::snapshot::Kept;
use crate::state_machine::RestoreCheck;

/// Pieces that are read and not yet applied.
const PIECES_MAX: usize = 4;

/// What is read of a backup, and how far it is in the log.
pub(super) struct Pieces<'a> {
    restorer: &'a mut Restorer,
    begun: LogId,
    is_given_up: &'a dyn Fn() -> bool,
    read: Kept,
    sent: VecDeque<Answer>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(
        restorer: &'a mut Restorer,
        begun: LogId,
        is_given_up: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            restorer,
            begun,
            is_given_up,
            read: Kept::NOTHING,
            sent: VecDeque::new(),
        }
    }

    /// Sends all of them, and has them checked on the way. They are applied on return, and as announced.
    pub(super) fn send(mut self, check: Option<&RestoreCheck>) -> Result<(), RestoreError> {
        let meta = self.restorer.meta.clone();
        take_all(&meta, check, || self.next(), RestoreError::Unreadable)?;
        while let Some(answer) = self.sent.pop_front() {
            self.restorer.wait_for(Some(answer))?;
        }
        Ok(())
    }

    /// Reads the next piece and proposes it; empty at the end.
    fn next(&mut self) -> Result<Bytes, RestoreError> {
        if (self.is_given_up)() {
            return Err(RestoreError::GivenUp);
        }
        let offset = self.read.size;
        let data = self.restorer.read_piece(&mut self.read)?;
        if data.is_empty() {
            return Ok(data);
        }
        let piece = Restoration::Chunk {
            begin: self.begun.index,
            offset,
            data: data.clone(),
        };
        let answer = self.restorer.propose(&piece, Some(self.begun.term));
        self.sent.push_back(answer);
        if self.sent.len() >= PIECES_MAX {
            self.restorer.wait_for(self.sent.pop_front())?;
        }
        Ok(data)
    }
}
