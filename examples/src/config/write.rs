//! Writes a configuration file: for programs that start servers of their own.

use std::fmt::{self, Display};

use serde::Serialize;

use super::{LimitsConfig, ServerConfig, TimingConfig};

impl Display for ServerConfig {
    /// The file that [`ServerConfig::parse`] reads as this configuration. What has its default is
    /// left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{:?}` quotes and escapes a text as TOML does, as long as it is printable.
        writeln!(f, "cluster = {:?}", self.cluster)?;
        writeln!(f, "id = {}", self.id)?;
        writeln!(f, "listen = \"{}\"", self.listen)?;
        writeln!(f, "clients = \"{}\"", self.clients)?;
        let directory = self.directory.display().to_string();
        writeln!(f, "directory = {directory:?}")?;
        writeln!(f, "store = \"{}\"", self.store)?;
        writeln!(f, "transport = \"{}\"", self.transport)?;
        if self.recovery_epoch > 0 {
            writeln!(f, "recovery_epoch = {}", self.recovery_epoch)?;
        }
        if !self.self_repair {
            writeln!(f, "self_repair = false")?;
        }
        self.timing.fmt(f)?;
        self.limits.fmt(f)?;
        section(f, "redb", &self.redb)?;
        section(f, "rocksdb", &self.rocksdb)?;
        section(f, "network", &self.network)?;
        section(f, "tls", &self.tls)?;
        for (name, peer) in &self.peers {
            writeln!(f, "\n[peers.{}]", name.0)?;
            writeln!(f, "raft = \"{}\"", peer.raft)?;
            writeln!(f, "clients = \"{}\"", peer.clients)?;
        }
        Ok(())
    }
}

impl Display for TimingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = [
            ("heartbeat_interval", quoted(self.heartbeat_interval)),
            ("election_timeout", quoted(self.election_timeout)),
            ("disk_stall_timeout", quoted(self.disk_stall_timeout)),
            ("snapshot_interval", quoted(self.snapshot_interval)),
            ("lease_reads", self.lease_reads.map(|on| on.to_string())),
        ];
        table(f, "timing", settings)
    }
}

impl Display for LimitsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |number: Option<u64>| number.map(|number| number.to_string());
        let settings = [
            ("entry_bytes_max", quoted(self.entry_bytes_max)),
            ("snapshot_entries", plain(self.snapshot_entries)),
            ("snapshot_bytes", quoted(self.snapshot_bytes)),
            ("trailing_entries", plain(self.trailing_entries)),
        ];
        table(f, "limits", settings)
    }
}

/// An adapter's section, as the adapter writes it; nothing if all of it has its default.
fn section<T: Serialize + PartialEq + Default>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    settings: &T,
) -> fmt::Result {
    if *settings == T::default() {
        return Ok(());
    }
    let text = toml::to_string(settings).map_err(|_| fmt::Error)?;
    write!(f, "\n[{name}]\n{text}")
}

fn quoted(value: Option<impl Display>) -> Option<String> {
    value.map(|value| format!("\"{value}\""))
}

/// A table with those settings that are there; nothing if none is.
fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    settings: [(&str, Option<String>); N],
) -> fmt::Result {
    if settings.iter().all(|(_, value)| value.is_none()) {
        return Ok(());
    }
    writeln!(f, "\n[{name}]")?;
    for (key, value) in settings {
        if let Some(value) = value {
            writeln!(f, "{key} = {value}")?;
        }
    }
    Ok(())
}
