//! The figures, as a table and as JSON.

use std::fmt;

use serde::Serialize;

use super::load::{Measured, PAYLOAD_BYTES};
use super::machine::{Machine, load_average};
use super::options::{BenchOptions, Setting};
use crate::failure::{Failure, OrFail};
use crate::terminal::{Table, thousands};

/// Everything that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    load_average_before: String,
    seconds_a_line: u64,
    payload_bytes: usize,
    optimised: bool,
    not_measured: &'static str,
    lines: Vec<Line>,
}

/// One setting with one number of writers.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(serialize_with = "name")]
    setting: Setting,
    writers: u16,
    writes_a_second: u64,
    p50_micros: u64,
    p99_micros: u64,
    p99_9_micros: u64,
    cpu_micros_a_write: f64,
    failed: u64,
}

impl Report {
    pub(super) fn begin(options: &BenchOptions) -> Self {
        Self {
            machine: Machine::look(),
            load_average_before: load_average(),
            seconds_a_line: options.seconds,
            payload_bytes: PAYLOAD_BYTES,
            optimised: !cfg!(debug_assertions),
            not_measured: NOT_MEASURED,
            lines: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, setting: Setting, writers: u16, measured: &Measured) {
        let writes = measured.latency.len();
        let nanos = measured.took.as_nanos().max(1);
        let rate = u128::from(writes) * 1_000_000_000 / nanos;
        let at = |quantile| measured.latency.value_at_quantile(quantile);
        // A count of writes is far below 2^52, so the quotient is exact enough.
        let cpu = measured.cpu.as_secs_f64() * 1e6 / (writes.max(1) as f64);
        self.lines.push(Line {
            setting,
            writers,
            writes_a_second: u64::try_from(rate).unwrap_or(u64::MAX),
            p50_micros: at(0.5),
            p99_micros: at(0.99),
            p99_9_micros: at(0.999),
            cpu_micros_a_write: (cpu * 100.0).round() / 100.0,
            failed: measured.failed,
        });
    }

    pub(super) fn json(&self) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            report: &'a Report,
            load_average_after: String,
        }
        let whole = Whole {
            report: self,
            load_average_after: load_average(),
        };
        serde_json::to_string_pretty(&whole).or_fail(|| "cannot write JSON".into())
    }

    fn table(&self, setting: Setting) -> Option<Table> {
        let mut table = Table::new([
            "writers",
            "writes/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "CPU us/write",
            "failed",
        ]);
        let mut lines = self
            .lines
            .iter()
            .filter(|line| line.setting == setting)
            .peekable();
        lines.peek()?;
        for line in lines {
            table.row([
                thousands(line.writers.into()),
                thousands(line.writes_a_second),
                thousands(line.p50_micros),
                thousands(line.p99_micros),
                thousands(line.p99_9_micros),
                format!("{:.2}", line.cpu_micros_a_write),
                thousands(line.failed),
            ]);
        }
        Some(table)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "machine: {}", self.machine)?;
        let (before, after) = (&self.load_average_before, load_average());
        writeln!(f, "load average: {before} before, {after} after")?;
        writeln!(
            f,
            "3 nodes in one process, {} bytes a write, closed loop at the leader, {} s a line",
            self.payload_bytes, self.seconds_a_line
        )?;
        if !self.optimised {
            writeln!(f, "NOT OPTIMISED: run it with --release")?;
        }
        for setting in Setting::ALL {
            if let Some(table) = self.table(setting) {
                writeln!(f, "\n{}\n{table}", setting.title())?;
            }
        }
        write!(f, "\nNot measured: {}", self.not_measured)
    }
}

fn name<S: serde::Serializer>(setting: &Setting, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(setting.name())
}

const NOT_MEASURED: &str = "clients on another machine or in another process, real networks, \
disks of their own for each node (all share one), snapshots and restarts under load, reads, and \
latency at a fixed rate (a closed loop hides the time that waiting writers lose). CPU is that of \
the whole process by the system's process clock: three nodes and all writers.";
