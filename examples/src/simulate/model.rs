//! The bounded model check of the core: every order of events within bounds.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use raft_core::sim::model::{self, Bounds, End, Progress, Report};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::options::ModelOptions;
use crate::failure::{Failure, OrFail};
use crate::terminal::{Table, complain, say, thousands};

/// Searches, and prints the figures. Fails on a violation, with the shortest trace to it.
pub(super) fn run(options: &ModelOptions) -> Result<(), Failure> {
    let bounds = options.bounds();
    complain(format_args!(
        "searching all traces of {} nodes to depth {}",
        bounds.nodes, bounds.depth
    ));
    let bar = spinner();
    let started = Instant::now();
    let outcome = model::check(&bounds, &mut |Progress { depth, states }| {
        bar.set_message(format!(
            "depth {depth}, {} states",
            thousands(states as u64)
        ));
        bar.tick();
    });
    bar.finish_and_clear();
    let wall = started.elapsed();
    let report = outcome.map_err(|violation| Failure::new(format!("VIOLATION\n{violation}")))?;
    let figures = Figures { report, wall };
    let text = if options.json {
        figures.json()?
    } else {
        figures.to_string()
    };
    say(format_args!("{text}"));
    Ok(())
}

/// Nobody knows how many states there are.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What was searched, and how long it took.
struct Figures {
    report: Report,
    wall: Duration,
}

const MIB: u64 = 1 << 20;

impl Figures {
    fn states_a_second(&self) -> u64 {
        let millis = u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX);
        self.report.states as u64 * 1_000 / millis.max(1)
    }

    /// In words, what this search proves.
    fn verdict(&self) -> String {
        let Report { depth, end, .. } = self.report;
        match end {
            End::Complete => "complete: nothing else can happen within the bounds".to_owned(),
            End::Depth => format!("all traces of up to {depth} actions were seen"),
            End::CutOff => format!(
                "cut off at the bound for states; all traces of up to {depth} actions were seen"
            ),
        }
    }

    /// For programs.
    fn json(&self) -> Result<String, Failure> {
        let report = &self.report;
        let actions: Map<String, Value> = report
            .actions
            .iter()
            .map(|(name, count)| ((*name).to_owned(), json!(count)))
            .collect();
        let whole = json!({
            "nodes": report.bounds.nodes,
            "bounds": bounds_text(&report.bounds),
            "outcome": self.verdict(),
            "complete": report.end == End::Complete,
            "depth": report.depth,
            "states": report.states,
            "transitions": report.transitions,
            "actions": actions,
            "node_states": report.node_states,
            "turns": report.turns,
            "messages": report.messages,
            "elections_most": report.elections_most,
            "committed_most": report.committed_most,
            "wall_seconds": self.wall.as_secs_f64(),
            "states_a_second": self.states_a_second(),
            "table_bytes": report.bytes,
            "peak_bytes": peak_bytes(),
            "optimised": !cfg!(debug_assertions),
        });
        serde_json::to_string_pretty(&whole).or_fail(|| "cannot write the figures".into())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        let mut table = Table::plain();
        let mut row = |name: &str, text: String| table.row([name.to_owned(), text]);
        row("outcome", self.verdict());
        row("bounds", bounds_text(&report.bounds));
        row("different states", thousands(report.states as u64));
        row("transitions", thousands(report.transitions));
        for (name, count) in &report.actions {
            row(&format!("  {name}"), thousands(*count));
        }
        row("states of one node", thousands(report.node_states as u64));
        row("turns computed", thousands(report.turns as u64));
        row("different messages", thousands(report.messages as u64));
        row(
            "most elections in a trace",
            report.elections_most.to_string(),
        );
        row("most entries committed", report.committed_most.to_string());
        let wall = format!(
            "{:.1} s, {} states a second",
            self.wall.as_secs_f64(),
            thousands(self.states_a_second())
        );
        row("wall time", wall);
        if let Some(peak) = peak_bytes() {
            row("memory at most", format!("{} MiB", thousands(peak / MIB)));
        }
        write!(f, "{table}")
    }
}

fn bounds_text(bounds: &Bounds) -> String {
    let counts = [
        (bounds.timeouts, "election timeouts"),
        (bounds.heartbeats, "heartbeats"),
        (bounds.proposals, "proposals"),
        (bounds.crashes, "crashes"),
        (bounds.transfers, "transfers"),
        (bounds.changes, "changes of membership"),
    ];
    let switches = [
        (bounds.slow_disks, "slow disks"),
        (bounds.slow_machines, "slow state machines"),
        (bounds.snapshots, "snapshots"),
        (bounds.pre_votes, "pre-votes as messages"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let switches = switches.into_iter().filter(|(is_on, _)| *is_on);
    let mut parts = vec![format!("{} nodes", bounds.nodes)];
    parts.extend(counts.map(|(count, what)| format!("{count} {what}")));
    parts.extend(switches.map(|(_, what)| what.to_owned()));
    parts.join(", ")
}

/// The most memory that this process has used, where the system tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024)
}
