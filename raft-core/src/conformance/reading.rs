//! Properties of a log's readers.

#![expect(clippy::indexing_slicing, reason = "a property that fails panics")]

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use rand_core::SeedableRng;
use rand_pcg::Pcg64;

use super::calls::{append, bounds, filled, last_link, purge, read, sync, truncate};
use super::history::below;
use super::{Backend, command, entries_after, sized};
use crate::entry::Entry;
use crate::id::{ChainLink, LogIndex};
use crate::store::{LogBounds, LogReader, StoreError, Stores};

/// The limit counts records, and one entry always passes.
pub fn a_read_gives_at_least_one_entry_within_its_bytes(backend: &mut dyn Backend) {
    let mut stores = backend.open();
    let mut entries: Vec<Entry> = Vec::new();
    for bytes in [10, 2_000, 30, 30, 30] {
        let last = entries.last().map_or(ChainLink::ORIGIN, Entry::link);
        entries.push(sized(last, 1, bytes));
    }
    append(&mut stores, &entries);
    sync(&mut stores);
    let record = |at: usize| entries[at].record_bytes();
    for (from, bytes_max, count) in [
        (1, 0, 1),
        (2, 0, 1),
        (2, 1, 1),
        (3, record(2) + record(3), 2),
        (3, record(2) + record(3) - 1, 1),
        (1, record(0) + record(1), 2),
        (1, usize::MAX, 5),
    ] {
        let expected = &entries[from - 1..from - 1 + count];
        let found = read(&stores, from as u64, 6, bytes_max).expect("entries are there");
        assert_eq!(found, expected, "from {from} within {bytes_max}");
    }
    let found = read(&stores, 2, 4, usize::MAX).expect("entries are there");
    assert_eq!(found, entries[1..3]);
}

/// A follower that is too far behind must be told apart from a mistake.
pub fn a_read_of_purged_entries_says_so(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 6);
    purge(&mut stores, entries[2].link());
    sync(&mut stores);
    for from in [1, 3] {
        let refused = read(&stores, from, 5, usize::MAX);
        assert!(
            matches!(refused, Err(StoreError::Purged { .. })),
            "{refused:?}"
        );
    }
}

/// A store never answers with fewer entries in silence.
pub fn a_read_beyond_the_end_is_misuse(backend: &mut dyn Backend) {
    let (stores, _) = filled(backend, 3);
    for (from, to) in [(4, 5), (2, 6)] {
        let refused = read(&stores, from, to, usize::MAX);
        assert!(
            matches!(refused, Err(StoreError::Misuse { .. })),
            "{refused:?}"
        );
    }
}

/// A reader that was opened earlier sees what changed, and says what is gone.
pub fn a_reader_goes_on_during_truncation_and_purge(backend: &mut dyn Backend) {
    let (mut stores, old) = filled(backend, 10);
    let mut reader = stores.log.reader().expect("open a reader");
    let mut read = |from: u64, to: u64| {
        let range = LogIndex::new(from)..LogIndex::new(to);
        reader.read(range, usize::MAX)
    };
    assert_eq!(read(1, 11).expect("all is there"), old);
    truncate(&mut stores, 7);
    let new = entries_after(old[5].link(), 2, 3);
    append(&mut stores, &new);
    sync(&mut stores);
    assert_eq!(read(7, 10).expect("the new term"), new);
    assert_eq!(read(5, 7).expect("the old term"), old[4..6]);
    purge(&mut stores, old[4].link());
    sync(&mut stores);
    assert_eq!(read(6, 8).expect("both"), [old[5].clone(), new[0].clone()]);
    assert!(matches!(read(5, 7), Err(StoreError::Purged { .. })));
}

/// Reads during writes give entries of the log as it was at some moment, or say that they were
/// purged, or that they are not there. Every round waits for reads that have met it.
pub fn readers_see_whole_entries_while_another_thread_writes(backend: &mut dyn Backend) {
    let (mut stores, entries) = filled(backend, 40);
    let readers = [(); 2].map(|()| stores.log.reader().expect("open a reader"));
    let (report, reported) = mpsc::sync_channel(0);
    thread::scope(|scope| {
        for (number, reader) in (0_u64..).zip(readers) {
            let (report, entries) = (report.clone(), &entries);
            scope.spawn(move || read_until_told(reader, number, entries, &report));
        }
        drop(report);
        write_rounds(&mut stores, &entries, &reported);
        drop(reported);
    });
}

const ROUNDS: usize = 25;
/// Entries from here on are replaced in each round.
const REPLACED_FROM: usize = 35;
const REPLACED_COUNT: usize = 6;

fn write_rounds(stores: &mut Stores, entries: &[Entry], reported: &Receiver<()>) {
    let wait = || {
        for _ in 0..2 {
            reported.recv().expect("no reader has failed");
        }
    };
    for round in 1..=ROUNDS {
        truncate(stores, REPLACED_FROM as u64);
        wait();
        append(stores, &suffix(entries, round));
        wait();
        if let Some(purged) = entries.get(round / 2) {
            purge(stores, purged.link());
        }
        sync(stores);
        wait();
    }
}

