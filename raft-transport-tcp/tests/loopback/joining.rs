//! A node that belongs to no group yet answers whoever calls, and joins.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use raft_core::change::MembershipChange;
use raft_core::config::Config;
use raft_core::consensus::{ChangeRefusal, RoleName, To};
use raft_core::id::{ClusterId, LogId, NodeId};
use raft_core::membership::{Membership, Peer};
use raft_core::memory::MemoryStores;
use raft_core::node::{ChangeMembershipError, Node, NodeEvent};
use raft_core::snapshot::SnapshotMeta;
use raft_core::state_machine::{Committed, SnapshotView, StateMachine, StateMachineError};
use tokio::time::timeout;

use crate::kind::{self, Carrier, TransportConfig};
use crate::{End, PATIENCE, Setup, identity};

fn unknown(id: u64) -> Peer {
    Peer {
        id: NodeId::new(id),
        address: String::new(),
    }
}

#[tokio::test]
async fn a_caller_is_answered_where_it_says_that_it_is_reached() {
    let mut one = End::start(1);
    let mut two = End::start(2);
    one.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
    two.beat(&unknown(1), 8);
    assert_eq!(one.round().await, 8);
}

#[tokio::test]
async fn a_caller_that_listens_everywhere_is_answered_where_it_called_from() {
    let mut one = End::start_as(
        1,
        Setup {
            listen: "0.0.0.0:0".into(),
            ..Setup::default()
        },
    );
    let mut two = End::start(2);
    one.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
    two.beat(&unknown(1), 8);
    assert_eq!(one.round().await, 8);
}

#[tokio::test]
async fn what_is_advertised_counts_more_than_where_a_node_listens() {
    let mut elsewhere = End::start(1);
    let advertise = elsewhere.peer().address;
    let one = End::start_with(1, |config| config.advertise = advertise);
    let mut two = End::start(2);
    one.beat(&two.peer(), 7);
    assert_eq!(two.round().await, 7);
    two.beat(&unknown(1), 8);
    assert_eq!(elsewhere.round().await, 8);
}

#[tokio::test]
async fn a_message_for_nobody_knows_whom_is_dropped_and_counted() {
    let one = End::start(1);
    one.beat(&unknown(2), 1);
    one.counts(|stats| stats.dropped_unreachable == 1).await;
}

/// Counts what it applies.
#[derive(Debug, Default)]
struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, batch: &[Committed]) -> Result<Vec<Bytes>, StateMachineError> {
        let count = |_: &Committed| {
            self.0 += 1;
            Bytes::from(self.0.to_string())
        };
        Ok(batch.iter().map(count).collect())
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(self.0.to_string()))
    }

    fn restore(&mut self, _: &SnapshotMeta, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        self.0 = text.parse().map_err(StateMachineError::new)?;
        Ok(())
    }
}

fn bind(id: u64, listen: &str) -> Carrier {
    kind::bind(listen, TransportConfig::default(), identity(id, "test", 0)).unwrap()
}

async fn start(id: u64, transport: Carrier, founders: Option<&Membership>) -> Node {
    let stores = MemoryStores::new().open();
    let mut config = Config::default();
    // A stall of the machine moves no leader.
    config.election_timeout = Duration::from_secs(5);
    config.disk_stall_timeout = Duration::from_secs(20);
    let mut builder = Node::builder(id, stores, transport, Counter::default())
        .cluster(ClusterId::from_name("test"))
        .config(config);
    if let Some(founders) = founders {
        builder = builder.initial_membership(founders.clone());
    }
    builder.start().await.unwrap()
}

/// A group over these transports, led by the first, that only trouble moves to elect another.
pub(crate) async fn group(transports: &[Carrier]) -> Vec<Node> {
    let addresses = transports
        .iter()
        .map(|one| one.listen_address().to_string());
    let founders = Membership::of_voters((1_u64..).zip(addresses)).unwrap();
    let mut nodes = Vec::new();
    for (id, transport) in (1..).zip(transports) {
        nodes.push(start(id, transport.clone(), Some(&founders)).await);
    }
    let leader = nodes.first().unwrap();
    let mut standing = leader.watch();
    leader.campaign();
    let led = standing.wait_for(|now| now.role == RoleName::Leader);
    timeout(PATIENCE, led).await.expect("no leader").unwrap();
    nodes
}

#[tokio::test]
async fn an_empty_node_joins_a_group_and_leads_it() {
    let transports: Vec<Carrier> = (1..=3).map(|id| bind(id, "127.0.0.1:0")).collect();
    let nodes = group(&transports).await;
    let joined = async {
        let leader = &nodes[0];
        leader.propose("a").await.unwrap();
        let transport = bind(4, "0.0.0.0:0");
        let port = transport.listen_address().port();
        let fourth = start(4, transport, None).await;
        let mut events = fourth.events();
        let change = MembershipChange::new().add_voter(4, format!("127.0.0.1:{port}"));
        // The leader may be writing down whom it has met.
        let not_ready = |changed: &Result<LogId, _>| {
            use ChangeMembershipError::Refused;
            matches!(changed, Err(Refused(ChangeRefusal::NotReady)))
        };
        let mut changed = leader.change_membership(change.clone()).await;
        while not_ready(&changed) {
            changed = leader.change_membership(change.clone()).await;
        }
        changed.unwrap();
        let led = leader.transfer_leadership(To::Node(NodeId::new(4)));
        assert_eq!(led.await.unwrap(), NodeId::new(4));
        while !matches!(events.next().await, Some(NodeEvent::StandingChanged(now)) if now.role == RoleName::Leader)
        {
        }
        let applied = fourth.propose("b").await.unwrap();
        assert_eq!(applied.response, "2");
        fourth.shutdown().await.unwrap();
    };
    timeout(PATIENCE, joined).await.expect("it never joined");
    for node in &nodes {
        node.shutdown().await.unwrap();
    }
}
