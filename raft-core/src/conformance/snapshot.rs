//! Properties of a snapshot store.

use std::io::Read;
use std::slice;
use std::sync::Arc;

use super::Backend;
use crate::id::{ChainLink, LogId, LogIndex, Term};
use crate::membership::Membership;
use crate::snapshot::{SnapshotHeader, SnapshotMeta};
use crate::store::{SnapshotSink, StoreError, Stores};
use crate::time::ClusterTime;

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
    assert_eq!(read(&stores, &meta), []);
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
        stores.snapshots.retain(keep).expect("retain");
        assert_eq!(indexes(&stores), left);
    }
    drop(stores);
    assert_eq!(indexes(&backend.open()), [5]);
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
    stores.snapshots.retain(1).expect("retain");
    assert_eq!(indexes(&stores), [2]);
    let mut data = Vec::new();
    reader.read_to_end(&mut data).expect("read");
    assert_eq!(data, [9; 700_000]);
}

fn header(index: u64) -> SnapshotHeader {
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

fn create(stores: &Stores, index: u64) -> Box<dyn SnapshotSink> {
    stores.snapshots.create(&header(index)).expect("create")
}

fn write(stores: &Stores, index: u64, data: &[u8]) -> SnapshotMeta {
    let mut sink = create(stores, index);
    sink.write_all(data).expect("write");
    sink.finish().expect("finish")
}

fn read(stores: &Stores, meta: &SnapshotMeta) -> Vec<u8> {
    let (opened, mut reader) = stores.snapshots.open(meta.id()).expect("open");
    assert_eq!(opened, *meta);
    let mut data = Vec::new();
    reader.read_to_end(&mut data).expect("read");
    data
}

fn list(stores: &Stores) -> Vec<SnapshotMeta> {
    stores.snapshots.list().expect("list")
}

fn indexes(stores: &Stores) -> Vec<u64> {
    let listed = list(stores);
    listed.iter().map(|meta| meta.id().index.get()).collect()
}
