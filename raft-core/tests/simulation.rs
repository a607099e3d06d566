//! Lives of whole clusters, each from a seed.
//!
//! `SIM_SEEDS=FROM..TO cargo test -p raft-core --features sim --test simulation` runs other seeds;
//! a failure prints its own.

use std::env;
use std::ops::Range;

use raft_core::sim::{self, Report, Situation};

/// Seeds that once found something, with what it was.
const PAST: &str = include_str!("seeds.txt");

fn seeds() -> Range<u64> {
    let Ok(text) = env::var("SIM_SEEDS") else {
        return 0..150;
    };
    let (from, to) = text.split_once("..").expect("SIM_SEEDS is FROM..TO");
    from.parse().expect("FROM is a number")..to.parse().expect("TO is a number")
}

#[expect(clippy::panic, reason = "every test fails in these words")]
fn live(seed: u64) -> Report {
    sim::life(seed).unwrap_or_else(|violation| {
        panic!(
            "{violation}\nreplay: cargo run --release -p raft-examples --bin simulate -- replay \
             {seed} --html seed-{seed}.html"
        )
    })
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut total = Report::default();
    for seed in seeds() {
        total.add(&live(seed));
    }
    println!("{total:#?}");
    // A run in which nothing happened proves nothing.
    assert!(total.elections > total.nodes && total.writes > 100 && total.reads > 100);
    assert!(total.faults() > 100);
    for situation in [
        Situation::LeaderCrashedWithUncommitted,
        Situation::SuffixTruncated,
        Situation::SnapshotInstalled,
        Situation::JointEntered,
        Situation::FollowerRead,
    ] {
        assert!(
            !total.situations.unmet().contains(&situation),
            "never met: {situation}"
        );
    }
}

#[test]
fn seeds_that_once_failed_are_sound_today() {
    let lines = PAST.lines().filter(|line| !line.starts_with('#'));
    let mut seeds = 0;
    for line in lines {
        let (seed, reason) = line.split_once(' ').expect("SEED REASON");
        assert!(!reason.trim().is_empty(), "seed {seed} needs a reason");
        live(seed.parse().expect("SEED is a number"));
        seeds += 1;
    }
    assert!(seeds > 0);
}

#[test]
fn the_same_seed_gives_the_same_life_and_a_story_changes_nothing() {
    let seed = 5_000_094;
    let (told, silent) = (sim::replay_life(seed), live(seed));
    let report = told.outcome.expect("a sound life");
    assert_eq!(format!("{report:?}"), format!("{silent:?}"));
    assert!(!told.story.lines.is_empty() && !told.story.arrows.is_empty());
}
