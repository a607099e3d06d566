//! What a crash or a flipped bit does to a directory of snapshots.

use std::io::{Read, Write};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::id::ChainLink;
use crate::membership::Membership;
use crate::snapshot::Kept;
use crate::time::ClusterTime;

fn header(index: u64) -> SnapshotHeader {
    SnapshotHeader {
        last: ChainLink {
            id: LogId::new(Term::new(2), LogIndex::new(index)),
            checksum: 0xfeed,
        },
        time: ClusterTime::from_micros(index),
        membership: Arc::new(Membership::of_voters([(1, "a:7000"), (2, "b:7000")]).unwrap()),
        membership_at: LogId::new(Term::new(1), LogIndex::new(1)),
    }
}

fn write(store: &FileSnapshotStore, index: u64, data: &[u8]) -> SnapshotMeta {
    let mut sink = store.create(&header(index)).unwrap();
    sink.write_all(data).unwrap();
    sink.finish().unwrap()
}

fn read(store: &FileSnapshotStore, id: LogId) -> Result<Vec<u8>, String> {
    let (meta, mut reader) = store.open(id).map_err(|error| error.to_string())?;
    let mut data = Vec::new();
    reader.read_to_end(&mut data).map_err(|error| {
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        error.to_string()
    })?;
    assert_eq!(data.len() as u64, meta.size);
    Ok(data)
}

fn copy(from: &Path, to: &Path) {
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let listed = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = listed
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

#[test]
fn a_crash_while_writing_leaves_nothing_after_the_next_open() {
    let live = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(live.path()).unwrap();
    write(&store, 3, b"older");
    let mut sink = store.create(&header(8)).unwrap();
    for step in 0..4 {
        sink.write_all(&[step; 300]).unwrap();
        sink.flush().unwrap();
        let crashed = TempDir::new().unwrap();
        copy(live.path(), crashed.path());
        assert_eq!(names(crashed.path()).len(), 2);
        let store = FileSnapshotStore::open(crashed.path()).unwrap();
        let listed = store.list().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(read(&store, listed[0].id()).unwrap(), b"older");
        assert_eq!(names(crashed.path()).len(), 1);
    }
}

#[test]
fn a_file_aside_is_absent_at_every_length_and_complete_under_its_name() {
    let live = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(live.path()).unwrap();
    let meta = write(&store, 5, b"all of it");
    let whole = fs::read(store.directory.finished_path(meta.id())).unwrap();
    for length in 0..=whole.len() {
        let crashed = TempDir::new().unwrap();
        let aside = format!("{}.0{UNFINISHED}", stem(meta.id()));
        fs::write(crashed.path().join(aside), &whole[..length]).unwrap();
        let store = FileSnapshotStore::open(crashed.path()).unwrap();
        assert_eq!(store.list().unwrap(), []);
        assert_eq!(names(crashed.path()), [""; 0]);
    }
    let renamed = TempDir::new().unwrap();
    fs::write(renamed.path().join(finished_name(meta.id())), &whole).unwrap();
    let store = FileSnapshotStore::open(renamed.path()).unwrap();
    assert_eq!(store.list().unwrap(), std::slice::from_ref(&meta));
    assert_eq!(read(&store, meta.id()).unwrap(), b"all of it");
}

#[test]
fn every_flipped_byte_and_every_cut_is_damage() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let meta = write(&store, 5, b"the state of the machine");
    let path = store.directory.finished_path(meta.id());
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, &flipped).unwrap();
        let error = read(&store, meta.id()).unwrap_err();
        assert!(error.contains("damaged at"), "byte {at}: {error}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(store.list().unwrap(), [], "length {length}");
        assert_eq!(store.damaged().unwrap().len(), 1, "length {length}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(read(&store, meta.id()).is_ok());
}

#[test]
fn a_reader_of_exactly_the_size_is_told_of_damage() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let meta = write(&store, 5, &[1; 4096]);
    let path = store.directory.finished_path(meta.id());
    let mut whole = fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    whole[middle] ^= 1;
    fs::write(&path, whole).unwrap();
    let (_, mut reader) = store.open(meta.id()).unwrap();
    let mut data = vec![0; 4096];
    assert!(reader.read_exact(&mut data).is_err());
}

#[test]
fn a_snapshot_under_another_name_is_damage() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let meta = write(&store, 5, b"x");
    let other = LogId::new(Term::new(2), LogIndex::new(6));
    let to = store.directory.finished_path(other);
    fs::rename(store.directory.finished_path(meta.id()), to).unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(store.damaged().unwrap().len(), 1);
    assert!(store.open(other).err().unwrap().is_damage());
    fs::rename(
        store.directory.finished_path(other),
        directory.path().join("copy.snap"),
    )
    .unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(store.damaged().unwrap().len(), 1);
}

