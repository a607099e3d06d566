//! How much may happen in one trace.

use std::time::Duration;

use super::start::Start;
use crate::config::Config;

/// How large the searched world is. Messages have no bound: each may be late, lost, and repeated
/// as often as may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Where it begins. Default [`Start::New`].
    pub start: Start,
    /// Voters, from 1 to [`NODES_MAX`]. Default 3.
    pub nodes: u8,
    /// Actions in a trace. Default 12.
    pub depth: u32,
    /// Election timeouts, of all nodes together; so no term is further from the first than this.
    /// Default 2.
    pub timeouts: u8,
    /// Election timeouts of each single node. Default: as many as of all together.
    pub timeouts_each: u8,
    /// Heartbeats that a leader sends beyond the one with which it takes office. Default 1.
    pub heartbeats: u8,
    /// Commands that are proposed. Default 1.
    pub proposals: u8,
    /// Crashes, each with an immediate restart: to the others a node that is down is one that
    /// is slow. Default 1.
    pub crashes: u8,
    /// Transfers of leadership that are asked for. Default 0.
    pub transfers: u8,
    /// Changes of membership that are asked for: a voter is removed, or comes back. Default 0.
    pub changes: u8,
    /// Whether nodes take snapshots, of every two entries, and purge their logs. Default off.
    pub snapshots: bool,
    /// Whether writes become durable one by one, as actions of their own. Otherwise at once, so
    /// that a crash loses no write. Default on.
    pub slow_disks: bool,
    /// Whether the state machine works in actions of its own. Otherwise at once. Default off.
    pub slow_machines: bool,
    /// Whether pre-votes and their answers are messages like all others. Otherwise everybody is
    /// asked and answers at once. Default off.
    pub pre_votes: bool,
    /// The search ends when it knows so many states. Default 20 million.
    pub states_max: usize,
}

/// The largest group that is searched.
pub const NODES_MAX: u8 = 5;

/// How often each bounded thing has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spent {
    pub(super) timeouts: u8,
    pub(super) timeouts_of: [u8; NODES_MAX as usize],
    pub(super) heartbeats: u8,
    pub(super) proposals: u8,
    pub(super) crashes: u8,
    pub(super) transfers: u8,
    pub(super) changes: u8,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            start: Start::New,
            nodes: 3,
            depth: 12,
            timeouts: 2,
            timeouts_each: u8::MAX,
            heartbeats: 1,
            proposals: 1,
            crashes: 1,
            transfers: 0,
            changes: 0,
            snapshots: false,
            slow_disks: true,
            slow_machines: false,
            pre_votes: false,
            states_max: 20_000_000,
        }
    }
}

impl Bounds {
    /// How the cores are configured. The shortest time there is is an election timeout, so that a
    /// node's clock only tells "now" from "long ago", and no duration is left to chance; and an
    /// append carries one entry.
    pub(super) fn config(&self) -> Config {
        Config {
            heartbeat_interval: Duration::ZERO,
            election_timeout: ELECTION_TIMEOUT,
            disk_stall_timeout: Duration::MAX,
            append_bytes_max: 1,
            snapshot_entries: if self.snapshots { 2 } else { u64::MAX },
            trailing_entries: 0,
            ..Config::default()
        }
    }
}

/// Too short to be seen in the log's own time.
pub(super) const ELECTION_TIMEOUT: Duration = Duration::from_nanos(1);
