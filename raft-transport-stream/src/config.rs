//! The settings of the transport, their defaults and why.

use raft_core::units::{Period, Size};
use raft_core::wire::Hello;
use serde::{Deserialize, Serialize};

/// How a transport behaves, whatever carries its streams. Every field has a default; unknown names
/// are refused. Durations are written as `150ms` or `2s`, sizes as `64MiB`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportConfig {
    /// Where others reach this node (`host:port`), told to those who do not know its membership
    /// yet. Default empty: the address it listens at, with the host of each connection if it listens
    /// at all of them (`0.0.0.0`). Set it where addresses are translated. At most 255 bytes.
    pub advertise: String,
    /// A dial may take this long, with what its kind of network asks for (TLS). Default 2 s: above
    /// the first repetition of a lost SYN.
    pub connect_timeout: Period,
    /// A caller has this long to get its stream up, and as long again for its hello. Default 5 s.
    pub handshake_timeout: Period,
    /// The pause after a failed dial, and its bound: it doubles from the one to the other, and a
    /// random part of it is left out, so that a restarted node is not dialed by all at once.
    /// Default 20 ms.
    pub backoff_min: Period,
    /// See `backoff_min`. Default 500 ms: about an election timeout, so that a node that comes
    /// back is heard soon.
    pub backoff_max: Period,
    /// How often a connection at rest shows that it is alive. Default 10 s.
    pub keepalive: Period,
    /// A connection that was silent for this long is closed. Default 30 s, at least twice
    /// `keepalive`.
    pub idle_timeout: Period,
    /// A connection whose other end takes nothing for this long is closed, whether it is the program
    /// or the machine that does not answer. Default 10 s.
    pub write_timeout: Period,
    /// The largest frame of entries, sent or received. Default 64 MiB, below 4 GiB. It must exceed
    /// the node's `entry_bytes_max` and `append_bytes_max`, or such entries cannot be replicated.
    pub frame_max: Size,
    /// Messages that may wait for one peer on one lane. Default 4,096. More are dropped.
    pub queue_messages_max: usize,
    /// Bytes that may wait for one peer on one lane. Default 32 MiB. A message that is larger
    /// waits alone.
    pub queue_max: Size,
    /// A snapshot travels in chunks of this size. Default 256 KiB, at most 16 MiB: large enough to be
    /// cheap, small enough not to hold up heartbeats on the same thread.
    pub snapshot_chunk: Size,
    /// How much of snapshots is sent in a second, all receivers together. Default none: as fast as
    /// the network takes them. At least 1 KiB. Heartbeats and entries have streams of their own and
    /// do not count, but they share the network: set it where snapshots would fill that.
    pub snapshot_rate: Option<Size>,
    /// Snapshots that are sent at once, and, counted apart, received at once. Default 8. More wait
    /// their turn here, and are refused there and tried again.
    pub snapshot_streams_max: usize,
    /// Streams from others. Default 256: several for each member of the largest groups. More are
    /// refused.
    pub inbound_connections_max: usize,
    /// Streams from others that come from one IP address. Default 128: half of all, so that one
    /// machine that calls without end leaves room for the others. More are refused.
    pub inbound_connections_per_address_max: usize,
}

/// A slower stream would look dead.
const SNAPSHOT_RATE_MIN: Size = Size(1 << 10);

/// No build sends, or takes, larger chunks of a snapshot.
pub(crate) const SNAPSHOT_CHUNK_BYTES_LIMIT: u32 = 16 << 20;

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            advertise: String::new(),
            connect_timeout: Period::from_millis(2_000),
            handshake_timeout: Period::from_millis(5_000),
            backoff_min: Period::from_millis(20),
            backoff_max: Period::from_millis(500),
            keepalive: Period::from_millis(10_000),
            idle_timeout: Period::from_millis(30_000),
            write_timeout: Period::from_millis(10_000),
            frame_max: Size(64 << 20),
            queue_messages_max: 4_096,
            queue_max: Size(32 << 20),
            snapshot_chunk: Size(256 << 10),
            snapshot_rate: None,
            snapshot_streams_max: 8,
            inbound_connections_max: 256,
            inbound_connections_per_address_max: 128,
        }
    }
}

impl TransportConfig {
    /// Checks every field and every relation.
    ///
    /// # Errors
    /// A sentence that names the field, its value and what to set.
    pub fn validate(&self) -> Result<(), String> {
        self.check_that_nothing_is_zero()?;
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
        if self.backoff_max < self.backoff_min {
            return Err(format!(
                "backoff_max ({}) must be at least backoff_min ({})",
                self.backoff_max, self.backoff_min
            ));
        }
        if self.idle_timeout.0 < self.keepalive.0.saturating_mul(2) {
            return Err(format!(
                "idle_timeout ({}) must be at least twice keepalive ({}), or one late sign of life \
                 closes a connection",
                self.idle_timeout, self.keepalive
            ));
        }
        if u32::try_from(self.frame_max.0).is_err() {
            return Err(format!("frame_max ({}) must be below 4GiB", self.frame_max));
        }
        let chunk_limit = Size(SNAPSHOT_CHUNK_BYTES_LIMIT.into());
        if self.snapshot_chunk > chunk_limit {
            return Err(format!(
                "snapshot_chunk ({}) must be at most {chunk_limit}",
                self.snapshot_chunk
            ));
        }
        if let Some(rate) = self.snapshot_rate
            && rate < SNAPSHOT_RATE_MIN
        {
            return Err(format!(
                "snapshot_rate ({rate}) must be at least {SNAPSHOT_RATE_MIN}, or none for no limit"
            ));
        }
        Ok(())
    }

