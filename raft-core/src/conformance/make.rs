//! Entries to store.

use crate::entry::{Entry, Sealed};
use crate::id::{ChainLink, Term};
use crate::time::ClusterTime;

/// The entry after `previous`, in `term`, with a payload of its own.
pub fn command(previous: ChainLink, term: u64) -> Entry {
    let text = format!("entry {} of term {term}", previous.id.index.next());
    entry(previous, term, Sealed::command(text))
}

/// The entry after `previous`, in `term`, with a payload of `bytes` bytes.
pub fn sized(previous: ChainLink, term: u64, bytes: usize) -> Entry {
    let seed = previous.id.index.get().wrapping_mul(0x9e37_79b9) ^ term;
    let [first, second, ..] = seed.to_le_bytes();
    let payload: Vec<u8> = [first, second, 3].into_iter().cycle().take(bytes).collect();
    entry(previous, term, Sealed::command(payload))
}

/// `count` entries after `previous`, all in `term`.
pub fn entries_after(previous: ChainLink, term: u64, count: usize) -> Vec<Entry> {
    let mut last = previous;
    let next = |_| {
        let entry = command(last, term);
        last = entry.link();
        entry
    };
    (0..count).map(next).collect()
}

fn entry(previous: ChainLink, term: u64, sealed: Sealed) -> Entry {
    let time = ClusterTime::from_micros(previous.id.index.get());
    Entry::new(previous, Term::new(term), time, sealed)
}
