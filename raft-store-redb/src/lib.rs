//! `LogStore` and `StableStore` of [`raft_core`] on redb.
