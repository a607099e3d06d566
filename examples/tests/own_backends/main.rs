//! The store and the transport of the manual's chapter "your own backend" pass what every backend
//! must pass, and carry a cluster.

mod cluster;
mod damage;
mod store;
mod transport;
