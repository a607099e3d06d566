//! The store and the transport of the manual's chapter "your own backend" pass what every backend
//! must pass, and carry a cluster.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod cluster;
mod damage;
mod store;
mod transport;
