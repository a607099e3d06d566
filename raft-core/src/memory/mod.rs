//! Reference backends in memory: for tests, for examples, and for groups that need no disk.
//!
//! They follow the contracts to the letter and are the shortest way to read them. What they keep
//! lives as long as some handle does: a node can be stopped, crashed and started again on the same
//! [`MemoryStores`], as on a disk. [`Network`] connects the nodes of one process.

mod disk;
mod log;
mod network;
mod snapshots;
mod stable;

pub use disk::MemoryStores;
pub use network::{Network, NetworkCounts, NetworkTransport};
