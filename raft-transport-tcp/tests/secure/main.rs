//! The transport over real sockets on loopback, with mutual TLS: all that holds in plain text, and
//! who is let in, and how certificates are replaced. Nothing here sleeps.

#![cfg(feature = "tls")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod authority;
#[path = "../loopback/end.rs"]
mod end;
#[path = "../loopback/faults.rs"]
mod faults;
mod identity;
#[path = "../loopback/joining.rs"]
mod joining;
mod kind;
#[path = "../loopback/messages.rs"]
mod messages;
mod rotation;
#[path = "../loopback/snapshots.rs"]
mod snapshots;
#[path = "../loopback/sockets.rs"]
mod sockets;
#[path = "../loopback/strangers.rs"]
mod strangers;
#[path = "../loopback/streams.rs"]
mod streams;
mod tls_only;

pub(crate) use end::{End, PATIENCE, Setup, append, heartbeat, identity};
