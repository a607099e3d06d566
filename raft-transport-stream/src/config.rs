//! The settings of the transport, their defaults and why.

use std::time::Duration;

use raft_core::wire::Hello;
use serde::{Deserialize, Serialize};

/// How the transport behaves. Every field has a default; unknown names are refused.
///
/// Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportConfig {
    /// Where others reach this node (`host:port`), told to those who do not know its membership
    /// yet. Default empty: the address it listens at, with the host of each connection if it listens
    /// at all of them (`0.0.0.0`). Set it where addresses are translated. At most 255 bytes.
    pub advertise: String,
    /// A dial may take this long. Default 2,000: above the first repetition of a lost SYN.
    pub connect_timeout_ms: u64,
    /// Both hellos must be there this soon after a connection is made. Default 5,000.
    pub handshake_timeout_ms: u64,
    /// The pause after a failed dial, and its bound: it doubles from the one to the other, and a
    /// random part of it is left out, so that a restarted node is not dialed by all at once.
    /// Default 20.
    pub backoff_min_ms: u64,
    /// See `backoff_min_ms`. Default 500: about an election timeout, so that a node that comes
    /// back is heard soon.
    pub backoff_max_ms: u64,
    /// How often a connection at rest shows that it is alive. Default 10,000.
    pub keepalive_ms: u64,
    /// A connection that was silent for this long is closed. Default 30,000, at least twice
    /// `keepalive_ms`.
    pub idle_timeout_ms: u64,
    /// A connection whose other end takes nothing for this long is closed. Default 10,000.
    pub write_timeout_ms: u64,
    /// The largest frame of entries, sent or received. Default 64 MiB. It must exceed the node's
    /// `entry_bytes_max` and `append_bytes_max`, or such entries cannot be replicated.
    pub frame_bytes_max: u32,
    /// Messages that may wait for one peer on one lane. Default 4,096. More are dropped.
    pub queue_messages_max: usize,
    /// Bytes that may wait for one peer on one lane. Default 32 MiB. A message that is larger
    /// waits alone.
    pub queue_bytes_max: usize,
    /// A snapshot travels in chunks of this size. Default 256 KiB: large enough to be cheap, small
    /// enough not to hold up heartbeats on the same thread.
    pub snapshot_chunk_bytes: u32,
    /// Bytes of snapshots that are sent in a second, all receivers together. Default none: as fast as
    /// the network takes them. At least 1,024. Heartbeats and entries have connections of their own
    /// and do not count, but they share the network: set it where snapshots would fill that.
    pub snapshot_bytes_per_second: Option<u64>,
    /// Snapshots that are sent at once, and, counted apart, received at once. Default 8. More wait
    /// their turn here, and are refused there and tried again.
    pub snapshot_streams_max: usize,
    /// Connections from others. Default 256. More are refused.
    pub inbound_connections_max: usize,
}

/// A slower stream would look dead.
const SNAPSHOT_RATE_MIN: u64 = 1_024;

/// No build sends, or takes, larger chunks of a snapshot.
pub(crate) const SNAPSHOT_CHUNK_BYTES_LIMIT: u32 = 16 << 20;

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            advertise: String::new(),
            connect_timeout_ms: 2_000,
            handshake_timeout_ms: 5_000,
            backoff_min_ms: 20,
            backoff_max_ms: 500,
            keepalive_ms: 10_000,
            idle_timeout_ms: 30_000,
            write_timeout_ms: 10_000,
            frame_bytes_max: 64 << 20,
            queue_messages_max: 4_096,
            queue_bytes_max: 32 << 20,
            snapshot_chunk_bytes: 256 << 10,
            snapshot_bytes_per_second: None,
            snapshot_streams_max: 8,
            inbound_connections_max: 256,
        }
    }
}

