//! Which transport a word stands for.

use raft_core::transport::Transport;

use crate::config::{NetworkSection, ServerConfig, TlsSection, TransportKind};
use crate::failure::Failure;

/// What the transports can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportSettings {
    /// For every transport.
    pub network: NetworkSection,
    /// For those that are secure.
    pub tls: Option<TlsSection>,
}

impl TransportSettings {
    /// The settings of a configuration.
    pub fn of(config: &ServerConfig) -> Self {
        Self {
            network: config.network.clone(),
            tls: config.tls.clone(),
        }
    }
}

/// Takes the address to listen at for other nodes. Called within a tokio runtime.
///
/// # Errors
/// [`Failure`] if the address or the certificates cannot be used, or if this build has no such
/// transport.
#[cfg_attr(
    not(any(feature = "tcp", feature = "quic")),
    expect(unused_variables, reason = "no transport is there to take them")
)]
pub fn bind(
    kind: TransportKind,
    listen: &str,
    settings: &TransportSettings,
) -> Result<Box<dyn Transport>, Failure> {
    match kind {
        #[cfg(feature = "tcp")]
        TransportKind::Tcp => boxed(
            raft_transport_tcp::TcpTransport::bind_plaintext(listen, settings.network.clone()),
            listen,
        ),
        #[cfg(feature = "tls")]
        TransportKind::TcpTls => boxed(
            raft_transport_tcp::TcpTransport::bind(
                listen,
                settings.network.clone(),
                tls(settings)?,
            ),
            listen,
        ),
        #[cfg(feature = "quic")]
        TransportKind::Quic => boxed(
            raft_transport_quic::QuicTransport::bind(
                listen,
                settings.network.clone(),
                tls(settings)?,
            ),
            listen,
        ),
        #[cfg(not(all(feature = "tls", feature = "quic")))]
        other => Err(super::not_built(other.as_str(), other.lacks_feature())),
    }
}

#[cfg(any(feature = "tls", feature = "quic"))]
fn tls(settings: &TransportSettings) -> Result<TlsSection, Failure> {
    settings.tls.clone().ok_or_else(|| {
        Failure::new(
            "there is no [tls]: say where certificate, key and authorities are (`kv certs` makes them)",
        )
    })
}

#[cfg(any(feature = "tcp", feature = "quic"))]
fn boxed<T: Transport>(
    bound: std::io::Result<T>,
    listen: &str,
) -> Result<Box<dyn Transport>, Failure> {
    use crate::failure::OrFail as _;
    let transport = bound.or_fail(|| format!("cannot listen for nodes on {listen}"))?;
    Ok(Box::new(transport))
}