fn suffix(entries: &[Entry], round: usize) -> Vec<Entry> {
    let last = entries[REPLACED_FROM - 2].link();
    entries_after(last, 1 + round as u64, REPLACED_COUNT)
}

/// Reads here and there, until nobody wants a report any more.
fn read_until_told(
    mut reader: Box<dyn LogReader>,
    number: u64,
    entries: &[Entry],
    report: &SyncSender<()>,
) {
    let chance = &mut Pcg64::seed_from_u64(number);
    while report.send(()).is_ok() {
        let from = 1 + below(chance, 40);
        let to = (from + 1 + below(chance, 10)).min(41);
        let bytes_max = if below(chance, 2) == 0 {
            200
        } else {
            usize::MAX
        };
        match reader.read(
            LogIndex::new(from as u64)..LogIndex::new(to as u64),
            bytes_max,
        ) {
            Ok(found) => check_read(&found, from, to, entries),
            Err(StoreError::Purged { purged, .. }) => {
                let purged = usize::try_from(purged.get()).expect("an index");
                let at = format!("{from} was not purged, at most {purged} was");
                assert!(from <= purged && purged <= 1 + ROUNDS / 2, "{at}");
            }
            Err(StoreError::Misuse { .. }) => {
                assert!(to > REPLACED_FROM, "{from} to {to} was there all the time");
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}

/// What does not change is as it was, and the rest is of one round.
fn check_read(found: &[Entry], from: usize, to: usize, entries: &[Entry]) {
    let end = from + found.len();
    assert!(from < end && end <= to, "{from} to {to}: {found:?}");
    for (index, entry) in (from..).zip(found) {
        let round = usize::try_from(entry.term().get() - 1).expect("a round");
        let expected = match index < REPLACED_FROM || round == 0 {
            true => entries[index - 1].clone(),
            false => suffix(entries, round)[index - REPLACED_FROM].clone(),
        };
        assert_eq!(*entry, expected, "entry {index}");
    }
    for pair in found.windows(2) {
        let what = "entries of two rounds in one read";
        assert!(pair[1].follows(pair[0].link()), "{what}: {found:?}");
    }
}

/// As many entries as [`Backend::long_log_entries`] says, by default a million.
pub fn a_long_log_is_kept_and_found(backend: &mut dyn Backend) {
    const BATCH: usize = 5_000;
    let count = backend.long_log_entries();
    let mut links = vec![ChainLink::ORIGIN];
    let mut stores = backend.open();
    while links.len() <= count {
        let wanted = BATCH.min(count + 1 - links.len());
        let entries = entries_after(links[links.len() - 1], 1, wanted);
        append(&mut stores, &entries);
        sync(&mut stores);
        links.extend(entries.iter().map(Entry::link));
    }
    drop(stores);
    let mut stores = backend.open();
    check_long(&stores, &links, 0);
    let cut = count - count / 10;
    truncate(&mut stores, cut as u64 + 1);
    links.truncate(cut + 1);
    let more = entries_after(links[cut], 2, 10);
    append(&mut stores, &more);
    purge(&mut stores, links[count / 2]);
    sync(&mut stores);
    drop(stores);
    let stores = backend.open();
    let last = last_link(&more);
    let purged = links[count / 2];
    assert_eq!(bounds(&stores), LogBounds { purged, last });
    let found = read(&stores, cut as u64 + 1, cut as u64 + 11, usize::MAX);
    assert_eq!(found.expect("the new suffix"), more);
    check_some(&stores, &links, count / 2);
}

fn check_long(stores: &Stores, links: &[ChainLink], purged: usize) {
    let last = links[links.len() - 1];
    let purged_link = links[purged];
    let expected = LogBounds {
        purged: purged_link,
        last,
    };
    assert_eq!(bounds(stores), expected);
    check_some(stores, links, purged);
}

/// The first entries after the purged ones, the last, and some in between.
fn check_some(stores: &Stores, links: &[ChainLink], purged: usize) {
    let chance = &mut Pcg64::seed_from_u64(links.len() as u64);
    let count = links.len() - 1 - purged;
    let mut reader = stores.log.reader().expect("open a reader");
    let ends = [purged + 1, links.len() - 1];
    let between = (0..200).map(|_| purged + 1 + below(chance, count));
    for from in ends.into_iter().chain(between) {
        let to = (from + 9).min(links.len());
        let range = LogIndex::new(from as u64)..LogIndex::new(to as u64);
        let found = reader.read(range, usize::MAX).expect("entries are there");
        let expected = (from..to).map(|index| command(links[index - 1], 1));
        assert_eq!(found, expected.collect::<Vec<_>>(), "from {from}");
    }
}
