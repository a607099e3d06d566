//! The figures of many lives, as text and as JSON.

use std::fmt;
use std::time::Duration;

use raft_core::sim::{FAULTS, Report, Situation};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, OrFail};
use crate::terminal::{Table, thousands};

/// What was simulated, and what came of it.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) first_seed: u64,
    /// Lives that count.
    pub(super) seeds: u64,
    /// Lives in which too little happened.
    pub(super) weak: u64,
    pub(super) wall: Duration,
    pub(super) total: Report,
    /// Simulated seconds a second under a light load.
    pub(super) light: Option<f64>,
}

/// A shorter run may miss a rare situation by chance.
const LONG_RUN: Duration = Duration::from_secs(20 * 3_600);

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3_600.0
}

impl Figures {
    fn hours(&self) -> f64 {
        hours(self.total.time)
    }

    /// Simulated seconds a second.
    fn ratio(&self) -> f64 {
        self.total.time.as_secs_f64() / self.wall.as_secs_f64().max(1e-9)
    }

    fn count(&self, name: &str) -> u64 {
        self.total.counts.get(name).copied().unwrap_or(0)
    }

    fn situations_met(&self) -> usize {
        Situation::ALL.len() - self.total.situations.unmet().len()
    }

    /// Fails if a long run has missed faults or situations that belong to every long run.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        if self.total.time < LONG_RUN {
            return Ok(());
        }
        let missed = FAULTS.iter().filter(|name| self.count(name) == 0);
        let missed: Vec<&str> = missed.copied().collect();
        if !missed.is_empty() {
            return Err(Failure::new(format!(
                "so long a run must have every kind of fault, but it never had: {}",
                missed.join(", ")
            )));
        }
        let unmet = self.total.situations.unmet();
        if unmet.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = unmet.iter().map(|situation| situation.text()).collect();
        Err(Failure::new(format!(
            "so long a run must meet every situation, but it never met: {}",
            names.join("; ")
        )))
    }

    /// For programs.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let faults: Map<String, Value> = FAULTS
            .iter()
            .map(|name| ((*name).to_owned(), json!(self.count(name))))
            .collect();
        let situations = self.total.situations.counts();
        let situations: Map<String, Value> = situations
            .map(|(situation, count)| (situation.text().to_owned(), json!(count)))
            .collect();
        let whole = json!({
            "first_seed": self.first_seed,
            "seeds": self.seeds,
            "weak_seeds": self.weak,
            "cluster_hours": self.hours(),
            "faulty_cluster_hours": hours(self.total.faulty_time),
            "wall_seconds": self.wall.as_secs_f64(),
            "simulated_to_wall": self.ratio(),
            "simulated_to_wall_light": self.light,
            "steps": self.total.steps,
            "commits": self.total.committed,
            "writes": self.total.writes,
            "reads": self.total.reads,
            "elections": self.total.elections,
            "faults": faults,
            "situations_met": self.situations_met(),
            "situations": situations,
            "optimised": !cfg!(debug_assertions),
        });
        serde_json::to_string_pretty(&whole).or_fail(|| "cannot write the figures".into())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::plain();
        let total = &self.total;
        table.row(["cluster-hours".to_owned(), format!("{:.2}", self.hours())]);
        let faulty = format!("{:.2}", hours(total.faulty_time));
        table.row(["  while faults go on".to_owned(), faulty]);
        let seeds = format!(
            "{} from {} on ({} weak ones not counted)",
            thousands(self.seeds),
            self.first_seed,
            thousands(self.weak)
        );
        table.row(["seeds".to_owned(), seeds]);
        let wall = format!(
            "{:.1} s, {:.0} simulated seconds a second",
            self.wall.as_secs_f64(),
            self.ratio()
        );
        table.row(["wall time".to_owned(), wall]);
        if let Some(light) = self.light {
            let ratio = format!("{light:.0} simulated seconds a second, on one core");
            table.row(["three nodes, light load".to_owned(), ratio]);
        }
        for (name, count) in [
            ("steps", total.steps),
            ("commits", total.committed),
            ("writes acknowledged", total.writes),
            ("reads answered", total.reads),
            ("elections", total.elections),
            ("faults", total.faults()),
        ] {
            table.row([name.to_owned(), thousands(count)]);
        }
        for name in FAULTS {
            table.row([format!("  {name}"), thousands(self.count(name))]);
        }
        let met = format!("{} of {} met", self.situations_met(), Situation::ALL.len());
        table.row(["situations".to_owned(), met]);
        for (situation, count) in total.situations.counts() {
            table.row([format!("  {situation}"), thousands(count)]);
        }
        write!(f, "{table}")
    }
}
