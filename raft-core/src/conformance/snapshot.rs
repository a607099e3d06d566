//! Properties of a snapshot store.

use std::ops::Range;
use std::slice;
use std::sync::Arc;

use super::Backend;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::membership::Membership;
use crate::snapshot::{Kept, SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotSink, StoreError, Stores};
use crate::time::ClusterTime;

/// A test for each property of a [`SnapshotStore`](crate::store::SnapshotStore). `$backend` makes a new,
/// empty [`Backend`].
#[macro_export]
macro_rules! snapshot_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { snapshot, $backend, [
            a_new_store_has_no_snapshots,
            a_finished_snapshot_is_read_back_and_outlives_reopening,
            an_empty_snapshot_is_read_back,
            an_unfinished_snapshot_is_invisible_and_leaves_nothing,
            the_newest_snapshot_comes_first,
            finishing_the_same_snapshot_again_replaces_it,
            two_snapshots_may_be_written_at_once,
            retention_keeps_the_newest_and_never_none,
            retention_leaves_alone_what_is_newer_than_it_was_told_of,
            a_received_snapshot_that_was_cut_off_is_gone_on_with,
            what_was_kept_of_another_snapshot_is_not_gone_on_with,
            a_received_part_that_is_discarded_is_gone,
            a_second_attempt_does_not_mix_with_the_first,
            a_reader_that_starts_later_gives_the_rest,
            a_snapshot_that_is_not_there_is_misuse,
            an_open_reader_reads_on_after_removal,
        ] }
    };
}

/// Nothing is listed.
pub fn a_new_store_has_no_snapshots(backend: &mut dyn Backend) {
    assert_eq!(list(&backend.open()), []);
}

/// Description and bytes are as they were written.
pub fn a_finished_snapshot_is_read_back_and_outlives_reopening(backend: &mut dyn Backend) {
    let stores = backend.open();
    let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let meta = write(&stores, 9, &data);
    assert_eq!(meta.header, header(9));
    assert_eq!(meta.size, data.len() as u64);
    assert_eq!(meta.checksum, crc32c::crc32c(&data));
    drop(stores);
    let stores = backend.open();
    assert_eq!(list(&stores), slice::from_ref(&meta));
    assert_eq!(read(&stores, &meta), data);
}

/// A state machine may have nothing to say.
pub fn an_empty_snapshot_is_read_back(backend: &mut dyn Backend) {
    let stores = backend.open();
    let meta = write(&stores, 1, &[]);
    assert_eq!(list(&stores), slice::from_ref(&meta));
    assert!(read(&stores, &meta).is_empty());
}

/// Neither while it is written, nor after it was given up, nor after reopening.
pub fn an_unfinished_snapshot_is_invisible_and_leaves_nothing(backend: &mut dyn Backend) {
    let stores = backend.open();
    let mut sink = create(&stores, 5);
    sink.write_all(&[1; 100_000]).expect("write");
    assert_eq!(list(&stores), []);
    drop(sink);
    assert_eq!(list(&stores), []);
    drop(stores);
    assert_eq!(list(&backend.open()), []);
}

/// By index, not by the order of writing.
pub fn the_newest_snapshot_comes_first(backend: &mut dyn Backend) {
    let stores = backend.open();
    for index in [20, 100, 3] {
        write(&stores, index, b"x");
    }
    assert_eq!(indexes(&stores), [100, 20, 3]);
}

/// The later one counts.
pub fn finishing_the_same_snapshot_again_replaces_it(backend: &mut dyn Backend) {
    let stores = backend.open();
    write(&stores, 7, b"the first");
    let second = write(&stores, 7, b"the second one");
    assert_eq!(list(&stores), slice::from_ref(&second));
    assert_eq!(read(&stores, &second), b"the second one");
}

/// Also two of the same entry: one taken here, one received from the leader.
pub fn two_snapshots_may_be_written_at_once(backend: &mut dyn Backend) {
    let stores = backend.open();
    let mut first = create(&stores, 4);
    let mut second = create(&stores, 4);
    let mut third = create(&stores, 6);
    for (sink, byte) in [(&mut first, 1_u8), (&mut second, 2), (&mut third, 3)] {
        sink.write_all(&[byte; 5000]).expect("write");
    }
    first.finish().expect("finish");
    let third = third.finish().expect("finish");
    let second = second.finish().expect("finish");
    assert_eq!(list(&stores), [third.clone(), second.clone()]);
    assert_eq!(read(&stores, &second), [2; 5000]);
    assert_eq!(read(&stores, &third), [3; 5000]);
}

