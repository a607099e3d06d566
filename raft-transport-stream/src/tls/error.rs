//! Why certificates cannot be used.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

/// Certificates that cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read, or is no PEM.
    #[error("cannot read {what} from {path:?}: {source}")]
    Unreadable {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file without what it is for.
    #[error("{path:?} holds no {what}")]
    Missing {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// What was read is damaged, or does not fit together.
    #[error("{path:?} cannot be used: {source}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The certificate is another node's: every other node would refuse us.
    #[error("{path:?} is not the certificate of this node: {reason}")]
    AnotherNode {
        /// The file.
        path: PathBuf,
        /// Which name is wanted.
        reason: String,
    },
    /// There is nothing to read anew.
    #[error("this transport sends plain text and has no certificates")]
    PlainText,
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
