//! Backups that the machine could not restore: they are intact, and of another kind of machine. A
//! running group is to take one, or a new one to begin with it.

use std::io::{Cursor, Read};

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::memory::MemoryStores;
use raft_core::node::{BackupMeta, Node, Outcome, RestoreError, Restored, StartError};
use raft_core::sessions::Sessions;
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{
    Committed, RestoreCheck, SnapshotView, StateMachine, StateMachineError,
};

use crate::support::{Book, Cluster, Member, members, snapshot_of, soon};

/// A book that only takes lines that begin with `line`, and knows how to tell.
struct Strict {
    book: Book,
    check: fn(&mut dyn Read) -> Result<(), StateMachineError>,
}

impl StateMachine for Strict {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        self.book.apply(batch)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.book.snapshot()
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        self.book.restore(meta, from)?;
        are_lines(&self.book.lines().join("\n"))
    }

    fn restore_check(&self) -> Option<RestoreCheck> {
        let check = self.check;
        Some(RestoreCheck::new(move |_, from| check(from)))
    }

    fn may_block(&self) -> bool {
        self.book.may_block()
    }
}

fn are_lines(text: &str) -> Result<(), StateMachineError> {
    match text.lines().find(|line| !line.starts_with("line")) {
        Some(other) => Err(StateMachineError::new(format!("{other:?} is no line"))),
        None => Ok(()),
    }
}

fn looks_at_everything(from: &mut dyn Read) -> Result<(), StateMachineError> {
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    are_lines(&text)
}

fn looks_at_the_beginning(from: &mut dyn Read) -> Result<(), StateMachineError> {
    let mut beginning = [0; 4];
    from.read_exact(&mut beginning)?;
    are_lines(&String::from_utf8_lossy(&beginning))
}

fn panics(from: &mut dyn Read) -> Result<(), StateMachineError> {
    from.read_exact(&mut [0; 40])?;
    panic!("told to panic");
}

/// A group of three that checks by `check`. A backup is in many pieces.
async fn group(check: fn(&mut dyn Read) -> Result<(), StateMachineError>) -> Cluster {
    group_of(move |book| Strict { book, check }).await
}

async fn group_of<M: StateMachine>(machine: impl Fn(Book) -> M) -> Cluster {
    let mut config = Config::default();
    config.append_bytes_max = 49;
    let mut cluster = Cluster::start_with(0, config, Book::new).await;
    cluster.disks = (1..=3).map(|id| (id, MemoryStores::new())).collect();
    for id in 1..=3 {
        let book = Book::new();
        let machine = machine(book.clone());
        let node = cluster.builder(id, machine).start().await.unwrap();
        cluster.members.insert(id, Member { node, book });
    }
    cluster
}

/// A backup with this content, as far as anybody can tell who does not read it.
async fn backup_with(content: &str) -> (BackupMeta, Vec<u8>) {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let (mut meta, _) = soon(cluster.node(1).backup()).await.unwrap();
    meta.snapshot.size = content.len() as u64;
    meta.snapshot.checksum = crc32c::crc32c(content.as_bytes());
    (meta, content.as_bytes().to_vec())
}

async fn restore(
    cluster: &Cluster,
    backup: &(BackupMeta, Vec<u8>),
) -> Result<Restored, RestoreError> {
    let leader = cluster.leader().await;
    let (meta, bytes) = backup.clone();
    soon(cluster.node(leader).restore(meta, Cursor::new(bytes))).await
}

async fn everybody_holds(cluster: &Cluster, expected: &[String]) {
    for member in cluster.members.values() {
        member.book.holds(expected).await;
    }
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|line| format!("line {line}")).collect()
}

