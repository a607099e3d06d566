//! `Transport` of [`raft_core`] on TCP.
