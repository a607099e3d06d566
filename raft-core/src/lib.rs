//! Raft: the consensus state machine, the node that drives it, and the contracts for storage,
//! transport and state machine.

pub mod codec;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod consensus;
pub mod entry;
pub mod id;
pub mod manual;
pub mod membership;
pub mod memory;
pub mod message;
pub mod node;
pub mod snapshot;
pub mod state_machine;
pub mod store;
pub mod time;
pub mod transport;
pub mod typed;
pub mod wire;

mod hard_state;

pub use hard_state::{HardState, Identity};
