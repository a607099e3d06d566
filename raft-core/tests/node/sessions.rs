//! Commands that are applied exactly once, whatever happens to the leader and to the answers.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raft_core::config::Config;
use raft_core::message::Body;
use raft_core::node::{Node, Outcome};
use raft_core::sessions::{SessionClient, SessionError, SessionLimits, Sessions};
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};

use crate::support::{Book, Cluster, Member, soon};

/// Counts what comes out of the log.
struct Tap {
    machine: Sessions<Book>,
    committed: Arc<AtomicU64>,
}

impl StateMachine for Tap {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        self.committed
            .fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.machine.apply(batch)
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        self.machine.snapshot()
    }

    fn restore(
        &mut self,
        meta: &SnapshotMeta,
        from: &mut dyn Read,
    ) -> Result<(), StateMachineError> {
        self.machine.restore(meta, from)
    }

    fn may_block(&self) -> bool {
        self.machine.may_block()
    }
}

async fn start(cluster: &mut Cluster, id: u64) -> Arc<AtomicU64> {
    let (book, committed) = (Book::new(), Arc::new(AtomicU64::new(0)));
    let machine = Tap {
        machine: Sessions::new(book.clone()),
        committed: Arc::clone(&committed),
    };
    let node = cluster.builder(id, machine).start().await.unwrap();
    cluster.members.insert(id, Member { node, book });
    committed
}

async fn cluster(size: u64, config: Config) -> (Cluster, BTreeMap<u64, Arc<AtomicU64>>) {
    let mut cluster = Cluster::start_with(0, config, Book::new).await;
    cluster.disks = (1..=size).map(|id| (id, Default::default())).collect();
    let mut committed = BTreeMap::new();
    for id in 1..=size {
        committed.insert(id, start(&mut cluster, id).await);
    }
    (cluster, committed)
}

fn nodes(cluster: &Cluster) -> Vec<Node> {
    let members = cluster.members.values();
    members.map(|member| member.node.clone()).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);

