//! Backups that replace the state of a running group.

use std::io::{self, Cursor, Read};
use std::sync::mpsc as threads;
use std::time::Duration;

use raft_core::config::Config;
use raft_core::consensus::To;
use raft_core::id::LogIndex;
use raft_core::node::{
    BackupMeta, Node, NodeEvent, Outcome, ReadMode, RestoreError, Restored, SnapshotError,
};
use raft_core::snapshot::SnapshotMeta;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::on_disk::Ledger;
use crate::support::{Book, Cluster, Member, event, id, snapshot_of, soon, time_of};

/// A backup is in many pieces, and the log is purged as soon as it can be.
fn in_pieces() -> Config {
    let mut config = Config::default();
    config.append_bytes_max = PIECE + 17;
    config.trailing_entries = 0;
    config
}

/// Bytes of a backup in one entry.
const PIECE: usize = 32;

fn lines(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|line| format!("line {line}")).collect()
}

async fn backup_of(node: &Node) -> (BackupMeta, Vec<u8>) {
    let (meta, mut data) = soon(node.backup()).await.unwrap();
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    (meta, bytes)
}

/// What any group holds after these lines.
async fn backup_with(numbers: std::ops::Range<usize>) -> (BackupMeta, Vec<u8>) {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    cluster.write(1, numbers).await;
    backup_of(cluster.node(1)).await
}

/// A restoration that stands still at byte `stop` until it is let go.
struct Halted {
    outcome: JoinHandle<Result<Restored, RestoreError>>,
    go_on: threads::Sender<io::Result<()>>,
}

/// Says when it was read through some byte, and waits there.
struct Halting {
    data: Cursor<Vec<u8>>,
    stop: u64,
    reached: mpsc::UnboundedSender<()>,
    go_on: threads::Receiver<io::Result<()>>,
}

impl Read for Halting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.data.position() < self.stop {
            let left = usize::try_from(self.stop - self.data.position()).unwrap();
            let part = buffer.len().min(left);
            return self.data.read(&mut buffer[..part]);
        }
        if self.stop < u64::MAX {
            self.stop = u64::MAX;
            self.reached.send(()).unwrap();
            // Whoever lets go of the other end is no longer interested.
            self.go_on.recv().unwrap_or(Ok(()))?;
        }
        self.data.read(buffer)
    }
}

impl Halted {
    /// Begins to restore, and returns when the first `pieces` pieces are in the log.
    async fn begin(node: &Node, meta: &BackupMeta, bytes: &[u8], pieces: usize) -> Self {
        let (reached, mut is_reached) = mpsc::unbounded_channel();
        let (go_on, may_go_on) = threads::channel();
        let data = Halting {
            data: Cursor::new(bytes.to_vec()),
            stop: (pieces * PIECE) as u64,
            reached,
            go_on: may_go_on,
        };
        let (node, meta) = (node.clone(), meta.clone());
        let outcome = tokio::spawn(async move { node.restore(meta, data).await });
        soon(is_reached.recv()).await.unwrap();
        Self { outcome, go_on }
    }

    async fn end(self) -> Result<Restored, RestoreError> {
        self.go_on.send(Ok(())).unwrap();
        soon(self.outcome).await.unwrap()
    }
}

async fn everybody_holds(cluster: &Cluster, expected: &[String]) {
    for member in cluster.members.values() {
        member.book.holds(expected).await;
    }
}

async fn restore(node: &Node, meta: &BackupMeta, bytes: &[u8]) -> Result<Restored, RestoreError> {
    soon(node.restore(meta.clone(), Cursor::new(bytes.to_vec()))).await
}

async fn a_running_group_is_restored(book: fn() -> Book, config: Config) {
    let cluster = Cluster::start_with(3, config, book).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..10).await;
    let (meta, bytes) = backup_of(cluster.node(leader)).await;
    cluster.write(leader, 10..20).await;
    let restored = restore(cluster.node(leader), &meta, &bytes).await.unwrap();
    everybody_holds(&cluster, &lines(0..10)).await;
    let applied = cluster.node(leader).propose("line 10").await.unwrap();
    assert_eq!(applied.id.index, restored.id.index.next());
    everybody_holds(&cluster, &lines(0..11)).await;
}

