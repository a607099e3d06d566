//! Random calls, checked against the simplest log that can be written down.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::calls::assert_log;
use super::history::below;
use super::{Backend, entries_after};
use crate::entry::Entry;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::store::Stores;

/// A few hundred appends, truncations, purges, syncs and reopenings.
pub fn random_calls_agree_with_a_simple_model(backend: &mut dyn Backend) {
    let mut chance = Pcg64::seed_from_u64(7);
    let mut model = Model::default();
    let mut stores = Some(backend.open());
    for step in 0..400_u64 {
        let mut open = stores.take().unwrap_or_else(|| backend.open());
        match chance.next_u64() % 16 {
            0..7 => model.append(&mut open, &mut chance, 1 + step / 20),
            7..10 => model.truncate(&mut open, &mut chance),
            10..13 => model.purge(&mut open, &mut chance),
            13..15 => {
                open.log.sync().expect("sync");
                assert_log(&open, model.purged, &model.entries);
            }
            _ => {
                open.log.sync().expect("sync");
                continue;
            }
        }
        let bounds = open.log.bounds().expect("the bounds");
        assert_eq!((bounds.purged, bounds.last), (model.purged, model.last()));
        stores = Some(open);
    }
}

#[derive(Default)]
struct Model {
    purged: ChainLink,
    entries: Vec<Entry>,
}

impl Model {
    fn last(&self) -> ChainLink {
        self.entries.last().map_or(self.purged, Entry::link)
    }

    fn append(&mut self, stores: &mut Stores, chance: &mut Pcg64, term: u64) {
        let count = below(chance, 9);
        let term = term.max(self.last().id.term.get());
        let entries = entries_after(self.last(), term, count);
        stores.log.append(&entries).expect("append");
        self.entries.extend(entries);
    }

    fn truncate(&mut self, stores: &mut Stores, chance: &mut Pcg64) {
        let at = below(chance, self.entries.len() + 2);
        let from = self.purged.id.index.plus(at as u64 + 1);
        stores.log.truncate_suffix(from).expect("truncate");
        self.entries.truncate(at);
    }

    fn purge(&mut self, stores: &mut Stores, chance: &mut Pcg64) {
        let at = below(chance, self.entries.len() + 3);
        let index = self.purged.id.index.plus(at as u64);
        let held = at.checked_sub(1).and_then(|at| self.entries.get(at));
        let through = match held {
            Some(entry) if below(chance, 6) > 0 => entry.link(),
            _ => stranger(index, self.last().id.term),
        };
        stores.log.purge_prefix(through).expect("purge");
        if at == 0 {
            return;
        }
        self.purged = through;
        if held.is_some_and(|entry| entry.link() == through) {
            self.entries.drain(..at);
        } else {
            self.entries.clear();
        }
    }
}

fn stranger(index: LogIndex, term: Term) -> ChainLink {
    ChainLink {
        id: LogId::new(term, index),
        checksum: 0xdead_beef,
    }
}
