//! `kv serve`: one node of the key-value store, and the door for its clients.

mod connection;
mod listen;
mod run;
mod service;
mod watch_parent;

pub use listen::accept;
pub use run::{ServeOptions, serve};
pub use service::Service;
pub use watch_parent::GO_ON;
