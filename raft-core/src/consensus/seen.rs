//! Numbers that were seen, however they are repeated and reordered. Knows no Raft.

use std::collections::BTreeMap;

/// A set of numbers that mostly follow each other: runs, by their first number, with what follows
/// the last. Takes little memory, however many numbers it holds.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Seen {
    runs: BTreeMap<u64, u64>,
}

/// Beyond this many runs, the two that lie next to each other become one: what is missing between
/// them counts as seen.
const RUNS_MAX: usize = 256;

impl Seen {
    /// Adds a number. Whether it is new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let end = number.saturating_add(1);
        let before = self.runs.range(..=number).next_back();
        let before = before.map(|(first, end)| (*first, *end));
        if before.is_some_and(|(_, end)| number < end) {
            return false;
        }
        let first = match before {
            Some((first, end)) if end == number => first,
            Some(_) | None => number,
        };
        let end = self.runs.remove(&end).unwrap_or(end);
        self.runs.insert(first, end);
        if self.runs.len() > RUNS_MAX {
            self.join_nearest();
        }
        true
    }

    fn join_nearest(&mut self) {
        let pairs = self.runs.iter().zip(self.runs.iter().skip(1));
        let gaps = pairs.map(|((first, end), (next, last))| (next - end, *first, *next, *last));
        if let Some((_, first, next, last)) = gaps.min() {
            self.runs.remove(&next);
            self.runs.insert(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_new_once_in_any_order() {
        let mut seen = Seen::default();
        for number in [5, 3, 4, 9, 0, 7, 8, 6, 1, 2] {
            assert!(seen.insert(number), "{number}");
        }
        for number in 0..10 {
            assert!(!seen.insert(number), "{number}");
        }
        assert_eq!(seen.runs.len(), 1);
        assert!(seen.insert(10) && seen.insert(u64::MAX));
    }

    #[test]
    fn memory_is_bounded_and_what_was_seen_stays_seen() {
        let mut seen = Seen::default();
        let far = 1 << 60;
        for number in (0..2_000).map(|number| 2 * number).chain([far]) {
            assert!(seen.insert(number));
        }
        assert!(seen.runs.len() <= RUNS_MAX);
        assert!((0..2_000).all(|number| !seen.insert(2 * number)));
        assert!(seen.insert(far - 1), "only near gaps are given up");
    }
}
