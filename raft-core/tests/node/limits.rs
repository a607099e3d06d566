//! What is refused before it is begun, and says so.

use std::time::Duration;

use raft_core::config::Config;
use raft_core::node::{Outcome, ProposeError};

use crate::support::{Book, Cluster, soon};

#[tokio::test(start_paused = true)]
async fn a_command_over_the_limit_is_refused_with_the_limit() {
    let mut config = Config::default();
    config.entry_bytes_max = 10;
    let cluster = Cluster::start_with(1, config, Book::new).await;
    cluster.leader().await;
    let error = cluster.node(1).propose("eleven byte").await.unwrap_err();
    assert!(
        matches!(
            error,
            ProposeError::TooLarge {
                bytes: 11,
                bytes_max: 10
            }
        ),
        "{error}"
    );
    assert!(!error.is_retryable());
    cluster.node(1).propose("ten bytes!").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn too_many_bytes_in_flight_are_overload_and_pass_later() {
    let mut config = Config::default();
    config.unapplied_bytes_max = 100;
    let cluster = Cluster::start_with(3, config, Book::new).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    let commands = vec!["x".repeat(60).into(), "y".repeat(60).into()];
    let results = soon(cluster.node(leader).propose_many(commands)).await;
    assert!(results[0].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert!(matches!(error, ProposeError::Overloaded), "{error}");
    assert_eq!(error.outcome(), Outcome::NeverApplied);
    soon(cluster.node(leader).propose("y".repeat(60)))
        .await
        .unwrap();
    soon(cluster.node(leader).propose("z".repeat(600)))
        .await
        .expect("one command passes alone, however large");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_after_the_append_leaves_the_outcome_unknown() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.write(leader, 0..1).await;
    cluster.network.isolate(leader);
    let deadline = Duration::from_millis(20);
    let error = cluster.node(leader).propose_within("late", deadline).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ProposeError::TimedOut { appended: Some(_) }),
        "{error}"
    );
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_already_means_never_applied() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let error = cluster.node(1).propose_within("late", Duration::ZERO).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ProposeError::TimedOut { appended: None }),
        "{error}"
    );
    assert_eq!(error.outcome(), Outcome::NeverApplied);
    cluster.node(1).propose("on time").await.unwrap();
    assert_eq!(cluster.book(1).lines(), ["on time"]);
}
