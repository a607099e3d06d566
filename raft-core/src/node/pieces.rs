//! The bytes of a backup, piece by piece into the log, and past whoever checks them.
//!
//! A check pulls: it reads, and what it reads is proposed. So the data are read once, however large, and
//! the check costs no copy but its own.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, Bytes};

use super::applier::panic_message;
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
    /// What a check has not taken of the last piece.
    rest: Bytes,
    /// Why there will be no more.
    failed: Option<RestoreError>,
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
            rest: Bytes::new(),
            failed: None,
        }
    }

    /// Sends all of them, and has them checked on the way. They are applied on return, and as announced.
    pub(super) fn send(mut self, check: Option<&RestoreCheck>) -> Result<(), RestoreError> {
        if let Some(check) = check {
            self.pass(check)?;
        }
        while !self.next()?.is_empty() {}
        if !self.read.is_all_of(&self.restorer.meta) {
            return Err(self.restorer.unexpected(self.read));
        }
        while let Some(answer) = self.sent.pop_front() {
            self.restorer.wait_for(Some(answer))?;
        }
        Ok(())
    }

    /// Lets the machine look at what it is to restore.
    fn pass(&mut self, check: &RestoreCheck) -> Result<(), RestoreError> {
        let meta = self.restorer.meta.clone();
        let checked = catch_unwind(AssertUnwindSafe(|| check.check(&meta, self)));
        // What ended the data is the reason, whatever the check made of that.
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RestoreError::Unreadable(error.to_string())),
            Err(panic) => {
                let text = panic_message(panic.as_ref());
                let text = format!("checking it panicked: {text}");
                Err(RestoreError::Unreadable(text))
            }
        }
    }

    /// Reads the next piece and proposes it; empty at the end.
    fn next(&mut self) -> Result<Bytes, RestoreError> {
        if (self.is_given_up)() {
            return Err(RestoreError::GivenUp);
        }
        let data = self.restorer.read_piece()?;
        if data.is_empty() {
            return Ok(data);
        }
        let offset = self.read.size;
        self.read.add(&data);
        if self.read.size > self.restorer.meta.size {
            return Err(self.restorer.unexpected(self.read));
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

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.failed.is_none() {
            match self.next() {
                Ok(data) => self.rest = data,
                Err(error) => self.failed = Some(error),
            }
        }
        if let Some(error) = &self.failed {
            return Err(io::Error::other(error.to_string()));
        }
        let size = out.len().min(self.rest.len());
        let (taken, _) = out.split_at_mut(size);
        self.rest.copy_to_slice(taken);
        Ok(size)
    }
}