fn assert_is_unreadable(error: &RestoreError) {
    assert!(matches!(error, RestoreError::Unreadable(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NeverApplied);
}

/// Without the check every member would have stopped, for good.
#[tokio::test(start_paused = true)]
async fn a_backup_that_the_machine_cannot_restore_is_given_up_and_the_group_goes_on() {
    let good = backup_with(&lines(100..120).join("\n")).await;
    let mut text = lines(100..120);
    text[15] = "something else".to_owned();
    let bad = backup_with(&text.join("\n")).await;
    let cluster = group(looks_at_everything).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let error = restore(&cluster, &bad).await.unwrap_err();
    assert_is_unreadable(&error);
    assert!(error.to_string().contains("something else"), "{error}");
    cluster.write(leader, 3..6).await;
    everybody_holds(&cluster, &lines(0..6)).await;
    for member in cluster.members.values() {
        snapshot_of(&member.node).await;
    }
    restore(&cluster, &good).await.unwrap();
    everybody_holds(&cluster, &lines(100..120)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_check_does_not_read_is_restored_all_the_same() {
    let cluster = group(looks_at_the_beginning).await;
    let good = backup_with(&lines(100..120).join("\n")).await;
    restore(&cluster, &good).await.unwrap();
    everybody_holds(&cluster, &lines(100..120)).await;
}

/// The check saw nothing wrong, or only because the data ended: the data are to blame.
#[tokio::test(start_paused = true)]
async fn data_that_are_not_what_they_should_be_are_told_as_such_whatever_a_check_says() {
    let (meta, bytes) = backup_with(&lines(100..120).join("\n")).await;
    let mut flipped = bytes.clone();
    flipped[50] ^= 1;
    let long = [&bytes[..], b"line"].concat();
    for wrong in [flipped, bytes[1..].to_vec(), long] {
        for check in [looks_at_the_beginning, |_: &mut dyn Read| Ok(())] {
            let is_seen = check(&mut &wrong[..]).is_err();
            let cluster = group(check).await;
            let error = restore(&cluster, &(meta.clone(), wrong.clone())).await;
            let error = error.unwrap_err();
            let is_told = matches!(error, RestoreError::Data(_));
            assert!(is_told || is_seen, "{error}");
            assert_eq!(error.outcome(), Outcome::NeverApplied);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_takes_nobody_with_it() {
    let cluster = group(panics).await;
    let leader = cluster.leader().await;
    let good = backup_with(&lines(100..120).join("\n")).await;
    let error = restore(&cluster, &good).await.unwrap_err();
    assert_is_unreadable(&error);
    cluster.write(leader, 0..3).await;
    everybody_holds(&cluster, &lines(0..3)).await;
}

/// Whatever the machine in them can check.
#[tokio::test(start_paused = true)]
async fn sessions_take_no_backup_that_was_taken_without() {
    let cluster = group_of(Sessions::new).await;
    let backup = backup_with(&lines(100..120).join("\n")).await;
    let error = restore(&cluster, &backup).await.unwrap_err();
    assert_is_unreadable(&error);
    assert!(error.to_string().contains("without sessions"), "{error}");
    let leader = cluster.leader().await;
    snapshot_of(cluster.node(leader)).await;
    let (meta, mut data) = soon(cluster.node(leader).backup()).await.unwrap();
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    restore(&cluster, &(meta, bytes)).await.unwrap();
}

/// A group of one, on `disk`, that begins with a state.
async fn begin(
    disk: &MemoryStores,
    machine: impl StateMachine,
    meta: &BackupMeta,
    data: impl Read + Send + 'static,
) -> Result<Node, StartError> {
    let mut cluster = Cluster::start(0).await;
    cluster.disks.insert(1, disk.clone());
    let builder = cluster.builder(1, machine);
    let builder = builder.initial_membership(members(1));
    builder.initial_state(meta.clone(), data).start().await
}

async fn begin_by(
    check: fn(&mut dyn Read) -> Result<(), StateMachineError>,
    disk: &MemoryStores,
    (meta, bytes): &(BackupMeta, Vec<u8>),
) -> Result<Book, StartError> {
    let book = Book::new();
    let machine = Strict {
        book: book.clone(),
        check,
    };
    let node = begin(disk, machine, meta, Cursor::new(bytes.clone())).await?;
    soon(node.shutdown()).await.unwrap();
    Ok(book)
}

/// It was a snapshot before anybody looked, and the node never started again.
#[tokio::test(start_paused = true)]
async fn a_group_is_not_founded_with_a_state_that_the_machine_cannot_restore() {
    let good = backup_with(&lines(100..120).join("\n")).await;
    let mut text = lines(100..120);
    text[0] = "something else".to_owned();
    let bad = backup_with(&text.join("\n")).await;
    for check in [looks_at_everything, looks_at_the_beginning, panics] {
        let disk = MemoryStores::new();
        for _ in 0..2 {
            let error = begin_by(check, &disk, &bad).await.unwrap_err();
            let StartError::UnreadableState(reason) = &error else {
                panic!("{error}");
            };
            assert!(
                ["is no line", "told to panic"]
                    .iter()
                    .any(|part| reason.contains(part)),
                "{reason}"
            );
            assert!(!error.is_damage());
            assert!(!disk.open().has_state().unwrap());
        }
        let book = begin_by(looks_at_everything, &disk, &good).await.unwrap();
        assert_eq!(book.lines(), lines(100..120));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_check_does_not_read_is_in_the_initial_state_all_the_same() {
    let many = 0..20_000;
    let good = backup_with(&lines(many.clone()).join("\n")).await;
    for check in [looks_at_the_beginning, |_: &mut dyn Read| Ok(())] {
        let disk = MemoryStores::new();
        let book = begin_by(check, &disk, &good).await.unwrap();
        assert_eq!(book.lines(), lines(many.clone()));
    }
}

/// It ends too early, too late, never, with an error or with a panic: a check that reads so far sees an
/// error as well.
#[tokio::test(start_paused = true)]
async fn an_initial_state_that_is_not_what_it_should_be_is_told_as_such_whatever_a_check_says() {
    let (meta, bytes) = backup_with(&lines(100..120).join("\n")).await;
    let some = |count: usize| Cursor::new(bytes[..count].to_vec());
    let wrong = || -> [Box<dyn Read + Send>; 5] {
        [
            Box::new(some(60)),
            Box::new(some(bytes.len()).chain(some(8))),
            Box::new(std::io::repeat(b'\n')),
            Box::new(some(60).chain(Unreadable { panics: false })),
            Box::new(some(60).chain(Unreadable { panics: true })),
        ]
    };
    for check in [looks_at_everything, |_: &mut dyn Read| Ok(())] {
        for data in wrong() {
            let disk = MemoryStores::new();
            let book = Book::new();
            let machine = Strict { book, check };
            let error = begin(&disk, machine, &meta, data).await.unwrap_err();
            assert!(matches!(error, StartError::InitialState(_)), "{error}");
            assert!(!disk.open().has_state().unwrap());
        }
    }
}

struct Unreadable {
    panics: bool,
}

impl Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        assert!(!self.panics, "told to panic");
        Err(std::io::Error::other("told to fail"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_with_sessions_begins_with_no_state_that_was_kept_without() {
    let (meta, bytes) = backup_with(&lines(100..120).join("\n")).await;
    let disk = MemoryStores::new();
    let machine = Sessions::new(Book::new());
    let begun = begin(&disk, machine, &meta, Cursor::new(bytes)).await;
    let error = begun.unwrap_err();
    assert!(matches!(error, StartError::UnreadableState(_)), "{error}");
    assert!(error.to_string().contains("without sessions"), "{error}");
    assert!(!disk.open().has_state().unwrap());
}