#[test]
fn one_damaged_description_hides_no_other_snapshot() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let metas = [3, 7, 9].map(|index| write(&store, index, b"state"));
    let [old, damaged, new] = &metas;
    let path = store.directory.finished_path(damaged.id());
    let mut whole = fs::read(&path).unwrap();
    whole[20] ^= 1;
    fs::write(&path, whole).unwrap();
    assert_eq!(store.list().unwrap(), [new.clone(), old.clone()]);
    let errors = store.damaged().unwrap();
    assert_eq!(errors.len(), 1);
    let text = errors[0].to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    store.retain(1, LogIndex::new(u64::MAX)).unwrap();
    assert_eq!(store.list().unwrap(), std::slice::from_ref(new));
    assert!(path.exists(), "what is damaged is kept for inspection");
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_dropped() {
    let directory = TempDir::new().unwrap();
    let first = FileSnapshotStore::open(directory.path()).unwrap();
    let sink = first.create(&header(1)).unwrap();
    drop(first);
    let second = FileSnapshotStore::open(directory.path());
    assert!(matches!(second, Err(StoreError::InUse { .. })));
    drop(sink);
    FileSnapshotStore::open(directory.path()).unwrap();
}

#[test]
fn a_removed_snapshot_is_read_on_by_its_open_reader() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let old = write(&store, 1, &[9; 100_000]);
    let (_, mut reader) = store.open(old.id()).unwrap();
    write(&store, 2, b"newer");
    store.retain(1, LogIndex::new(u64::MAX)).unwrap();
    assert!(matches!(
        store.open(old.id()),
        Err(StoreError::Misuse { .. })
    ));
    let mut data = Vec::new();
    reader.read_to_end(&mut data).unwrap();
    assert_eq!(data, [9; 100_000]);
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("NOTES"), b"mine").unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(fs::read(directory.path().join("NOTES")).unwrap(), b"mine");
}

#[test]
fn the_format_is_pinned() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let meta = write(&store, 5, b"data");
    let name = "00000000000000000005-00000000000000000002.snap";
    let found = fs::read(directory.path().join(name)).unwrap();
    let header = crate::codec::encode("header", &meta.header).unwrap();
    let mut expected = b"raftsnap\x01\0\0\0".to_vec();
    expected.extend_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
    expected.extend_from_slice(&header);
    let check = crc32c::crc32c(&expected).to_le_bytes();
    expected.extend_from_slice(&check);
    expected.extend_from_slice(b"data");
    let trailer = [
        &4_u64.to_le_bytes()[..],
        &crc32c::crc32c(b"data").to_le_bytes(),
    ]
    .concat();
    expected.extend_from_slice(&trailer);
    let trailer_check = crc32c::crc32c(&[&check[..], &trailer].concat());
    expected.extend_from_slice(&trailer_check.to_le_bytes());
    assert_eq!(found, expected);
}

const MIB: usize = 1 << 20;

fn pattern(bytes: usize) -> Vec<u8> {
    let numbers = (0_u64..).flat_map(|number| (number * number).to_le_bytes());
    numbers.take(bytes).collect()
}

fn announced(index: u64, data: &[u8]) -> SnapshotMeta {
    SnapshotMeta {
        header: header(index),
        size: data.len() as u64,
        checksum: crc32c::crc32c(data),
    }
}

/// Receives the first `bytes` of `data`, and is cut off.
fn receive_part(store: &FileSnapshotStore, meta: &SnapshotMeta, data: &[u8]) {
    let mut sink = store.receive(meta).unwrap();
    sink.write_all(data).unwrap();
}

fn kept(store: &FileSnapshotStore, meta: &SnapshotMeta) -> usize {
    let sink = store.receive(meta).unwrap();
    usize::try_from(sink.kept().size).unwrap()
}

