//! The parts of the runnable programs on raft-core: the key-value store `kv` with its server,
//! client and demonstration, the benchmark `bench`, and the simulator `simulate`.
//!
//! A write's way: [`client::Client::put`] finds the leader and sends a [`protocol::Request`];
//! the server's [`server::Service`] proposes a [`kv::Command`] to its node; once it is committed,
//! every node's [`kv::KvMachine`] applies it to its [`kv::KvState`].

pub mod backend;
pub mod bench;
#[cfg(any(feature = "tls", feature = "quic"))]
pub mod certs;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod failure;
pub mod inspect;
pub mod kv;
pub mod local;
pub mod own;
pub mod protocol;
pub mod server;
pub mod simulate;
pub mod terminal;