/// The leader's answers are lost half way: what it has proposed is committed by the next leader,
/// and proposed there again.
#[tokio::test(start_paused = true)]
async fn each_command_is_applied_once_across_a_change_of_leaders() {
    let (cluster, committed) = cluster(3, Config::default()).await;
    let first = cluster.leader().await;
    let client = SessionClient::open(nodes(&cluster), SessionLimits::default(), PATIENCE);
    let client = soon(client).await.unwrap();
    for line in 0..10 {
        let response = client
            .execute(format!("line {line}"), PATIENCE)
            .await
            .unwrap();
        assert_eq!(response, (line + 1).to_string());
    }
    // The followers take the entries, the leader never learns it and gives up.
    cluster.network.lose_when(move |message| {
        message.to.get() == first
            && matches!(
                message.body,
                Body::AppendAccepted { .. } | Body::HeartbeatReply { .. }
            )
    });
    let under_way: Vec<String> = (10..20).map(|line| format!("line {line}")).collect();
    let answers = under_way
        .iter()
        .map(|line| client.execute(line.clone(), PATIENCE));
    let healed = async {
        cluster.leader_other_than(first).await;
        cluster.network.heal();
    };
    let (answers, ()) = soon(async { tokio::join!(all(answers.collect()), healed) }).await;
    let mut numbers: Vec<u32> = answers
        .into_iter()
        .map(|answer| {
            std::str::from_utf8(&answer.unwrap())
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (11..=20).collect::<Vec<_>>());
    for line in 20..30 {
        let response = client
            .execute(format!("line {line}"), PATIENCE)
            .await
            .unwrap();
        assert_eq!(response, (line + 1).to_string());
    }
    let expected: std::collections::BTreeSet<_> = (0..30).map(|l| format!("line {l}")).collect();
    for (id, member) in &cluster.members {
        member.book.has(30).await;
        let lines = member.book.lines();
        assert_eq!(lines.len(), 30);
        assert_eq!(
            lines.into_iter().collect::<std::collections::BTreeSet<_>>(),
            expected
        );
        let count = committed[id].load(Ordering::Relaxed);
        assert!(count > 31, "nothing was proposed twice: {count}");
    }
    soon(client.close(PATIENCE)).await.unwrap();
}

/// Waits for all, polling all.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Restarted from a snapshot, a node still knows what was answered.
#[tokio::test(start_paused = true)]
async fn a_session_survives_a_snapshot_and_a_restart() {
    let (mut cluster, _) = cluster(1, Config::default()).await;
    cluster.leader().await;
    let limits = SessionLimits::default();
    let client = SessionClient::open(nodes(&cluster), limits, PATIENCE)
        .await
        .unwrap();
    client.execute("a", PATIENCE).await.unwrap();
    soon(cluster.node(1).snapshot()).await.unwrap();
    let id = client.id();
    cluster.stop_node(1).await;
    let committed = start(&mut cluster, 1).await;
    assert_eq!(cluster.book(1).lines(), ["a"]);
    cluster.leader().await;
    // Sequence one of that session, once more.
    let mut again = vec![0x5e, 1, 2, 0];
    for number in [id.index().get(), 1, 1] {
        again.extend_from_slice(&number.to_le_bytes());
    }
    again.extend_from_slice(b"a");
    let applied = soon(cluster.node(1).propose(again)).await.unwrap();
    assert_eq!(applied.response.as_ref(), b"\x001");
    assert_eq!(
        (
            cluster.book(1).lines().len(),
            committed.load(Ordering::Relaxed)
        ),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_not_used_is_gone_and_says_so() {
    let (cluster, _) = cluster(1, Config::default()).await;
    cluster.leader().await;
    let limits = SessionLimits {
        lifetime: Duration::from_secs(10),
        ..SessionLimits::default()
    };
    let client = SessionClient::open(nodes(&cluster), limits, PATIENCE)
        .await
        .unwrap();
    client.execute("a", PATIENCE).await.unwrap();
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(9)).await;
        soon(client.keep_alive(PATIENCE)).await.unwrap();
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    let error = soon(client.execute("b", PATIENCE)).await.unwrap_err();
    assert!(
        matches!(
            error,
            SessionError::Expired {
                outcome: Outcome::NeverApplied
            }
        ),
        "{error}"
    );
    assert_eq!(cluster.book(1).lines(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_brings_its_sessions_and_ends_the_others() {
    let (cluster, _) = cluster(1, Config::default()).await;
    cluster.leader().await;
    // While threads are waited for, hours pass: no session ends by that.
    let limits = SessionLimits {
        lifetime: Duration::from_secs(1_000_000_000),
        ..SessionLimits::default()
    };
    let open = || SessionClient::open(nodes(&cluster), limits, PATIENCE);
    let early = soon(open()).await.unwrap();
    soon(early.execute("a", PATIENCE)).await.unwrap();
    let (meta, mut data) = soon(cluster.node(1).backup()).await.unwrap();
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    let late = soon(open()).await.unwrap();
    soon(late.execute("b", PATIENCE)).await.unwrap();
    soon(cluster.node(1).restore(meta, std::io::Cursor::new(bytes)))
        .await
        .unwrap();
    soon(early.execute("c", PATIENCE)).await.unwrap();
    let error = soon(late.execute("d", PATIENCE)).await.unwrap_err();
    assert!(matches!(error, SessionError::Expired { .. }), "{error}");
    let another = soon(open()).await.unwrap();
    soon(another.execute("e", PATIENCE)).await.unwrap();
    assert_eq!(cluster.book(1).lines(), ["a", "c", "e"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_the_client_learns_that_nothing_was_applied() {
    let (mut cluster, _) = cluster(3, Config::default()).await;
    let leader = cluster.leader().await;
    let limits = SessionLimits::default();
    let client = SessionClient::open(nodes(&cluster), limits, PATIENCE);
    let client = soon(client).await.unwrap();
    for id in [1, 2, 3] {
        if id != leader {
            cluster.stop_node(id).await;
        }
    }
    let mut standing = cluster.node(leader).watch();
    let deposed = standing.wait_for(|now| now.leader.is_none());
    soon(deposed).await.unwrap();
    let error = soon(client.execute("a", PATIENCE)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NeverApplied, "{error}");
    cluster.stop_node(leader).await;
    let error = soon(client.execute("a", PATIENCE)).await.unwrap_err();
    assert!(matches!(error, SessionError::Unanswered { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn limits_that_make_no_session_are_refused() {
    let (cluster, _) = cluster(1, Config::default()).await;
    let limits = SessionLimits {
        window_max: 0,
        ..SessionLimits::default()
    };
    let refused = SessionClient::open(nodes(&cluster), limits, PATIENCE).await;
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("window_max"), "{error}");
    assert_eq!(error.outcome(), Outcome::NeverApplied);
}