/// Changes the one file with this ending.
fn spoil(directory: &Path, ending: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let names = names(directory);
    let name = names.iter().find(|name| name.ends_with(ending)).unwrap();
    let path = directory.join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_part_is_kept_to_the_byte_through_a_break_and_a_restart() {
    let directory = TempDir::new().unwrap();
    let data = pattern(3 * MIB + 17);
    let meta = announced(9, &data);
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    receive_part(&store, &meta, &data[..2 * MIB + 5]);
    assert_eq!(kept(&store, &meta), 2 * MIB + 5);
    drop(store);
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(kept(&store, &meta), 2 * MIB + 5);
    let mut sink = store.receive(&meta).unwrap();
    sink.write_all(&data[2 * MIB + 5..]).unwrap();
    sink.finish().unwrap();
    assert_eq!(read(&store, meta.id()).unwrap(), data);
    assert_eq!(names(directory.path()), [finished_name(meta.id())]);
}

#[test]
fn a_part_is_gone_on_with_only_as_far_as_it_is_intact() {
    let data = pattern(4 * MIB);
    let meta = announced(9, &data);
    // What happened to the files while the process was down, and what is left.
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, usize); 7] = [
        (".part", |bytes| bytes[MIB + 500_000] ^= 1, MIB),
        (".part", |bytes| bytes.truncate(2 * MIB + 5_000), 2 * MIB),
        (".part", |bytes| bytes[30] ^= 1, 0),
        (".part", Vec::clear, 0),
        (".marks", |bytes| bytes.truncate(bytes.len() - 7), 3 * MIB),
        (".marks", |bytes| bytes[20] ^= 1, 0),
        (".marks", Vec::clear, 0),
    ];
    for (ending, change, left) in cases {
        let directory = TempDir::new().unwrap();
        let store = FileSnapshotStore::open(directory.path()).unwrap();
        let mut sink = store.receive(&meta).unwrap();
        for part in data[..3 * MIB + 77].chunks(MIB / 4) {
            sink.write_all(part).unwrap();
        }
        drop(sink);
        drop(store);
        spoil(directory.path(), ending, change);
        let store = FileSnapshotStore::open(directory.path()).unwrap();
        assert_eq!(kept(&store, &meta), left, "{ending}");
        let mut sink = store.receive(&meta).unwrap();
        sink.write_all(&data[left..]).unwrap();
        sink.finish().unwrap();
        assert_eq!(read(&store, meta.id()).unwrap(), data);
    }
}

#[test]
fn a_part_goes_when_a_newer_snapshot_is_finished_or_another_is_received() {
    let directory = TempDir::new().unwrap();
    let data = pattern(MIB);
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    receive_part(&store, &announced(9, &data), &data[..1_000]);
    write(&store, 8, b"older");
    assert_eq!(names(directory.path()).len(), 3);
    let newer = write(&store, 9, b"as new");
    assert_eq!(store.list().unwrap()[0], newer);
    assert_eq!(names(directory.path()).len(), 2);
    receive_part(&store, &announced(20, &data), &data[..1_000]);
    receive_part(&store, &announced(15, &data), &data[..1_000]);
    assert_eq!(names(directory.path()).len(), 4, "one part at most");
    drop(store);
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    receive_part(&store, &announced(16, &data), &data[..1_000]);
    assert_eq!(names(directory.path()).len(), 4, "one part at most");
}

#[test]
fn an_open_removes_parts_that_are_overtaken_or_too_many() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let data = pattern(MIB);
    for (directory, index) in [(&first, 5), (&second, 7)] {
        let store = FileSnapshotStore::open(directory.path()).unwrap();
        receive_part(&store, &announced(index, &data), &data[..1_000]);
    }
    copy(first.path(), second.path());
    let store = FileSnapshotStore::open(second.path()).unwrap();
    assert_eq!(names(second.path()).len(), 2);
    assert_eq!(kept(&store, &announced(7, &data)), 1_000);
    drop(store);
    let finished = TempDir::new().unwrap();
    write(&FileSnapshotStore::open(finished.path()).unwrap(), 7, b"x");
    copy(finished.path(), second.path());
    drop(FileSnapshotStore::open(second.path()).unwrap());
    assert_eq!(names(second.path()).len(), 1);
}

#[test]
fn a_receiver_with_damage_in_its_part_learns_it_from_the_reader() {
    let directory = TempDir::new().unwrap();
    let store = FileSnapshotStore::open(directory.path()).unwrap();
    let data = pattern(MIB);
    let meta = write(&store, 3, &data);
    let (_, mut reader) = store.open(meta.id()).unwrap();
    let mut kept = Kept::NOTHING;
    kept.add(&data[..1_000]);
    kept.checksum ^= 1;
    assert!(reader.start_after(kept).unwrap());
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(reader.start_after(Kept::NOTHING).unwrap());
    let mut whole = Vec::new();
    reader.read_to_end(&mut whole).unwrap();
    assert!(whole == data, "the same reader can give the whole");
}
