//! What TLS over TCP and QUIC share: which files, who is who, and how trust changes while a node runs.
//!
//! Both ends always show a certificate (mutual TLS 1.3). It is from one of the configured
//! authorities, valid today, not revoked, and names its node ([`NamePattern`]). The dialer verifies
//! the name of the node that it means before it sends anything; the listener verifies the name of the
//! node that the caller's hello claims to be ([`Credentials::proof`]) before it reads anything after
//! the hello. Sessions are never resumed, and nothing is sent before the handshake is over.

mod config;
mod credentials;
mod error;
mod explain;
mod files;
mod material;
mod names;

pub use config::TlsConfig;
pub use credentials::Credentials;
pub use error::TlsError;
pub use explain::{explain, of_alert};
pub use material::Material;
pub use names::NamePattern;

/// What is spoken over TLS, told in its handshake (ALPN): another program, or an incompatible
/// protocol of the future, gets no further.
pub const ALPN: &[u8] = b"raft/1";
