//! The replicated key-value store: commands, the state they build, and the machine that Raft feeds.

mod command;
mod machine;
mod state;

pub use command::{Command, CommandError, Effect, KEY_BYTES_MAX};
pub use machine::KvMachine;
pub use state::{KvState, SharedState};
