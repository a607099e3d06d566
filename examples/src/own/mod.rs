//! Backends of one's own, small and complete: what the manual's chapter "your own backend" builds.

pub mod file_store;
pub mod unix_transport;
