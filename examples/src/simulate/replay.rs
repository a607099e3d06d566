//! One seed again, as a log and as a page.

use std::fs;
use std::time::Duration;

use raft_core::sim::{self, Story};
use raft_core::time::Timestamp;

use super::options::ReplayOptions;
use super::page::page;
use super::violated;
use crate::failure::{Failure, OrFail};
use crate::terminal::{complain, say};

/// Runs the seed, prints its log, and writes its page. Fails if the seed breaks a promise.
pub(super) fn run(options: &ReplayOptions) -> Result<(), Failure> {
    let replay = sim::replay_life(options.seed);
    say(format_args!("{:#?}", replay.plan));
    let from = window(options, &replay.story);
    for line in replay.story.lines.iter().filter(|line| line.at >= from) {
        say(format_args!("{line}"));
    }
    let ending = match &replay.outcome {
        Ok(report) => format!("no violation: {} entries committed", report.committed),
        Err(violation) => format!("{}: {}", violation.property, violation.detail),
    };
    if let Some(file) = &options.html {
        let text = page(
            options.seed,
            (&ending, replay.outcome.is_err()),
            &replay.story,
            from,
        )?;
        fs::write(file, text).or_fail(|| format!("cannot write {}", file.display()))?;
        complain(format_args!("the page is {}", file.display()));
    }
    match replay.outcome {
        Ok(_) => {
            say(format_args!("seed {}: {ending}", options.seed));
            Ok(())
        }
        Err(violation) => Err(violated(&violation)),
    }
}

/// Where what is shown begins.
fn window(options: &ReplayOptions, story: &Story) -> Timestamp {
    let end = story.lines.back().map_or(Timestamp::ZERO, |line| line.at);
    if options.all {
        return Timestamp::ZERO;
    }
    end.before(Duration::try_from_secs_f64(options.last).unwrap_or(Duration::MAX))
}
