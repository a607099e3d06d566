//! Backups that the machine could not restore: they are intact, and of another kind of machine.

use std::io::{Cursor, Read};

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::memory::MemoryStores;
use raft_core::node::{BackupMeta, Outcome, RestoreError, Restored};
use raft_core::sessions::Sessions;
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{
    Committed, RestoreCheck, SnapshotView, StateMachine, StateMachineError,
};

use crate::support::{Book, Cluster, Member, snapshot_of, soon};

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
