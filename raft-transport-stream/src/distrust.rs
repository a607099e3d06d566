//! Why no secure stream came to be: named the same on both ends.

use std::error::Error;
use std::fmt;
use std::io;

/// Why one end does not trust the other, or cannot tell who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Distrust {
    /// No certificate was shown.
    NoCertificate,
    /// The certificate is from no authority that is trusted.
    UnknownAuthority,
    /// The certificate is not valid any more, or not yet.
    OutOfDate,
    /// The certificate was revoked.
    Revoked,
    /// The certificate does not name the node that was meant, or is damaged.
    Misnamed,
    /// No common version of TLS, or another protocol on top of it.
    NoCommonProtocol,
    /// The other end speaks no TLS at all.
    NotSecured,
    /// Anything else that breaks a handshake.
    Other,
}

/// A secure stream that did not come to be, as the inner error of an [`io::Error`].
#[derive(Debug)]
pub(crate) struct HandshakeFailed {
    pub(crate) reason: Distrust,
    /// The other end has told us so.
    pub(crate) by_peer: bool,
    text: String,
}

impl Distrust {
    /// A short name, for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no certificate",
            Self::UnknownAuthority => "unknown authority",
            Self::OutOfDate => "out of date",
            Self::Revoked => "revoked",
            Self::Misnamed => "not the node that is meant",
            Self::NoCommonProtocol => "no common protocol",
            Self::NotSecured => "not secured",
            Self::Other => "handshake failed",
        }
    }

    /// We do not trust the other end. [`Streams`](crate::Streams) return this, so that it is counted.
    pub fn of_ours(self, text: &str) -> io::Error {
        self.error(false, text)
    }

    /// The other end has told us that it does not trust us.
    pub fn of_theirs(self, text: &str) -> io::Error {
        self.error(true, text)
    }

    fn error(self, by_peer: bool, text: &str) -> io::Error {
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            HandshakeFailed {
                reason: self,
                by_peer,
                text: text.to_owned(),
            },
        )
    }
}

impl HandshakeFailed {
    /// What is in an error of a stream.
    pub(crate) fn within(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.by_peer {
            "the other end does not trust us"
        } else {
            "the other end is not trusted"
        };
        write!(f, "{who} ({}): {}", self.reason.name(), self.text)
    }
}

impl Error for HandshakeFailed {}