impl TransportConfig {
    /// Checks every field and every relation.
    ///
    /// # Errors
    /// A sentence that names the field, its value and what to set.
    pub fn validate(&self) -> Result<(), String> {
        let at_least_one: [(&str, u64); 10] = [
            ("snapshot_streams_max", self.snapshot_streams_max as u64),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("backoff_min_ms", self.backoff_min_ms),
            ("keepalive_ms", self.keepalive_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("frame_bytes_max", self.frame_bytes_max.into()),
            ("queue_messages_max", self.queue_messages_max as u64),
            ("queue_bytes_max", self.queue_bytes_max as u64),
            (
                "inbound_connections_max",
                self.inbound_connections_max as u64,
            ),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        let is_address = |text: &str| {
            let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            text.len() <= Hello::ADDRESS_BYTES_MAX && matches!(port, Some(Ok(1..)))
        };
        if !self.advertise.is_empty() && !is_address(&self.advertise) {
            return Err(format!(
                "advertise ({}) must be host:port, or empty",
                self.advertise
            ));
        }
        if self.backoff_max_ms < self.backoff_min_ms {
            return Err(format!(
                "backoff_max_ms ({}) must be at least backoff_min_ms ({})",
                self.backoff_max_ms, self.backoff_min_ms
            ));
        }
        if self.idle_timeout_ms < self.keepalive_ms.saturating_mul(2) {
            return Err(format!(
                "idle_timeout_ms ({}) must be at least twice keepalive_ms ({}), or one late sign of \
                 life closes a connection",
                self.idle_timeout_ms, self.keepalive_ms
            ));
        }
        if !(1..=SNAPSHOT_CHUNK_BYTES_LIMIT).contains(&self.snapshot_chunk_bytes) {
            return Err(format!(
                "snapshot_chunk_bytes ({}) must be 1 to {SNAPSHOT_CHUNK_BYTES_LIMIT}",
                self.snapshot_chunk_bytes
            ));
        }
        if let Some(rate) = self.snapshot_bytes_per_second
            && rate < SNAPSHOT_RATE_MIN
        {
            return Err(format!(
                "snapshot_bytes_per_second ({rate}) must be at least {SNAPSHOT_RATE_MIN}, or none for no \
                 limit"
            ));
        }
        Ok(())
    }

    /// With a limit, chunks are small enough for several to pass in a second, so that the receiver
    /// never takes a slow stream for a dead one.
    pub(crate) fn paced_chunk_bytes(&self) -> u32 {
        let slow = self.snapshot_bytes_per_second.unwrap_or(u64::MAX) / 8;
        let slow = slow.max(SNAPSHOT_RATE_MIN / 8);
        u32::try_from(slow).map_or(self.snapshot_chunk_bytes, |slow| {
            slow.min(self.snapshot_chunk_bytes)
        })
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(crate) fn backoff_min(&self) -> Duration {
        Duration::from_millis(self.backoff_min_ms)
    }

    pub(crate) fn backoff_max(&self) -> Duration {
        Duration::from_millis(self.backoff_max_ms)
    }

    pub(crate) fn keepalive(&self) -> Duration {
        Duration::from_millis(self.keepalive_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(TransportConfig::default().validate(), Ok(()));
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let config = TransportConfig {
            idle_timeout_ms: 15_000,
            ..TransportConfig::default()
        };
        let error = config.validate().unwrap_err();
        assert!(error.contains("twice keepalive_ms (10000)"), "{error}");
    }

    #[test]
    fn a_slow_stream_has_small_chunks() {
        let chunk = |rate| {
            let config = TransportConfig {
                snapshot_bytes_per_second: rate,
                ..TransportConfig::default()
            };
            config.validate().map(|()| config.paced_chunk_bytes())
        };
        assert_eq!(chunk(None), Ok(256 << 10));
        assert_eq!(chunk(Some(1 << 40)), Ok(256 << 10));
        assert_eq!(chunk(Some(8_000)), Ok(1_000));
        assert!(chunk(Some(0)).unwrap_err().contains("at least 1024"));
    }

    #[test]
    fn an_advertised_address_needs_a_port() {
        let config = |advertise: &str| TransportConfig {
            advertise: advertise.into(),
            ..TransportConfig::default()
        };
        assert_eq!(config("db-1.example:7000").validate(), Ok(()));
        for wrong in ["db-1.example", "db-1.example:0", ":"] {
            let error = config(wrong).validate().unwrap_err();
            assert!(error.contains("must be host:port"), "{error}");
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        let error = serde_json::from_str::<TransportConfig>(r#"{"idle_timeout": 3}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
        let config: TransportConfig = serde_json::from_str(r#"{"keepalive_ms": 3}"#).unwrap();
        assert_eq!(config.keepalive_ms, 3);
    }
}
