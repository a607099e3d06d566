//! What stands in the log: a command with its session. The format is stored, so it is pinned.
//!
//! ```text
//!  0      1         2      3      4
//!  | 0x5e | version | kind | zero | fields, little endian      | the machine's command ...
//! ```
//!
//! | kind | fields |
//! |---|---|
//! | 1 open | lifetime in microseconds (8), sessions (4), window (4), response bytes (4) |
//! | 2 execute | session (8), sequence (8), acknowledged below (8) |
//! | 3 keep alive | session (8) |
//! | 4 close | session (8) |
//! | 5 plain | none |

use std::time::Duration;

use ::bytes::Bytes;

use super::bytes::Fields;
use super::limits::SessionLimits;
use super::{Sequence, SessionId};
use crate::id::LogIndex;

/// One command of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Open(SessionLimits),
    Execute { call: Call, command: Bytes },
    KeepAlive(SessionId),
    Close(SessionId),
    Plain(Bytes),
}

/// Which command of which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) session: SessionId,
    pub(crate) sequence: Sequence,
    /// The client will never ask again for what lies below.
    pub(crate) acknowledged_below: Sequence,
}

/// Bytes that are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// Of this version, or of none: refused alike on every replica.
    Malformed,
    /// Of a later program: nobody may skip it.
    Unknown { version: u8, kind: u8 },
}

/// A command for a machine in [`super::Sessions`] that needs no session: applied as often as it is
/// in the log.
pub fn plain(command: &[u8]) -> Bytes {
    Request::Plain(Bytes::copy_from_slice(command)).encode()
}

const MAGIC: u8 = 0x5e;
const VERSION: u8 = 1;
const OPEN: u8 = 1;
const EXECUTE: u8 = 2;
const KEEP_ALIVE: u8 = 3;
const CLOSE: u8 = 4;
const PLAIN: u8 = 5;
const PREFIX_BYTES: usize = 4;

impl Request {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = vec![MAGIC, VERSION, self.kind(), 0];
        match self {
            Self::Open(limits) => {
                bytes.extend_from_slice(&limits.lifetime_micros().to_le_bytes());
                bytes.extend_from_slice(&limits.sessions_max.to_le_bytes());
                bytes.extend_from_slice(&limits.window_max.to_le_bytes());
                bytes.extend_from_slice(&limits.response_bytes_max.to_le_bytes());
            }
            Self::Execute { call, command } => {
                bytes.extend_from_slice(&call.session.index().get().to_le_bytes());
                bytes.extend_from_slice(&call.sequence.0.to_le_bytes());
                bytes.extend_from_slice(&call.acknowledged_below.0.to_le_bytes());
                bytes.extend_from_slice(command);
            }
            Self::KeepAlive(session) | Self::Close(session) => {
                bytes.extend_from_slice(&session.index().get().to_le_bytes());
            }
            Self::Plain(command) => bytes.extend_from_slice(command),
        }
        bytes.into()
    }

    /// Reads any bytes. The command shares their memory.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, RequestError> {
        let (version, kind) = match bytes.first_chunk::<PREFIX_BYTES>() {
            Some([MAGIC, version, kind, 0]) => (*version, *kind),
            Some(_) | None => return Err(RequestError::Malformed),
        };
        if version != VERSION || !(OPEN..=PLAIN).contains(&kind) {
            return Err(RequestError::Unknown { version, kind });
        }
        let rest = bytes.slice(PREFIX_BYTES..);
        Self::decode_fields(kind, &rest).ok_or(RequestError::Malformed)
    }

    fn decode_fields(kind: u8, rest: &Bytes) -> Option<Self> {
        let mut fields = Fields(rest);
        let request = match kind {
            OPEN => {
                let limits = SessionLimits {
                    lifetime: Duration::from_micros(fields.u64()?),
                    sessions_max: fields.u32()?,
                    window_max: fields.u32()?,
                    response_bytes_max: fields.u32()?,
                };
                limits.validate().ok()?;
                Self::Open(limits)
            }
            EXECUTE => {
                let call = Call {
                    session: session(&mut fields)?,
                    sequence: Sequence(fields.u64()?),
                    acknowledged_below: Sequence(fields.u64()?),
                };
                let makes_sense = call.acknowledged_below <= call.sequence;
                let command = rest.slice_ref(fields.0);
                return makes_sense.then_some(Self::Execute { call, command });
            }
            KEEP_ALIVE => Self::KeepAlive(session(&mut fields)?),
            CLOSE => Self::Close(session(&mut fields)?),
            _ => return Some(Self::Plain(rest.clone())),
        };
        fields.0.is_empty().then_some(request)
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Open(_) => OPEN,
            Self::Execute { .. } => EXECUTE,
            Self::KeepAlive(_) => KEEP_ALIVE,
            Self::Close(_) => CLOSE,
            Self::Plain(_) => PLAIN,
        }
    }
}

fn session(fields: &mut Fields<'_>) -> Option<SessionId> {
    Some(SessionId::new(LogIndex::new(fields.u64()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let session = SessionId::new(LogIndex::new(7));
        let call = Call {
            session,
            sequence: Sequence(9),
            acknowledged_below: Sequence(3),
        };
        let command = Bytes::from_static(b"add 1");
        vec![
            Request::Open(SessionLimits::default()),
            Request::Execute {
                call,
                command: command.clone(),
            },
            Request::KeepAlive(session),
            Request::Close(session),
            Request::Plain(command),
        ]
    }

    #[test]
    fn every_request_survives_its_encoding() {
        for request in requests() {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let execute = requests().remove(1).encode();
        let expected = [
            &[0x5e, 1, 2, 0][..],
            &7_u64.to_le_bytes(),
            &9_u64.to_le_bytes(),
            &3_u64.to_le_bytes(),
            b"add 1",
        ];
        assert_eq!(execute, expected.concat());
        let open = requests().remove(0).encode();
        let expected = [
            &[0x5e, 1, 1, 0][..],
            &3_600_000_000_u64.to_le_bytes(),
            &10_000_u32.to_le_bytes(),
            &64_u32.to_le_bytes(),
            &4_096_u32.to_le_bytes(),
        ];
        assert_eq!(open, expected.concat());
    }

    #[test]
    fn whatever_is_cut_short_is_malformed_and_whatever_is_newer_is_unknown() {
        for request in requests().into_iter().take(4) {
            let bytes = request.encode();
            let fields = if matches!(request, Request::Execute { .. }) {
                bytes.len() - 5
            } else {
                bytes.len()
            };
            for length in 0..fields {
                let cut = Request::decode(&bytes.slice(..length));
                assert_eq!(cut, Err(RequestError::Malformed), "{request:?} at {length}");
            }
        }
        let newer = Bytes::from_static(&[0x5e, 2, 1, 0]);
        let unknown = RequestError::Unknown {
            version: 2,
            kind: 1,
        };
        assert_eq!(Request::decode(&newer), Err(unknown));
        let kind = Bytes::from_static(&[0x5e, 1, 6, 0]);
        let unknown = RequestError::Unknown {
            version: 1,
            kind: 6,
        };
        assert_eq!(Request::decode(&kind), Err(unknown));
    }
}
