//! What a proposer gets back: a byte that says how it went, then the machine's response.

use ::bytes::Bytes;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Applied, now or before.
    Applied(Bytes),
    /// A session was opened, kept or closed.
    Done,
    /// Not applied now: there is no such session, any more.
    Expired,
    /// Not applied now: the client had said that it will not ask for this any more.
    Settled,
    /// Applied before; the response was too large to be kept.
    NotKept,
    /// Not applied: too many commands of the session are under way.
    WindowFull,
    /// Not opened: there are too many sessions.
    TooManySessions,
    /// Not applied: no request of this format.
    Malformed,
}

const APPLIED: u8 = 0;

impl Reply {
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Applied(response) => {
                let mut bytes = Vec::with_capacity(1 + response.len());
                bytes.push(APPLIED);
                bytes.extend_from_slice(response);
                bytes.into()
            }
            Self::Done => Bytes::from_static(&[1]),
            Self::Expired => Bytes::from_static(&[2]),
            Self::Settled => Bytes::from_static(&[3]),
            Self::NotKept => Bytes::from_static(&[4]),
            Self::WindowFull => Bytes::from_static(&[5]),
            Self::TooManySessions => Bytes::from_static(&[6]),
            Self::Malformed => Bytes::from_static(&[7]),
        }
    }

    /// `None` if the bytes come from a machine that is in no [`super::Sessions`].
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        Some(match bytes.as_ref() {
            [APPLIED, ..] => Self::Applied(bytes.slice(1..)),
            [1] => Self::Done,
            [2] => Self::Expired,
            [3] => Self::Settled,
            [4] => Self::NotKept,
            [5] => Self::WindowFull,
            [6] => Self::TooManySessions,
            [7] => Self::Malformed,
            _ => return None,
        })
    }
}
