//! Certificates for nodes of this machine.

use std::path::Path;

use crate::config::{TlsSection, TransportKind};
use crate::failure::Failure;

/// Certificates for this node below `directory`, if its transport needs them. The nodes of a directory
/// share an authority.
///
/// # Errors
/// [`Failure`] if they cannot be written.
#[cfg(any(feature = "tls", feature = "quic"))]
pub fn certified(
    cluster: &str,
    node: u64,
    transport: TransportKind,
    directory: &Path,
) -> Result<Option<TlsSection>, Failure> {
    if !transport.is_secure() {
        return Ok(None);
    }
    let directory = directory.join("certificates");
    crate::certs::make(cluster, &[node], &directory, VALID_DAYS)?;
    Ok(Some(crate::certs::section(&directory, node)))
}

/// In a build without secure transports nothing needs them.
///
/// # Errors
/// None.
#[cfg(not(any(feature = "tls", feature = "quic")))]
pub fn certified(
    _: &str,
    _: u64,
    _: TransportKind,
    _: &Path,
) -> Result<Option<TlsSection>, Failure> {
    Ok(None)
}

#[cfg(any(feature = "tls", feature = "quic"))]
const VALID_DAYS: u16 = 30;
