//! The optional sections of the configuration file, one for each adapter. What an adapter takes is
//! said in its own crate; a section of one that this build does not have is refused, for nobody
//! could check it.

/// `[redb]`.
#[cfg(feature = "redb")]
pub type RedbSection = raft_store_redb::RedbConfig;
/// `[redb]`, in a build without it.
#[cfg(not(feature = "redb"))]
pub type RedbSection = absent::Redb;

/// `[rocksdb]`.
#[cfg(feature = "rocksdb")]
pub type RocksdbSection = raft_store_rocksdb::RocksdbConfig;
/// `[rocksdb]`, in a build without it.
#[cfg(not(feature = "rocksdb"))]
pub type RocksdbSection = absent::Rocksdb;

/// `[network]`: the settings of the transport, whichever it is.
#[cfg(feature = "tcp")]
pub type NetworkSection = raft_transport_tcp::TransportConfig;
/// `[network]`: the settings of the transport, whichever it is.
#[cfg(all(feature = "quic", not(feature = "tcp")))]
pub type NetworkSection = raft_transport_quic::TransportConfig;
/// `[network]`, in a build without a transport.
#[cfg(not(any(feature = "tcp", feature = "quic")))]
pub type NetworkSection = absent::Network;

/// `[tls]`: who this node is, and whom it believes.
#[cfg(feature = "tls")]
pub type TlsSection = raft_transport_tcp::TlsConfig;
/// `[tls]`: who this node is, and whom it believes.
#[cfg(all(feature = "quic", not(feature = "tls")))]
pub type TlsSection = raft_transport_quic::TlsConfig;
/// `[tls]`, in a build without it.
#[cfg(not(any(feature = "tls", feature = "quic")))]
pub type TlsSection = absent::Tls;

/// Sections that say which feature they need.
#[cfg(not(all(
    feature = "redb",
    feature = "rocksdb",
    any(feature = "tls", feature = "quic")
)))]
mod absent {
    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::{Serialize, Serializer};

    use crate::config::words::not_built;

    macro_rules! absent {
        ($($(#[$condition:meta])* $name:ident, $word:literal, $feature:literal;)*) => {$(
            /// A section that this build cannot read.
            $(#[$condition])*
            #[derive(Clone, Debug, Default, PartialEq, Eq)]
            pub struct $name;

            $(#[$condition])*
            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                    Err(D::Error::custom(not_built($word, $feature)))
                }
            }

            $(#[$condition])*
            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_unit()
                }
            }
        )*};
    }

    absent! {
        #[cfg(not(feature = "redb"))]
        Redb, "redb", "redb";
        #[cfg(not(feature = "rocksdb"))]
        Rocksdb, "rocksdb", "rocksdb";
        #[cfg(not(any(feature = "tcp", feature = "quic")))]
        Network, "transport", "tcp";
        #[cfg(not(any(feature = "tls", feature = "quic")))]
        Tls, "tls", "tls";
    }
}
