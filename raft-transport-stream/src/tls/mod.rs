//! Mutual TLS, as TCP and QUIC share it: who is who, which files say so, and how trust changes while
//! a node runs.
//!
//! **Who is who.** Both ends always show a certificate. It is from one of the configured authorities,
//! valid today, not revoked, and names its node: as a DNS name among its subject alternative names,
//! `node-<id>.<cluster>.raft.internal`, where the cluster is written as 32 hexadecimal digits
//! ([`NamePattern::name_of`] says it, for whoever issues certificates). A DNS name, and no URI, because
//! that is what TLS itself verifies: the dialer has proof that it has reached the node that it means
//! before it sends a byte of its own. The listener learns from the caller's hello, of 1 KiB at most,
//! who the caller claims to be, verifies that the certificate names that node of this cluster, and
//! reads nothing more of anybody else. Every message after that is checked against the name. So one
//! node's key never speaks for another node, and a certificate of another cluster of the same
//! authority is of no use here.
//!
//! **How.** TLS 1.3 alone, with the protocol `raft/1` ([`ALPN`]) on top. No session is resumed and
//! nothing is sent before the handshake is over, so that every connection is judged by what is trusted
//! when it is made. The cryptography is that of `ring`, and is the library's own: no default of the
//! process is asked or set.
//!
//! **Certificates** are made by any authority. With `openssl`, for node 1 of the cluster `prod`
//! (whose name in certificates [`NamePattern::name_of`] prints):
//!
//! ```sh
//! NAME=node-1.$CLUSTER.raft.internal
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=our nodes' -keyout ca.key -out authorities.pem
//! openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node-1 -keyout node-1.key -out node-1.csr
//! printf "subjectAltName=DNS:$NAME\nextendedKeyUsage=serverAuth,clientAuth\n" > node-1.ext
//! openssl x509 -req -in node-1.csr -CA authorities.pem -CAkey ca.key -days 90 -extfile node-1.ext -out node-1.pem
//! ```
//!
//! **Change.** The files are read anew when the program says so (`reload` of the transport), and when
//! they have changed ([`TlsConfig::poll`]). What cannot be used changes nothing: it is logged, counted
//! and returned, with the file's name. New connections rest on the new files at once. Open ones, of
//! either direction, are made anew within [`TlsConfig::renew_within`]: what was sent over the old one
//! is taken in first, so nothing is lost, and trust that was withdrawn ends, whatever the other end
//! does. A new authority is introduced in three steps, each on all nodes: trust both, replace the
//! certificates, trust the new one alone.
//!
//! **What this does not defend against.** A node that is trusted can lie: Raft stands crashes, not
//! treason, and whoever has a member's key can vote in its name, though only in its name. What such a
//! node sends is still read as if it were hostile: sizes, lengths and names are checked, and nothing of
//! it can make this node panic or use memory without bound. Whoever issues certificates can name any
//! node; a certificate with a wildcard is all the nodes that it matches, so issue none. A key that was
//! stolen is good until it is revoked here or runs out, so let certificates run out soon. Revocations
//! are read from a file and never asked for over the network. Somebody on the path sees who speaks to
//! whom, when and how much, and the names in the first packet, and can hold everything up.

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
