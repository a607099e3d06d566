//! The transport over real sockets on loopback, in plain text. Nothing here sleeps: every wait ends
//! with what is waited for, or fails after a long time.
//!
//! The same files run over TLS (`secure`) and over QUIC (in its crate): `kind` is what differs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod end;
mod faults;
mod joining;
mod kind;
mod messages;
mod snapshots;
mod sockets;
mod strangers;
mod streams;

pub(crate) use end::{End, PATIENCE, Setup, append, heartbeat, identity};