/// Zero means one: a log that was purged cannot be without its snapshot.
pub fn retention_keeps_the_newest_and_never_none(backend: &mut dyn Backend) {
    let stores = backend.open();
    for index in 1..=5 {
        write(&stores, index, b"x");
    }
    for (keep, left) in [(9, &[5, 4, 3, 2, 1][..]), (2, &[5, 4]), (0, &[5])] {
        retain(&stores, keep, u64::MAX);
        assert_eq!(indexes(&stores), left);
    }
    drop(stores);
    assert_eq!(indexes(&backend.open()), [5]);
}

/// One of them may be about to be restored.
pub fn retention_leaves_alone_what_is_newer_than_it_was_told_of(backend: &mut dyn Backend) {
    let stores = backend.open();
    for index in 1..=5 {
        write(&stores, index, b"x");
    }
    retain(&stores, 1, 3);
    assert_eq!(indexes(&stores), [5, 4, 3]);
    retain(&stores, 2, 4);
    assert_eq!(indexes(&stores), [5, 4, 3]);
    retain(&stores, 1, 4);
    assert_eq!(indexes(&stores), [5, 4]);
}

/// From what was kept, or from the beginning; also after the process has ended.
pub fn a_received_snapshot_that_was_cut_off_is_gone_on_with(backend: &mut dyn Backend) {
    let data = pattern(5_000_000);
    let meta = announced(8, &data);
    for cut in [0, 1, 1_234_567, 4_999_999, 5_000_000] {
        let mut stores = backend.open();
        let mut sink = stores.snapshots.receive(&meta).expect("receive");
        let from = check_kept(sink.as_ref(), &data);
        sink.write_all(part(&data, from..cut.max(from)))
            .expect("write");
        drop(sink);
        assert_eq!(list(&stores), [], "a part is not a snapshot");
        if cut % 2 == 1 {
            drop(stores);
            stores = backend.open();
            assert_eq!(list(&stores), [], "a part is not a snapshot");
        }
    }
    let stores = backend.open();
    let mut sink = stores.snapshots.receive(&meta).expect("receive");
    let from = check_kept(sink.as_ref(), &data);
    sink.write_all(rest(&data, from)).expect("write");
    assert_eq!(sink.finish().expect("finish"), meta);
    assert_eq!(list(&stores), slice::from_ref(&meta));
    assert_eq!(read(&stores, &meta), data);
}

/// Neither if it ends with another entry, nor if it has other bytes.
pub fn what_was_kept_of_another_snapshot_is_not_gone_on_with(backend: &mut dyn Backend) {
    let stores = backend.open();
    let data = pattern(3_000_000);
    let other: Vec<u8> = data.iter().map(|byte| byte ^ 1).collect();
    for (index, data) in [(8, &data), (8, &other), (9, &other), (8, &data)] {
        let meta = announced(index, data);
        let mut sink = stores.snapshots.receive(&meta).expect("receive");
        assert_eq!(sink.kept(), Kept::NOTHING);
        sink.write_all(part(data, 0..2_500_000)).expect("write");
    }
    let meta = announced(8, &data);
    let mut sink = stores.snapshots.receive(&meta).expect("receive");
    let from = check_kept(sink.as_ref(), &data);
    sink.write_all(rest(&data, from)).expect("write");
    sink.finish().expect("finish");
    assert_eq!(read(&stores, &meta), data);
}

/// Whoever found out that it is wrong must not find it again.
pub fn a_received_part_that_is_discarded_is_gone(backend: &mut dyn Backend) {
    let data = pattern(3_000_000);
    let meta = announced(8, &data);
    let stores = backend.open();
    let mut sink = stores.snapshots.receive(&meta).expect("receive");
    sink.write_all(part(&data, 0..2_000_000)).expect("write");
    sink.discard();
    let sink = stores.snapshots.receive(&meta).expect("receive");
    assert_eq!(sink.kept(), Kept::NOTHING);
    sink.discard();
    drop(stores);
    let stores = backend.open();
    let sink = stores.snapshots.receive(&meta).expect("receive");
    assert_eq!(sink.kept(), Kept::NOTHING);
}

/// A dead connection may be noticed after the next one has begun.
pub fn a_second_attempt_does_not_mix_with_the_first(backend: &mut dyn Backend) {
    let stores = backend.open();
    let data = pattern(3_000_000);
    let meta = announced(8, &data);
    let mut first = stores.snapshots.receive(&meta).expect("receive");
    first.write_all(part(&data, 0..2_000_000)).expect("write");
    let mut second = stores.snapshots.receive(&meta).expect("receive");
    let from = check_kept(second.as_ref(), &data);
    // Fails, or goes elsewhere.
    let _ = first.write_all(&[0; 100_000]);
    second.write_all(rest(&data, from)).expect("write");
    drop(first);
    second.finish().expect("finish");
    assert_eq!(read(&stores, &meta), data);
}

