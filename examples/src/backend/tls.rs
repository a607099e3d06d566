//! What `[tls]` says, in the words of the transports.

#[cfg(not(feature = "tls"))]
use raft_transport_quic::TlsConfig;
#[cfg(feature = "tls")]
use raft_transport_tcp::TlsConfig;

use crate::config::TlsSection;
use crate::failure::Failure;

/// The transport's settings.
pub(super) fn config(section: Option<&TlsSection>) -> Result<TlsConfig, Failure> {
    let Some(section) = section else {
        return Err(Failure::new(
            "there is no [tls]: say where certificate, key and authorities are (`kv certs` makes them)",
        ));
    };
    Ok(TlsConfig::from_files(
        &section.certificate,
        &section.key,
        &section.authorities,
    ))
}
