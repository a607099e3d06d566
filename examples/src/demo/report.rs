//! The table at the end.

use std::fmt;
use std::time::Duration;

use super::course::Casualty;
use super::input::Input;
use super::stream::Measured;
use crate::failure::Failure;
use crate::protocol::DigestReport;
use crate::terminal::{Table, thousands};

/// All that is told at the end.
pub(super) struct Report<'a> {
    pub(super) input: &'a Input,
    pub(super) measured: &'a Measured,
    pub(super) casualty: &'a Casualty,
    /// Who led after the kill.
    pub(super) successor: Option<u64>,
    /// How long reading everything back took.
    pub(super) reading: Duration,
    pub(super) digests: &'a [DigestReport],
}

impl Report<'_> {
    /// Whether all nodes have the same state, with every entry in it, and the outage was seen.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let entries = self.input.entries();
        if let Some(short) = self.digests.iter().find(|node| node.keys != entries) {
            return Err(Failure::new(format!(
                "node {} has {} keys, not {entries}",
                short.id, short.keys
            )));
        }
        let mut digests = self.digests.iter().map(|node| &node.digest);
        let first = digests.next();
        if digests.any(|digest| Some(digest) != first) {
            return Err(Failure::new("the digests differ: the nodes have diverged"));
        }
        if self.measured.outage.is_none() {
            return Err(Failure::new(
                "no other node acknowledged a write after the kill",
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (input, measured, casualty) = (self.input, self.measured, self.casualty);
        let entries = input.entries();
        let mut table = Table::plain();
        table.row(["entries", &thousands(entries)]);
        let took = measured.took;
        table.row([
            "writes a second",
            &format!(
                "{} (in {}, the time without a leader included)",
                rate(entries, took),
                seconds(took)
            ),
        ]);
        let at = |quantile| {
            millis(Duration::from_micros(
                measured.latency.value_at_quantile(quantile),
            ))
        };
        table.row(["latency, median", &at(0.5)]);
        table.row(["latency, p99", &at(0.99)]);
        let outage = match (&measured.outage, self.successor) {
            (Some((outage, _)), Some(next)) => format!(
                "{} (node {} killed after {} writes; node {next} took over)",
                millis(*outage),
                casualty.id,
                thousands(casualty.acknowledged)
            ),
            _ => "not measured".to_owned(),
        };
        table.row(["time without a leader", &outage]);
        let caught_up = format!("{} after its restart", seconds(casualty.caught_up_after));
        table.row(["killed node caught up", &caught_up]);
        let reads = entries * self.digests.len() as u64;
        let read = format!(
            "{} values, all as written ({} a second, linearizable)",
            thousands(reads),
            rate(reads, self.reading)
        );
        table.row(["read back", &read]);
        for node in self.digests {
            table.row([&format!("digest of node {}", node.id), &node.digest]);
        }
        table.fmt(f)
    }
}

fn rate(count: u64, took: Duration) -> String {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    thousands(count.saturating_mul(1_000) / millis)
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
