//! The transport over real sockets on loopback: all that holds over TCP, who is let in, how
//! certificates are replaced, and what only QUIC does. Nothing here sleeps.
//!
//! The files of the TCP crate's tests run here as they are: `kind` is what differs.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

#[path = "../../../raft-transport-tcp/tests/secure/authority.rs"]
mod authority;
mod connections;
#[path = "../../../raft-transport-tcp/tests/loopback/end.rs"]
mod end;
#[path = "../../../raft-transport-tcp/tests/loopback/faults.rs"]
mod faults;
mod flood;
mod goodbyes;
#[path = "../../../raft-transport-tcp/tests/secure/identity.rs"]
mod identity;
#[path = "../../../raft-transport-tcp/tests/loopback/joining.rs"]
mod joining;
mod kind;
#[path = "../../../raft-transport-tcp/tests/loopback/messages.rs"]
mod messages;
mod restart;
#[path = "../../../raft-transport-tcp/tests/secure/rotation.rs"]
mod rotation;
mod router;
#[path = "../../../raft-transport-tcp/tests/loopback/snapshots.rs"]
mod snapshots;
#[path = "../../../raft-transport-tcp/tests/loopback/strangers.rs"]
mod strangers;
#[path = "../../../raft-transport-tcp/tests/loopback/streams.rs"]
mod streams;

pub(crate) use end::{End, PATIENCE, Setup, append, heartbeat, identity};
