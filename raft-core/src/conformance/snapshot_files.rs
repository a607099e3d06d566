//! Properties of snapshots on files: what is copied, damaged or cut short.

use super::files::{Damaged, FileBackend, cuts, flips};
use super::medium::Files;
use super::snapshot::{announced, check_kept, create, list, part, pattern, read, rest, write};
use crate::snapshot::SnapshotMeta;
use crate::store::{StoreError, Stores};

/// A test for each property of snapshots on files. `$backend` makes a new, empty
/// [`FileBackend`].
#[macro_export]
macro_rules! snapshot_file_conformance {
    ($backend:expr) => {
        $crate::conformance_tests! { snapshot_files, $backend, [
            a_copy_taken_while_a_snapshot_is_written_does_not_show_it,
            a_copy_taken_while_a_snapshot_is_received_goes_on_with_it,
            a_flipped_byte_of_a_snapshot_is_noticed_before_it_is_used,
            a_snapshot_cut_short_is_noticed_before_it_is_used,
        ] }
    };
}

/// What a process leaves that is killed at any step of a snapshot: those before it, until it is
/// finished, and from then on all.
pub fn a_copy_taken_while_a_snapshot_is_written_does_not_show_it(backend: &mut dyn FileBackend) {
    let stores = backend.open();
    let old = write(&stores, 3, b"older");
    let mut sink = create(&stores, 8);
    for _ in 0..6 {
        assert_shows(backend, &[(&old, b"older")]);
        sink.write_all(&[7; 100_000]).expect("write");
    }
    sink.flush().expect("flush");
    assert_shows(backend, &[(&old, b"older")]);
    let new = sink.finish().expect("finish");
    assert_shows(backend, &[(&new, &[7; 600_000]), (&old, b"older")]);
    let again = write(&stores, 8, b"again");
    assert_shows(backend, &[(&again, b"again"), (&old, b"older")]);
}

/// The part is no snapshot, and whoever goes on with it has the whole in the end.
pub fn a_copy_taken_while_a_snapshot_is_received_goes_on_with_it(backend: &mut dyn FileBackend) {
    let stores = backend.open();
    let data = pattern(3_000_000);
    let meta = announced(8, &data);
    let mut sink = stores.snapshots.receive(&meta).expect("receive");
    let mut copies = vec![backend.files()];
    for part in data.chunks(700_000) {
        sink.write_all(part).expect("write");
        copies.push(backend.files());
    }
    for copy in &copies {
        let stores = open(backend, copy);
        assert_eq!(list(&stores), [], "a part is not a snapshot");
        let mut sink = stores.snapshots.receive(&meta).expect("receive");
        let from = check_kept(sink.as_ref(), &data);
        sink.write_all(rest(&data, from)).expect("write");
        sink.finish().expect("finish");
        assert_eq!(read(&stores, &meta), data);
    }
    sink.finish().expect("finish");
    assert_shows(backend, &[(&meta, part(&data, 0..data.len()))]);
}

/// Of the description and of the data: noticed, or harmless. Never other bytes, never fewer, and
/// never a snapshot that is silently not there.
pub fn a_flipped_byte_of_a_snapshot_is_noticed_before_it_is_used(backend: &mut dyn FileBackend) {
    let two = Two::written(backend);
    let damaged: Vec<Damaged> = flips(&two.files, 300).collect();
    two.examine_all(backend, damaged);
}

/// At any length.
pub fn a_snapshot_cut_short_is_noticed_before_it_is_used(backend: &mut dyn FileBackend) {
    let two = Two::written(backend);
    let damaged: Vec<Damaged> = cuts(&two.files, 300).collect();
    two.examine_all(backend, damaged);
}

const DATA: [&[u8]; 2] = [b"the state of the machine", b"and of another day"];

/// A closed store with two snapshots.
struct Two {
    /// The newer one first.
    metas: [SnapshotMeta; 2],
    /// Their files.
    files: Files,
    /// All others.
    others: Files,
}

impl Two {
    fn written(backend: &mut dyn FileBackend) -> Self {
        drop(backend.open());
        let others = backend.files();
        let stores = backend.open();
        let metas = [(9, 0), (5, 1)].map(|(index, at): (u64, usize)| {
            write(&stores, index, DATA.get(at).copied().unwrap_or_default())
        });
        drop(stores);
        let mut files = backend.files();
        let others = files.extract_if(.., |name, _| others.contains_key(name));
        let others = others.collect();
        Self {
            metas,
            files,
            others,
        }
    }

    fn examine_all(&self, backend: &mut dyn FileBackend, damaged: Vec<Damaged>) {
        let mut noticed = 0;
        for mut damaged in damaged {
            damaged.files.extend(self.others.clone());
            noticed += usize::from(!is_harmless(backend, &damaged, &self.metas));
        }
        assert!(noticed > 0, "no damage was noticed");
    }
}

fn is_harmless(
    backend: &mut dyn FileBackend,
    damaged: &Damaged,
    metas: &[SnapshotMeta; 2],
) -> bool {
    let stores = match backend.open_copy(&damaged.files) {
        Ok(stores) => stores,
        Err(error) => {
            assert_honest(damaged, &error);
            return false;
        }
    };
    let listed = list(&stores);
    let spoilt = stores.snapshots.damaged().expect("what is damaged");
    for error in &spoilt {
        assert_honest(damaged, error);
    }
    assert_eq!(
        listed.len() + spoilt.len(),
        2,
        "{damaged}: one is silently gone"
    );
    let mut is_harmless = spoilt.is_empty();
    for (meta, data) in metas.iter().zip(DATA) {
        if !listed.contains(meta) {
            continue;
        }
        let opened = stores.snapshots.open(meta.id());
        let Ok((_, mut reader)) = opened.map_err(|error| assert_honest(damaged, &error)) else {
            is_harmless = false;
            continue;
        };
        let mut found = Vec::new();
        match reader.read_to_end(&mut found) {
            Ok(_) => assert_eq!(found, data, "{damaged}"),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData,
                    "{damaged}: {error}"
                );
                is_harmless = false;
            }
        }
    }
    is_harmless
}

#[track_caller]
fn assert_honest(damaged: &Damaged, error: &StoreError) {
    let is_honest = match error {
        StoreError::Damaged { place, what, .. } => !place.is_empty() && !what.is_empty(),
        StoreError::Format { place, .. } => !place.is_empty(),
        StoreError::Io { .. }
        | StoreError::Purged { .. }
        | StoreError::Misuse { .. }
        | StoreError::InUse { .. }
        | StoreError::Moved { .. }
        | StoreError::Unfinished { .. }
        | StoreError::KeepsFailing { .. } => false,
    };
    assert!(
        is_honest,
        "{damaged}: `{error}` does not say what is damaged"
    );
}

#[track_caller]
fn open(backend: &mut dyn FileBackend, files: &Files) -> Stores {
    backend.open_copy(files).expect("a copy is opened")
}

#[track_caller]
fn assert_shows(backend: &mut dyn FileBackend, expected: &[(&SnapshotMeta, &[u8])]) {
    let files = backend.files();
    let stores = open(backend, &files);
    let metas: Vec<SnapshotMeta> = expected.iter().map(|(meta, _)| (*meta).clone()).collect();
    assert_eq!(list(&stores), metas);
    for (meta, data) in expected {
        assert_eq!(read(&stores, meta), *data);
    }
}
