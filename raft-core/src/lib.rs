//! Raft: the consensus state machine, the node that drives it, and the contracts for storage,
//! transport and state machine.
//!
//! A user implements one trait, [`StateMachine`](state_machine::StateMachine), picks the stores
//! and a transport, and starts a [`Node`](node::Node). Backends are values, not type parameters,
//! so a config file can choose them.
//!
//! # The journey of a command
//!
//! Each step is one function in one file.
//!
//! 1. `Node::propose` seals the payload and puts it with a reply slot into a bounded queue
//!    (`node/mod.rs`).
//! 2. The event loop takes everything that waits there as one batch (`node/event_loop.rs`).
//! 3. The core gives the commands their ids and appends them to its log (`Leader::on_proposed` in
//!    `consensus/leader.rs`).
//! 4. Out come a write and messages together: disk and network race (`consensus/shared.rs`,
//!    `consensus/replication.rs`).
//! 5. `execute` hands them to the log writer and to the transport (`node/execute.rs`).
//! 6. A follower checks the entries and asks for a write; its acknowledgement waits for that
//!    (`Follower::on_append` in `consensus/follower.rs`, `consensus/pending.rs`).
//! 7. The log writer syncs once for all that was queued; `Event::Persisted` releases what waited
//!    (`node/log_writer.rs`).
//! 8. The leader counts, and advances the commit index (`Leader::advance_commit`,
//!    `consensus/quorum.rs`).
//! 9. The state machine applies what is committed (`consensus/apply.rs`, `node/applier.rs`).
//! 10. The slot is found by index and term: the response, or the honest error
//!     (`node/waiting.rs`).
//!
//! # Where to read on
//!
//! The [manual] has the glossary, the map from the thesis to the code, the rules with their tests,
//! and where this implementation leaves the thesis. From the inside out the crate has four rings,
//! and a test keeps them apart: the words ([`id`], [`entry`], [`membership`], [`message`],
//! [`config`]), the pure protocol ([`consensus`]), the contracts ([`store`], [`transport`],
//! [`state_machine`]), and the shell ([`node`]).

pub mod change;
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
pub mod migrate;
pub mod node;
pub mod recover;
pub mod restoration;
pub mod sessions;
#[cfg(feature = "sim")]
pub mod sim;
pub mod snapshot;
pub mod state_machine;
pub mod store;
pub mod time;
pub mod transport;
pub mod typed;
pub mod units;
pub mod wire;

mod former_lives;
mod hard_state;

pub use former_lives::FormerLives;
pub use hard_state::{HardState, Identity};