#[tokio::test(start_paused = true)]
async fn a_running_group_is_restored_and_goes_on_from_the_backup() {
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        a_running_group_is_restored(book, Config::default()).await;
        a_running_group_is_restored(book, in_pieces()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_backup_empties_the_machine() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (meta, bytes) = backup_of(cluster.node(leader)).await;
    assert_eq!(bytes, b"");
    cluster.write(leader, 0..3).await;
    restore(cluster.node(leader), &meta, &bytes).await.unwrap();
    everybody_holds(&cluster, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn commands_before_the_end_act_on_the_old_state_and_go_with_it() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    cluster.write(leader, 3..6).await;
    everybody_holds(&cluster, &lines(0..6)).await;
    halted.end().await.unwrap();
    everybody_holds(&cluster, &lines(100..120)).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_lost_in_the_middle_leaves_the_old_state_and_says_so() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    cluster.write(leader, 3..6).await;
    cluster.network.isolate(leader);
    let next = cluster.leader_other_than(leader).await;
    let error = halted.end().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NeverApplied, "{error}");
    assert!(
        matches!(
            error,
            RestoreError::LeadershipLost { end: None } | RestoreError::NotLeader { .. }
        ),
        "{error:?}"
    );
    cluster.network.heal();
    cluster.write(next, 6..7).await;
    everybody_holds(&cluster, &lines(0..7)).await;
    // Nothing of it stands in the way of anybody.
    for member in cluster.members.values() {
        snapshot_of(&member.node).await;
    }
    restore(cluster.node(next), &meta, &bytes).await.unwrap();
    everybody_holds(&cluster, &lines(100..120)).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_appended_and_not_committed_leaves_the_outcome_unknown() {
    let (mut meta, mut bytes) = backup_with(100..120).await;
    bytes.truncate(3 * PIECE);
    meta.snapshot.size = bytes.len() as u64;
    meta.snapshot.checksum = crc32c::crc32c(&bytes);
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    // With these all the pieces are committed, and only the end is left.
    cluster.write(leader, 0..3).await;
    cluster.network.isolate(leader);
    let last = cluster.node(leader).status().await.unwrap().raft.last;
    halted.go_on.send(Ok(())).unwrap();
    // Time stands still while somebody asks.
    while cluster.node(leader).status().await.unwrap().raft.last == last {
        tokio::task::yield_now().await;
    }
    let error = soon(halted.outcome).await.unwrap().unwrap_err();
    assert!(
        matches!(error, RestoreError::LeadershipLost { end: Some(_) }),
        "{error:?}"
    );
    assert_eq!(error.outcome(), Outcome::Unknown);
    let next = cluster.leader_other_than(leader).await;
    cluster.network.heal();
    cluster.write(next, 3..4).await;
    everybody_holds(&cluster, &lines(0..4)).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_restarts_in_the_middle_finds_the_pieces_in_its_log() {
    let (meta, bytes) = backup_with(100..120).await;
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        let mut cluster = Cluster::start_with(3, in_pieces(), book).await;
        let leader = cluster.leader().await;
        cluster.write(leader, 0..3).await;
        let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
        cluster.write(leader, 3..6).await;
        let follower = cluster.other_than(leader);
        cluster.book(follower).has(6).await;
        cluster.stop_node(follower).await;
        cluster.start_node(follower).await;
        cluster.book(follower).has(6).await;
        halted.end().await.unwrap();
        everybody_holds(&cluster, &lines(100..120)).await;
        // And once more, from the snapshot that the backup became.
        cluster.stop_node(follower).await;
        cluster.start_node(follower).await;
        everybody_holds(&cluster, &lines(100..120)).await;
    }
}

/// Before the begin, or between begin and end.
#[tokio::test(start_paused = true)]
async fn a_member_that_was_cut_off_gets_the_backup_as_a_snapshot() {
    let (meta, bytes) = backup_with(100..120).await;
    for pieces in [0, 3] {
        let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
        let leader = cluster.leader().await;
        cluster.write(leader, 0..3).await;
        let follower = cluster.other_than(leader);
        if pieces == 0 {
            cluster.network.isolate(follower);
        }
        let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
        cluster.write(leader, 3..6).await;
        if pieces > 0 {
            cluster.book(follower).has(6).await;
            cluster.network.isolate(follower);
        }
        halted.end().await.unwrap();
        cluster.write(leader, 120..123).await;
        let status = cluster.node(leader).status().await.unwrap();
        assert!(status.raft.purged > status.raft.committed.minus(4));
        let mut received = cluster.node(follower).events();
        cluster.network.heal();
        event(&mut received, |event| match event {
            NodeEvent::SnapshotReceived { .. } => Some(()),
            _ => None,
        })
        .await;
        everybody_holds(&cluster, &lines(100..123)).await;
    }
}

/// Waits until the node has applied through `index`. While its machine's thread works, time flies, so
/// the wait for it may be too long for one barrier.
async fn sees(node: &Node, index: LogIndex) {
    let reads = async { while node.read_barrier(ReadMode::AtLeast(index)).await.is_err() {} };
    soon(reads).await;
}

/// It has applied commands between begin and end for good, so it is not given them again.
#[tokio::test(start_paused = true)]
async fn a_machine_on_disk_goes_on_in_the_middle() {
    let (meta, bytes) = backup_with(100..120).await;
    let mut cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    cluster.stop_node(follower).await;
    let ledger = Ledger::default();
    let node = cluster.builder(follower, ledger.clone()).start().await;
    let node = node.unwrap();
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    let applied = soon(cluster.node(leader).propose("line 0")).await.unwrap();
    sees(&node, applied.id.index).await;
    ledger.sync();
    soon(node.shutdown()).await.unwrap();
    let ledger = ledger.restarted();
    assert_eq!(ledger.lines(), lines(0..1));
    let node = cluster.builder(follower, ledger.clone()).start().await;
    let node = node.unwrap();
    let restored = halted.end().await.unwrap();
    sees(&node, restored.id.index).await;
    assert_eq!(ledger.lines(), lines(100..120));
    assert_eq!(ledger.restored(), [restored.id]);
    // What it keeps by itself is the backup now.
    ledger.sync();
    soon(node.shutdown()).await.unwrap();
    let ledger = ledger.restarted();
    let node = cluster.builder(follower, ledger.clone()).start().await;
    let applied = soon(cluster.node(leader).propose("line 120"))
        .await
        .unwrap();
    sees(&node.unwrap(), applied.id.index).await;
    assert_eq!(ledger.lines(), lines(100..121));
    assert_eq!(ledger.restored(), []);
}

/// Fails, or panics.
struct Broken {
    panics: bool,
}

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        assert!(!self.panics, "told to panic");
        Err(io::Error::other("no tape in the drive"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_is_not_what_it_should_be_changes_nothing() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let mut flipped = bytes.clone();
    flipped[50] ^= 1;
    let long = [&bytes[..], b"x"].concat();
    let wrong: [Box<dyn Read + Send>; 6] = [
        Box::new(Cursor::new(flipped)),
        Box::new(Cursor::new(bytes[1..].to_vec())),
        Box::new(Cursor::new(Vec::new())),
        Box::new(Cursor::new(long)),
        Box::new(Cursor::new(bytes[..40].to_vec()).chain(Broken { panics: false })),
        Box::new(Cursor::new(bytes[..40].to_vec()).chain(Broken { panics: true })),
    ];
    for data in wrong {
        let error = soon(cluster.node(leader).restore(meta.clone(), data)).await;
        let error = error.unwrap_err();
        assert!(matches!(error, RestoreError::Data(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::NeverApplied);
    }
    cluster.write(leader, 3..6).await;
    everybody_holds(&cluster, &lines(0..6)).await;
    for member in cluster.members.values() {
        snapshot_of(&member.node).await;
    }
    restore(cluster.node(leader), &meta, &bytes).await.unwrap();
    everybody_holds(&cluster, &lines(100..120)).await;
}

#[tokio::test(start_paused = true)]
async fn one_backup_is_restored_at_a_time() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    let second = restore(cluster.node(leader), &meta, &bytes).await;
    assert!(
        matches!(second, Err(RestoreError::InProgress)),
        "{second:?}"
    );
    halted.end().await.unwrap();
    restore(cluster.node(leader), &meta, &bytes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_a_leader_restores_and_not_while_it_hands_over() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let follower = cluster.other_than(leader);
    let mut standing = cluster.node(follower).watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    let error = restore(cluster.node(follower), &meta, &bytes).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, RestoreError::NotLeader { leader: Some(hint) } if hint == id(leader)),
        "{error}"
    );
    cluster.network.isolate(follower);
    let node = cluster.node(leader).clone();
    let to = To::Node(id(follower));
    let handing_over = tokio::spawn(async move { node.transfer_leadership(to).await });
    tokio::task::yield_now().await;
    let (node, data) = (cluster.node(leader).clone(), Cursor::new(bytes.clone()));
    let described = meta.clone();
    let restoring = tokio::spawn(async move { node.restore(described, data).await });
    // Time stands still while somebody asks.
    while !restoring.is_finished() {
        tokio::task::yield_now().await;
    }
    let refused = restoring.await.unwrap();
    assert!(
        matches!(refused, Err(RestoreError::Transferring { to }) if to == id(follower)),
        "{refused:?}"
    );
    soon(handing_over).await.unwrap().unwrap_err();
    restore(cluster.node(leader), &meta, &bytes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restoration_goes_on_after_a_transfer_that_failed() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    let follower = cluster.other_than(leader);
    cluster.network.isolate(follower);
    let to = To::Node(id(follower));
    let handing_over = cluster.node(leader).transfer_leadership(to);
    let (failed, ended) = tokio::join!(biased; handing_over, halted.end());
    failed.unwrap_err();
    ended.unwrap();
    cluster.network.heal();
    everybody_holds(&cluster, &lines(100..120)).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_in_the_middle_is_refused_to_callers_and_delayed_for_the_core() {
    let (meta, bytes) = backup_with(100..120).await;
    for succeeds in [true, false] {
        let mut config = in_pieces();
        config.snapshot_entries = 10;
        let cluster = Cluster::start_with(3, config, Book::new).await;
        let leader = cluster.leader().await;
        let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
        // The core wants some, too.
        cluster.write(leader, 0..30).await;
        everybody_holds(&cluster, &lines(0..30)).await;
        let begun = cluster.node(leader).status().await.unwrap().raft;
        for member in cluster.members.values() {
            let refused: Result<SnapshotMeta, SnapshotError> = soon(member.node.snapshot()).await;
            assert!(
                matches!(refused, Err(SnapshotError::Restoring)),
                "{refused:?}"
            );
        }
        assert!(
            begun
                .snapshot
                .is_none_or(|last| last.index < begun.applied.minus(25))
        );
        let go_on = match succeeds {
            true => Ok(()),
            false => Err(io::Error::other("no tape in the drive")),
        };
        halted.go_on.send(go_on).unwrap();
        let ended = soon(halted.outcome).await.unwrap();
        assert_eq!(ended.is_ok(), succeeds);
        for member in cluster.members.values() {
            let taken = snapshot_of(&member.node).await;
            assert!(taken.id().index >= begun.applied, "{taken}");
            if let Ok(restored) = &ended {
                assert_eq!(
                    (taken.id(), taken.checksum),
                    (restored.id, meta.snapshot.checksum)
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_larger_than_every_limit_of_the_log_is_restored() {
    let (meta, bytes) = backup_with(10_000..15_000).await;
    let mut config = Config::default();
    config.entry_bytes_max = 2_048;
    config.append_bytes_max = 2_048;
    config.unapplied_bytes_max = 4_096;
    config.in_flight_bytes_max = 4_096;
    config.applying_bytes_max = 2_048;
    config.cached_bytes_max = 2_048;
    config.snapshot_bytes = 4_096;
    config.trailing_entries = 0;
    for book in [Book::new as fn() -> Book, Book::that_may_block] {
        let cluster = Cluster::start_with(3, config.clone(), book).await;
        let leader = cluster.leader().await;
        let node = cluster.node(leader).clone();
        let (meta, data) = (meta.clone(), Cursor::new(bytes.clone()));
        let restoring = tokio::spawn(async move { node.restore(meta, data).await });
        // There is always room for a write.
        let mut written = 0;
        while !restoring.is_finished() {
            cluster.write(leader, written..written + 1).await;
            written += 1;
        }
        restoring.await.unwrap().unwrap();
        for member in cluster.members.values() {
            member.book.begins_with(&lines(10_000..15_000)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_group_goes_on_from_the_time_of_the_backup() {
    let (meta, bytes) = backup_with(0..3).await;
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let hour = Duration::from_secs(3_600);
    let later = meta.snapshot.header.time.plus(hour);
    let mut of_the_future = meta.clone();
    of_the_future.snapshot.header.time = later;
    let node = cluster.node(leader);
    restore(node, &of_the_future, &bytes).await.unwrap();
    let mut last = time_of(node).await;
    assert!(last >= later && last < later.plus(hour));
    // It does not stand still until the clock has caught up, here or at the next leader.
    for write in 0..3 {
        tokio::time::advance(Duration::from_millis(100)).await;
        soon(node.propose(format!("{write}"))).await.unwrap();
        let now = time_of(node).await;
        assert!(now > last, "{now} after {last}");
        last = now;
    }
    // A backup of the past does not turn it back.
    restore(node, &meta, &bytes).await.unwrap();
    assert!(time_of(node).await >= last);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_restoration_that_cannot_go_on() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    cluster.network.isolate(leader);
    let (node, data) = (cluster.node(leader).clone(), Cursor::new(bytes.clone()));
    let last = node.status().await.unwrap().raft.last;
    let soon_enough = Duration::from_millis(100);
    let restoring = tokio::spawn(async move { node.restore_within(meta, data, soon_enough).await });
    // Time stands still while somebody asks.
    while cluster.node(leader).status().await.unwrap().raft.last == last {
        tokio::task::yield_now().await;
    }
    let error = soon(restoring).await.unwrap().unwrap_err();
    assert!(
        matches!(error, RestoreError::TimedOut { end: None }),
        "{error}"
    );
    cluster.network.heal();
    let leader = cluster.leader().await;
    cluster.write(leader, 3..4).await;
    everybody_holds(&cluster, &lines(0..4)).await;
    for member in cluster.members.values() {
        snapshot_of(&member.node).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_no_more_gives_the_restoration_up() {
    let (meta, bytes) = backup_with(100..120).await;
    let cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..3).await;
    let Halted { outcome, go_on } = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    let asked = cluster.node(leader).clone();
    outcome.abort();
    soon(outcome).await.unwrap_err();
    go_on.send(Ok(())).unwrap();
    snapshot_of(&asked).await;
    everybody_holds(&cluster, &lines(0..3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_in_the_middle_answers_the_caller() {
    let (meta, bytes) = backup_with(100..120).await;
    let mut cluster = Cluster::start_with(3, in_pieces(), Book::new).await;
    let leader = cluster.leader().await;
    let halted = Halted::begin(cluster.node(leader), &meta, &bytes, 3).await;
    let Member { node, .. } = cluster.members.remove(&leader).unwrap();
    soon(node.shutdown()).await.unwrap();
    let error = halted.end().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NeverApplied, "{error:?}");
    // It hands over before it stops, and a piece may see either.
    assert!(
        matches!(
            error,
            RestoreError::Stopped { .. } | RestoreError::LeadershipLost { end: None }
        ),
        "{error:?}"
    );
}
