//! Snapshots of a process that is killed: see [`super::kill`].

use std::collections::BTreeSet;
use std::path::Path;

use rand_core::SeedableRng;
use rand_pcg::Pcg64;

use super::history::below;
use super::kill::{Moment, Order, Report, STEPS_MAX, report};
use super::snapshot::{announced, check_kept, create, list, pattern, read, rest, retain};
use crate::store::Stores;

/// Written ones and received ones, one process after the other. What a killed process has received
/// is gone on with.
///
/// `test` is the path of the test that calls this, with the crate's name before it.
pub fn finished_snapshots_outlive_a_kill<D: AsRef<Path>>(
    test: &str,
    directory: impl FnOnce() -> D,
    open: &dyn Fn(&Path) -> Stores,
    cycles: u64,
) {
    if let Some(order) = Order::given() {
        return work(&order, open);
    }
    let directory = directory();
    let mut found = BTreeSet::new();
    let mut finished = 0;
    for cycle in 0..cycles {
        let order = Order::new(cycle, directory.as_ref());
        let moment = Moment::random(cycle);
        let steps_done = order.give(test, moment);
        let mut plan = Plan::after(order.seed, &found);
        let mut before = found;
        for _ in 0..steps_done {
            plan.next().apply(&mut before);
        }
        let (last, mut after) = (plan.next(), before.clone());
        last.apply(&mut after);
        let stores = open(directory.as_ref());
        found = check_listed(&stores);
        let certain: BTreeSet<u64> = before.intersection(&after).copied().collect();
        let possible = &before | &BTreeSet::from([last.index]);
        assert!(
            found.is_superset(&certain) && found.is_subset(&possible),
            "cycle {cycle}, killed {moment}: found are {found:?}, expected {before:?} or {after:?}"
        );
        finished += steps_done;
    }
    assert!(
        finished >= cycles,
        "{finished} snapshots in {cycles} cycles"
    );
}

/// What the child does.
fn work(order: &Order, open: &dyn Fn(&Path) -> Stores) {
    let stores = open(&order.directory);
    let mut plan = Plan::after(order.seed, &check_listed(&stores));
    for number in 1..=STEPS_MAX {
        report(Report::Begun, number);
        plan.next().act(&stores);
        report(Report::Done, number);
    }
}

/// One snapshot, and what is kept of the others then.
struct Step {
    index: u64,
    is_received: bool,
    keep: usize,
}

/// The same steps in the parent and in the child.
struct Plan {
    chance: Pcg64,
    index: u64,
}

impl Plan {
    fn after(seed: u64, listed: &BTreeSet<u64>) -> Self {
        Self {
            chance: Pcg64::seed_from_u64(seed),
            index: listed.last().copied().unwrap_or(0),
        }
    }

    fn next(&mut self) -> Step {
        self.index += 1;
        Step {
            index: self.index,
            is_received: below(&mut self.chance, 2) == 0,
            keep: 1 + below(&mut self.chance, 4),
        }
    }
}

impl Step {
    fn act(&self, stores: &Stores) {
        let data = data(self.index);
        let (mut sink, from) = match self.is_received {
            true => {
                let meta = announced(self.index, &data);
                let sink = stores.snapshots.receive(&meta).expect("receive");
                let from = check_kept(sink.as_ref(), &data);
                (sink, from)
            }
            false => (create(stores, self.index), 0),
        };
        for part in rest(&data, from).chunks(100_000) {
            sink.write_all(part).expect("write");
        }
        sink.finish().expect("finish");
        retain(stores, self.keep, self.index);
    }

    fn apply(&self, listed: &mut BTreeSet<u64>) {
        listed.insert(self.index);
        while listed.len() > self.keep {
            listed.pop_first();
        }
    }
}

fn data(index: u64) -> Vec<u8> {
    let bytes = usize::try_from(index * 7_919_993 % 2_500_000).unwrap_or(0);
    pattern(bytes)
}

/// The indexes of the snapshots that are listed, each of which is whole. None is damaged.
fn check_listed(stores: &Stores) -> BTreeSet<u64> {
    let damaged = stores.snapshots.damaged().expect("what is damaged");
    assert!(damaged.is_empty(), "{damaged:?}");
    let listed = list(stores).into_iter();
    let checked = listed.map(|meta| {
        let index = meta.id().index.get();
        assert_eq!(meta, announced(index, &data(index)));
        assert!(
            read(stores, &meta) == data(index),
            "snapshot {index} has other bytes"
        );
        index
    });
    checked.collect()
}