/// A receiver that has the first part is sent the rest, and the checks cover both.
pub fn a_reader_that_starts_later_gives_the_rest(backend: &mut dyn Backend) {
    let stores = backend.open();
    let data = pattern(700_000);
    let meta = write(&stores, 3, &data);
    for from in [0, 1, 300_000, 700_000] {
        let mut kept = Kept::NOTHING;
        kept.add(part(&data, 0..from));
        let (_, mut reader) = stores.snapshots.open(meta.id()).expect("open");
        let mut found = Vec::new();
        if reader.start_after(kept).expect("start") {
            reader.read_to_end(&mut found).expect("read");
            assert_eq!(found, rest(&data, from));
        }
    }
}

/// Asking for what is not listed is a mistake, not damage.
pub fn a_snapshot_that_is_not_there_is_misuse(backend: &mut dyn Backend) {
    let stores = backend.open();
    write(&stores, 3, b"x");
    let refused = stores.snapshots.open(header(4).last.id).err();
    assert!(
        matches!(refused, Some(StoreError::Misuse { .. })),
        "{refused:?}"
    );
}

/// A snapshot on its way to a follower is read to its end.
pub fn an_open_reader_reads_on_after_removal(backend: &mut dyn Backend) {
    let stores = backend.open();
    let old = write(&stores, 1, &[9; 700_000]);
    let (_, mut reader) = stores.snapshots.open(old.id()).expect("open");
    write(&stores, 2, b"newer");
    retain(&stores, 1, u64::MAX);
    assert_eq!(indexes(&stores), [2]);
    let mut data = Vec::new();
    reader.read_to_end(&mut data).expect("read");
    assert_eq!(data, [9; 700_000]);
}

pub(super) fn header(index: u64) -> SnapshotHeader {
    let membership = Membership::of_voters([(1, "a:7000"), (2, "b:7000"), (3, "c:7000")]);
    SnapshotHeader {
        last: ChainLink {
            id: LogId::new(Term::new(2), LogIndex::new(index)),
            checksum: 0xfeed,
        },
        time: ClusterTime::from_micros(index * 1000),
        membership: Arc::new(membership.expect("three voters")),
        membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
    }
}

pub(super) fn pattern(bytes: usize) -> Vec<u8> {
    let numbers = (0_u64..).flat_map(|number| (number * number).to_le_bytes());
    numbers.take(bytes).collect()
}

pub(super) fn part(data: &[u8], range: Range<usize>) -> &[u8] {
    data.get(range).expect("a part")
}

pub(super) fn rest(data: &[u8], from: usize) -> &[u8] {
    data.get(from..).expect("a rest")
}

pub(super) fn announced(index: u64, data: &[u8]) -> SnapshotMeta {
    SnapshotMeta {
        header: header(index),
        size: data.len() as u64,
        checksum: crc32c::crc32c(data),
    }
}

/// What is kept must be the beginning of what was written. Returns where it ends.
pub(super) fn check_kept(sink: &dyn SnapshotSink, data: &[u8]) -> usize {
    let mut expected = Kept::NOTHING;
    let end = usize::try_from(sink.kept().size).expect("a length");
    expected.add(part(data, 0..end));
    assert_eq!(sink.kept(), expected);
    end
}

pub(super) fn retain(stores: &Stores, keep: usize, through: u64) {
    let through = LogIndex::new(through);
    stores.snapshots.retain(keep, through).expect("retain");
}

pub(super) fn create(stores: &Stores, index: u64) -> Box<dyn SnapshotSink> {
    stores.snapshots.create(&header(index)).expect("create")
}

pub(super) fn write(stores: &Stores, index: u64, data: &[u8]) -> SnapshotMeta {
    let mut sink = create(stores, index);
    sink.write_all(data).expect("write");
    sink.finish().expect("finish")
}

pub(super) fn read(stores: &Stores, meta: &SnapshotMeta) -> Vec<u8> {
    let (opened, mut reader) = stores.snapshots.open(meta.id()).expect("open");
    assert_eq!(opened, *meta);
    let mut data = Vec::new();
    reader.read_to_end(&mut data).expect("read");
    data
}

pub(super) fn list(stores: &Stores) -> Vec<SnapshotMeta> {
    stores.snapshots.list().expect("list")
}

fn indexes(stores: &Stores) -> Vec<u64> {
    let listed = list(stores);
    listed.iter().map(|meta| meta.id().index.get()).collect()
}
