//! `Transport` of [`raft_core`] on QUIC, always encrypted (TLS 1.3, by quinn and rustls).
//!
//! This crate is empty: it holds the name, the lints and the place in the workspace. Use
//! `raft-transport-tcp` until the adapter is built; nothing here pretends to send anything.
