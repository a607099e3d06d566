//! A user's own state machine in the simulator.
//!
//! ```text
//!  Workload --- operations ---> Cluster: cores, network, disks, faults
//!     ^                            | committed entries        | snapshots
//!     | observed, in log order     v                          v
//!  Reference <---- compared ---- Trial: a machine for each replica
//!  (applies every entry once; its twin is restored from a snapshot now and then)
//! ```

mod clients;
mod reference;
mod subject;
mod trial;
mod workload;

pub(super) use subject::Subject;
pub(super) use trial::Trial;
pub use workload::{Ending, Observed, Operation, Workload};
