//! `LogStore` and `StableStore` of [`raft_core`] on RocksDB.
//!
//! This crate is empty: it holds the name, the lints and the place in the workspace. Use
//! `raft-store-redb` until the adapter is built; nothing here pretends to store anything.
