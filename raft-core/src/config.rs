//! The tunables, their defaults and why, and the relations between them.

use std::time::Duration;

use crate::entry::HEADER_BYTES;
use crate::message::MESSAGE_BYTES;

/// How a node behaves. Every field has a default; [`Config::validate`] checks their relations.
///
/// All members of a group should run with the same timings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Config {
    /// A leader is heard at least this often. Default 50 ms: six chances within one election
    /// timeout.
    pub heartbeat_interval: Duration,
    /// A follower that heard no leader for a random time between once and twice this asks for
    /// votes; a leader that heard no quorum for this long steps down. Default 300 ms: well above a
    /// slow fsync, well below what a person notices.
    pub election_timeout: Duration,
    /// A leader whose own disk has not finished a write for this long gives up its leadership.
    /// Default 2 s, at least the election timeout.
    pub disk_stall_timeout: Duration,
    /// Whether [lease reads](crate::node::ReadMode::Lease) are served without messages. Default
    /// off: they trust every clock of the group to keep [`Config::clock_drift_max_percent`], and
    /// restarted nodes to keep silent for an election timeout, which slows some elections down.
    /// Must be the same on all members, and changed only while all of them are stopped.
    pub lease_reads: bool,
    /// How much faster or slower than true time a clock may run, in percent. Default 10, which no
    /// working clock comes near. Only lease reads depend on it.
    pub clock_drift_max_percent: u32,
    /// The largest command, in bytes. Default 16 MiB. Larger proposals are refused.
    pub entry_bytes_max: usize,
    /// An append message takes entries up to this many bytes, and always at least one entry.
    /// Default 1 MiB.
    pub append_bytes_max: usize,
    /// Appends on the way to one follower, in messages. Default 64.
    pub in_flight_messages_max: usize,
    /// Appends on the way to one follower, in bytes. Default 16 MiB.
    pub in_flight_bytes_max: usize,
    /// A leader refuses proposals while those that are not yet committed, and applied here, take
    /// this many bytes: it waits for its followers, its disk and its state machine alike. Default
    /// 64 MiB.
    pub unapplied_bytes_max: usize,
    /// The newest entries stay in memory up to this many bytes. Default 32 MiB.
    pub cached_bytes_max: usize,
    /// Entries handed to the state machine and not yet applied, in bytes. Default 8 MiB.
    pub applying_bytes_max: usize,
    /// Read barriers that may wait at once. Default 65,536. More are refused as overload.
    pub reads_max: usize,
    /// A snapshot is taken when this many entries were applied since the last one. Default
    /// 100,000.
    pub snapshot_entries: u64,
    /// A snapshot is also taken when entries of this many bytes were applied since. Default
    /// 256 MiB.
    pub snapshot_bytes: u64,
    /// A snapshot is also taken this long after the first entry was applied that is in none, by the
    /// node's own clock: so a quiet group has one, too, and a restart applies no old entries again. An
    /// idle group takes none. Default off: the two limits above bound the log and the restart, and the
    /// members of a group, which apply at the same time, would all write at the same time.
    pub snapshot_interval: Option<Duration>,
    /// Entries kept in the log behind a snapshot, for followers that lag a little. Default 10,000.
    pub trailing_entries: u64,
    /// Snapshots kept. Default 2: the newest, and the one before in case it cannot be read.
    pub snapshots_retained: usize,
}

/// Settings that contradict each other, with the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            heartbeat_interval: Duration::from_millis(50),
            election_timeout: Duration::from_millis(300),
            disk_stall_timeout: Duration::from_secs(2),
            lease_reads: false,
            clock_drift_max_percent: 10,
            entry_bytes_max: 16 * MIB,
            append_bytes_max: MIB,
            in_flight_messages_max: 64,
            in_flight_bytes_max: 16 * MIB,
            unapplied_bytes_max: 64 * MIB,
            cached_bytes_max: 32 * MIB,
            applying_bytes_max: 8 * MIB,
            reads_max: 65_536,
            snapshot_entries: 100_000,
            snapshot_bytes: 256 << 20,
            snapshot_interval: None,
            trailing_entries: 10_000,
            snapshots_retained: 2,
        }
    }
}

impl Config {
    /// Checks every field and every relation.
    ///
    /// # Errors
    /// [`ConfigError`] names the field, its value and what to set.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(text));
        if self.heartbeat_interval < Duration::from_millis(1) {
            return fail("heartbeat_interval must be at least 1 ms".into());
        }
        if self.election_timeout < 3 * self.heartbeat_interval {
            return fail(format!(
                "election_timeout ({:?}) must be at least 3 times heartbeat_interval ({:?}), or one \
                 late heartbeat deposes the leader",
                self.election_timeout, self.heartbeat_interval
            ));
        }
        if self.election_timeout > Duration::from_secs(600) {
            return fail("election_timeout must be at most 10 minutes".into());
        }
        if self.disk_stall_timeout < self.election_timeout {
            return fail(format!(
                "disk_stall_timeout ({:?}) must be at least election_timeout ({:?})",
                self.disk_stall_timeout, self.election_timeout
            ));
        }
        if self.clock_drift_max_percent > 40 {
            return fail(
                "clock_drift_max_percent must be at most 40: no lease would be left".into(),
            );
        }
        if self
            .snapshot_interval
            .is_some_and(|interval| interval < self.election_timeout)
        {
            return fail(format!(
                "snapshot_interval must be at least election_timeout ({:?}), or off",
                self.election_timeout
            ));
        }
        if self.entry_bytes_max > ENTRY_BYTES_LIMIT {
            return fail(format!(
                "entry_bytes_max must be at most {ENTRY_BYTES_LIMIT}"
            ));
        }
        let at_least_one = [
            ("entry_bytes_max", self.entry_bytes_max),
            ("append_bytes_max", self.append_bytes_max),
            ("in_flight_messages_max", self.in_flight_messages_max),
            ("in_flight_bytes_max", self.in_flight_bytes_max),
            ("unapplied_bytes_max", self.unapplied_bytes_max),
            ("cached_bytes_max", self.cached_bytes_max),
            ("applying_bytes_max", self.applying_bytes_max),
            ("reads_max", self.reads_max),
            ("snapshots_retained", self.snapshots_retained),
        ];
        match at_least_one.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => fail(format!("{name} must be at least 1")),
            None if self.snapshot_entries == 0 => {
                fail("snapshot_entries must be at least 1".into())
            }
            None => Ok(()),
        }
    }
}

impl Config {
    /// The largest message that a node with these settings sends, as
    /// [`Message::bytes`](crate::message::Message::bytes) counts.
    pub fn message_bytes_max(&self) -> usize {
        let one_entry = self.entry_bytes_max.saturating_add(HEADER_BYTES);
        let entries = one_entry.max(self.append_bytes_max);
        entries.saturating_add(MESSAGE_BYTES)
    }
}

/// No configuration may allow a larger command: 1 GiB.
pub const ENTRY_BYTES_LIMIT: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn an_interval_without_a_pause_between_snapshots_is_refused() {
        let mut config = Config {
            snapshot_interval: Some(Duration::ZERO),
            ..Config::default()
        };
        let error = config.validate().unwrap_err();
        assert!(error.0.contains("snapshot_interval"), "{error}");
        config.snapshot_interval = Some(config.election_timeout);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn an_election_timeout_near_the_heartbeat_is_refused() {
        let config = Config {
            election_timeout: Duration::from_millis(100),
            ..Config::default()
        };
        let error = config.validate().unwrap_err();
        assert!(
            error.0.contains("at least 3 times heartbeat_interval"),
            "{error}"
        );
    }
}
