//! A node that is killed, and comes back.

use std::thread;

use raft_core::units::Period;

use crate::{End, Setup};

/// Silence alone would be noticed after an hour.
pub(crate) fn patient(config: &mut crate::kind::TransportConfig) {
    config.keepalive = Period::from_millis(30 * 60_000);
    config.idle_timeout = Period::from_millis(60 * 60_000);
}

#[tokio::test]
async fn a_killed_node_that_is_back_is_dialed_again_at_once() {
    let mut one = End::start_with(1, patient);
    let machine = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let started = machine.spawn(async { End::start_with(2, patient) });
    let mut two = started.await.unwrap();
    let peer = two.peer();
    one.beat(&peer, 1);
    assert_eq!(two.round().await, 1);
    // Its runtime is gone before anything can be said.
    let killed = thread::Builder::new().spawn(move || drop(machine));
    killed.unwrap().join().unwrap();
    drop(two);
    let mut setup = Setup {
        listen: peer.address.clone(),
        ..Setup::default()
    };
    patient(&mut setup.config);
    let mut two = End::start_as(2, setup);
    one.beat(&peer, 2);
    one.told_unreachable(2).await;
    one.beat(&peer, 3);
    assert_eq!(two.round().await, 3);
}
