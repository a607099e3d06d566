//! A cluster of `kv serve` processes on this machine, for the demonstration and for tests.

mod certificates;
mod cluster;
mod ports;
mod process;

pub use certificates::certified;
pub use cluster::LocalCluster;
pub use ports::free_ports;
pub use process::NodeProcess;
