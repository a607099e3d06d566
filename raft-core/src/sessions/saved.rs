//! The table as bytes: in a snapshot, before the machine's own, and in records of a durable machine.
//!
//! ```text
//!  snapshot: | "sessions" (8) | version (4) | count (4) | count records | crc32c of all (4) | machine ...
//!  record:   | length (4) | session (8) | lifetime (8) | sessions (4) | window (4) | response bytes (4)
//!            | deadline (8) | floor (8) | answers (4) | answers ... |
//!  answer:   | sequence (8) | length (4), or 0xffffffff if too large | response ... |
//! ```
//!
//! All numbers are little-endian, times are in microseconds.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::Duration;

use ::bytes::Bytes;

use super::bytes::Fields;
use super::limits::SessionLimits;
use super::table::{Answer, Session, Table};
use super::{Sequence, SessionId, SessionRecord};
use crate::id::LogIndex;
use crate::state_machine::StateMachineError;
use crate::time::ClusterTime;

const MAGIC: &[u8; 8] = b"sessions";
const VERSION: u32 = 1;
const TOO_LARGE: u32 = u32::MAX;

/// Writes the table.
pub(super) fn write_table(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    let mut out = Summed {
        inner: out,
        sum: 0,
        bytes: 0,
    };
    let sessions = table.iter();
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&length(sessions.len())?.to_le_bytes())?;
    for (id, session) in sessions {
        let record = encode(id, session)?;
        out.write_all(&length(record.len())?.to_le_bytes())?;
        out.write_all(&record)?;
    }
    let sum = out.sum;
    out.inner.write_all(&sum.to_le_bytes())
}

/// Reads the table, and how many bytes it took.
pub(super) fn read_table(from: &mut dyn Read) -> Result<(Table, u64), StateMachineError> {
    let mut from = Summed {
        inner: from,
        sum: 0,
        bytes: 0,
    };
    let magic: [u8; 8] = array(&mut from)?;
    if magic != *MAGIC {
        return Err(damaged(
            "there is no session table: was it taken without sessions?",
        ));
    }
    let version = u32::from_le_bytes(array(&mut from)?);
    if version != VERSION {
        return Err(damaged(&format!(
            "the session table has format {version}, this build reads {VERSION}"
        )));
    }
    let count = u32::from_le_bytes(array(&mut from)?);
    let mut table = Table::default();
    for _ in 0..count {
        let length = u32::from_le_bytes(array(&mut from)?);
        let mut record = Vec::new();
        // What is read counts, not what is announced.
        let read = (&mut from)
            .take(u64::from(length))
            .read_to_end(&mut record)?;
        if read as u64 != u64::from(length) {
            return Err(damaged("the session table is cut short"));
        }
        let decoded = decode(&record.into());
        let (id, session) = decoded.ok_or_else(|| damaged("the session table is damaged"))?;
        table.insert(id, session);
    }
    let (sum, bytes) = (from.sum, from.bytes);
    let mut expected = [0; 4];
    from.inner.read_exact(&mut expected)?;
    if sum != u32::from_le_bytes(expected) {
        return Err(damaged("the session table does not match its checksum"));
    }
    Ok((table, bytes + 4))
}

/// One session, for a durable machine.
pub(super) fn record(table: &Table, id: SessionId) -> Result<SessionRecord, StateMachineError> {
    let state = match table.get(id) {
        Some(session) => {
            let mut bytes = encode(id, session)?;
            bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            Some(bytes)
        }
        None => None,
    };
    Ok(SessionRecord { session: id, state })
}

/// The table of a durable machine.
pub(super) fn from_records(records: Vec<SessionRecord>) -> Result<Table, StateMachineError> {
    let mut table = Table::default();
    for SessionRecord { session, state } in records {
        let Some(state) = state else { continue };
        let bad = || damaged(&format!("the record of session {session} is damaged"));
        let (bytes, sum) = state.split_last_chunk::<4>().ok_or_else(bad)?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*sum) {
            return Err(bad());
        }
        match decode(&Bytes::copy_from_slice(bytes)) {
            Some((id, decoded)) if id == session => table.insert(id, decoded),
            Some(_) | None => return Err(bad()),
        }
    }
    Ok(table)
}

fn encode(id: SessionId, session: &Session) -> io::Result<Vec<u8>> {
    let limits = &session.limits;
    let mut out = Vec::new();
    out.extend_from_slice(&id.index().get().to_le_bytes());
    out.extend_from_slice(&limits.lifetime_micros().to_le_bytes());
    out.extend_from_slice(&limits.sessions_max.to_le_bytes());
    out.extend_from_slice(&limits.window_max.to_le_bytes());
    out.extend_from_slice(&limits.response_bytes_max.to_le_bytes());
    out.extend_from_slice(&session.deadline.as_micros().to_le_bytes());
    out.extend_from_slice(&session.floor.0.to_le_bytes());
    out.extend_from_slice(&length(session.answers.len())?.to_le_bytes());
    for (sequence, answer) in &session.answers {
        out.extend_from_slice(&sequence.0.to_le_bytes());
        match answer {
            Answer::Response(response) => {
                out.extend_from_slice(&length(response.len())?.to_le_bytes());
                out.extend_from_slice(response);
            }
            Answer::TooLarge => out.extend_from_slice(&TOO_LARGE.to_le_bytes()),
        }
    }
    Ok(out)
}

fn decode(record: &Bytes) -> Option<(SessionId, Session)> {
    let mut fields = Fields(record);
    let id = SessionId::new(LogIndex::new(fields.u64()?));
    let limits = SessionLimits {
        lifetime: Duration::from_micros(fields.u64()?),
        sessions_max: fields.u32()?,
        window_max: fields.u32()?,
        response_bytes_max: fields.u32()?,
    };
    let deadline = ClusterTime::from_micros(fields.u64()?);
    let floor = Sequence(fields.u64()?);
    let mut answers = BTreeMap::new();
    for _ in 0..fields.u32()? {
        let sequence = Sequence(fields.u64()?);
        let answer = match fields.u32()? {
            TOO_LARGE => Answer::TooLarge,
            length => {
                let response = fields.take(usize::try_from(length).ok()?)?;
                // A copy: otherwise one answer would hold the memory of the whole record.
                Answer::Response(Bytes::copy_from_slice(response))
            }
        };
        answers.insert(sequence, answer);
    }
    let session = Session {
        limits,
        deadline,
        floor,
        answers,
    };
    fields.0.is_empty().then_some((id, session))
}

/// Sums up what passes.
struct Summed<'a, T: ?Sized> {
    inner: &'a mut T,
    sum: u32,
    bytes: u64,
}

impl<T: ?Sized> Summed<'_, T> {
    fn saw(&mut self, bytes: &[u8]) {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Write + ?Sized> Write for Summed<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.saw(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read + ?Sized> Read for Summed<'_, T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.saw(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn array<const N: usize>(from: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn length(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(io::Error::other)
}

fn damaged(text: &str) -> StateMachineError {
    io::Error::new(io::ErrorKind::InvalidData, text).into()
}
