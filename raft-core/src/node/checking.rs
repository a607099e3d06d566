//! The bytes of a backup, on their way past whoever checks them.
//!
//! A check pulls: it reads, and what it reads goes where it is kept. So the data are read once, however
//! large, and the check costs no copy but its own.

use std::fmt;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, Bytes};

use super::applier::panic_message;
use crate::snapshot::{Kept, SnapshotMeta};
use crate::state_machine::RestoreCheck;

/// Takes every piece that `next` gives, through an empty one, and has them checked on the way.
/// `unreadable` makes an error of what the check says.
pub(super) fn take_all<E: fmt::Display>(
    meta: &SnapshotMeta,
    check: Option<&RestoreCheck>,
    mut next: impl FnMut() -> Result<Bytes, E>,
    unreadable: impl FnOnce(String) -> E,
) -> Result<(), E> {
    if let Some(check) = check {
        let mut passing = Passing {
            next: &mut next,
            rest: Bytes::new(),
            failed: None,
        };
        let checked = catch_unwind(AssertUnwindSafe(|| check.check(meta, &mut passing)));
        // What ended the data is the reason, whatever the check made of that.
        if let Some(error) = passing.failed {
            return Err(error);
        }
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(unreadable(error.to_string())),
            Err(panic) => {
                let text = panic_message(panic.as_ref());
                return Err(unreadable(format!("checking it panicked: {text}")));
            }
        }
    }
    // A check need not read to the end.
    while !next()?.is_empty() {}
    Ok(())
}

/// Reads on: a full piece, unless the data end with it, and an empty one if they ended as announced.
/// `read` is what was read so far.
pub(super) fn next_piece(
    data: &mut dyn Read,
    meta: &SnapshotMeta,
    read: &mut Kept,
    bytes_max: usize,
) -> Result<Bytes, String> {
    let mut piece = Vec::with_capacity(bytes_max);
    let mut data = data.take(bytes_max as u64);
    // A reader that panics is asked nothing more.
    match catch_unwind(AssertUnwindSafe(|| data.read_to_end(&mut piece))) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(error.to_string()),
        Err(panic) => {
            let text = panic_message(panic.as_ref());
            return Err(format!("reading it panicked: {text}"));
        }
    }
    read.add(&piece);
    let is_wrong = match piece.is_empty() {
        true => !read.is_all_of(meta),
        false => read.size > meta.size,
    };
    match is_wrong {
        true => Err(format!(
            "{} bytes with checksum {:08x} were read of {meta} with checksum {:08x}",
            read.size, read.checksum, meta.checksum
        )),
        false => Ok(piece.into()),
    }
}

/// What a check reads.
struct Passing<'a, N, E> {
    next: &'a mut N,
    /// What the check has not taken of the last piece.
    rest: Bytes,
    /// Why there will be no more.
    failed: Option<E>,
}

impl<N: FnMut() -> Result<Bytes, E>, E: fmt::Display> Read for Passing<'_, N, E> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.failed.is_none() {
            match (self.next)() {
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