    fn check_that_nothing_is_zero(&self) -> Result<(), String> {
        let is_zero = [
            ("connect_timeout", self.connect_timeout.0.is_zero()),
            ("handshake_timeout", self.handshake_timeout.0.is_zero()),
            ("backoff_min", self.backoff_min.0.is_zero()),
            ("keepalive", self.keepalive.0.is_zero()),
            ("write_timeout", self.write_timeout.0.is_zero()),
            ("frame_max", self.frame_max.0 == 0),
            ("queue_messages_max", self.queue_messages_max == 0),
            ("queue_max", self.queue_max.0 == 0),
            ("snapshot_chunk", self.snapshot_chunk.0 == 0),
            ("snapshot_streams_max", self.snapshot_streams_max == 0),
            ("inbound_connections_max", self.inbound_connections_max == 0),
            (
                "inbound_connections_per_address_max",
                self.inbound_connections_per_address_max == 0,
            ),
        ];
        match is_zero.iter().find(|(_, is_zero)| *is_zero) {
            Some((name, _)) => Err(format!("{name} must be above zero")),
            None => Ok(()),
        }
    }

    /// With a limit, chunks are small enough for several to pass in a second, so that the receiver
    /// never takes a slow stream for a dead one.
    pub(crate) fn paced_chunk_bytes(&self) -> u32 {
        let rate = self.snapshot_rate.map_or(u64::MAX, |rate| rate.0);
        let slow = (rate / 8).max(SNAPSHOT_RATE_MIN.0 / 8);
        let bytes = slow.min(self.snapshot_chunk.0);
        u32::try_from(bytes).map_or(SNAPSHOT_CHUNK_BYTES_LIMIT, |bytes| {
            bytes.min(SNAPSHOT_CHUNK_BYTES_LIMIT)
        })
    }

    /// The largest tail of a frame.
    pub(crate) fn frame_bytes_max(&self) -> u32 {
        u32::try_from(self.frame_max.0).unwrap_or(u32::MAX)
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
            idle_timeout: Period::from_millis(15_000),
            ..TransportConfig::default()
        };
        let error = config.validate().unwrap_err();
        assert!(error.contains("twice keepalive (10s)"), "{error}");
    }

    #[test]
    fn a_slow_stream_has_small_chunks() {
        let chunk = |rate| {
            let config = TransportConfig {
                snapshot_rate: rate,
                ..TransportConfig::default()
            };
            config.validate().map(|()| config.paced_chunk_bytes())
        };
        assert_eq!(chunk(None), Ok(256 << 10));
        assert_eq!(chunk(Some(Size(1 << 40))), Ok(256 << 10));
        assert_eq!(chunk(Some(Size(8_000))), Ok(1_000));
        assert!(chunk(Some(Size(0))).unwrap_err().contains("at least 1KiB"));
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
    fn what_must_not_be_zero_is_named() {
        let config = TransportConfig {
            keepalive: Period::from_millis(0),
            ..TransportConfig::default()
        };
        assert_eq!(
            config.validate(),
            Err("keepalive must be above zero".into())
        );
    }

    #[test]
    fn a_frame_that_no_header_can_announce_is_refused() {
        let config = |frame_max| TransportConfig {
            frame_max: Size(frame_max),
            ..TransportConfig::default()
        };
        assert_eq!(config(u32::MAX.into()).validate(), Ok(()));
        let error = config(1 << 32).validate().unwrap_err();
        assert_eq!(error, "frame_max (4GiB) must be below 4GiB");
    }

    #[test]
    fn settings_are_written_as_people_write_quantities() {
        let text = r#"{"keepalive": "3ms", "frame_max": "8MiB", "snapshot_rate": "1GiB"}"#;
        let config: TransportConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.keepalive, Period::from_millis(3));
        assert_eq!(config.frame_max, Size(8 << 20));
        assert_eq!(config.snapshot_rate, Some(Size(1 << 30)));
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<TransportConfig>(&written).unwrap(),
            config
        );
    }

    #[test]
    fn unknown_names_and_bare_numbers_are_refused() {
        let error = |text| {
            serde_json::from_str::<TransportConfig>(text)
                .unwrap_err()
                .to_string()
        };
        let unknown = error(r#"{"idle_timeout_ms": 3}"#);
        assert!(unknown.contains("unknown field"), "{unknown}");
        let bare = error(r#"{"idle_timeout": 3}"#);
        assert!(bare.contains("expected a string"), "{bare}");
    }
}
