//! Lives of whole clusters, each from a seed.
//!
//! `SIM_SEEDS=FROM..TO cargo test -p raft-core --features sim --test simulation` runs other seeds;
//! a failure prints its own.

use std::env;
use std::ops::Range;

use raft_core::sim::{self, Report};

fn seeds() -> Range<u64> {
    let Ok(text) = env::var("SIM_SEEDS") else {
        return 0..150;
    };
    let (from, to) = text.split_once("..").expect("SIM_SEEDS is FROM..TO");
    from.parse().expect("FROM is a number")..to.parse().expect("TO is a number")
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut total = Report::default();
    for seed in seeds() {
        match sim::run(seed) {
            Ok(report) => total.add(&report),
            Err(violation) => panic!(
                "{violation}\nreplay: SIM_SEEDS={seed}..{} cargo test -p raft-core --features sim \
                 --test simulation",
                seed + 1
            ),
        }
    }
    println!("{total:#?}");
    // A run in which nothing happened proves nothing.
    assert!(total.elections > total.nodes && total.writes > 100 && total.reads > 100);
    for situation in [
        "crashes",
        "partitions",
        "conflicting suffixes truncated",
        "snapshots restored",
    ] {
        assert!(
            total.counts.contains_key(situation),
            "never met: {situation}"
        );
    }
}
