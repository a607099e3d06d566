//! The client of the key-value store: one pipelined connection to each server, and a [`Client`]
//! that finds the leader, repeats what may be repeated, and says honestly what it does not know.

mod cluster;
mod connection;
mod error;
mod server;

pub use cluster::{Changed, Client};
pub use connection::Connection;
pub use error::{CallError, ClientError};
