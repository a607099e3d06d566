//! What a node tells those who watch it.

use raft_core::consensus::To;
use raft_core::node::NodeEvent;

use crate::support::{Cluster, id, soon};

/// More happens than the stream holds, and nobody reads it.
#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_read_holds_up_nobody_and_learns_the_end() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    let node = cluster.node(1);
    let mut events = node.events();
    let mut standing = node.watch();
    for round in 0..600 {
        let heir = 2 + round % 2;
        let leader = cluster.leader().await;
        let to = To::Node(id(heir));
        if leader != heir {
            soon(cluster.node(leader).transfer_leadership(to))
                .await
                .unwrap();
        }
        soon(standing.wait_for(|now| now.leader == Some(id(heir))))
            .await
            .unwrap();
    }
    let leader = cluster.leader_other_than(1).await;
    cluster.write(leader, 0..1).await;
    cluster.book(1).has(1).await;
    let now = *standing.borrow();
    soon(node.shutdown()).await.unwrap();
    let mut last = None;
    while let Some(event) = soon(events.next()).await {
        if let NodeEvent::StandingChanged(standing) = event {
            last = Some(standing);
        }
    }
    assert!(events.missed() > 0, "everything fitted into the stream");
    assert_eq!(last, Some(now));
}
