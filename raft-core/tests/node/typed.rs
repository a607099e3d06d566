//! A machine with types of its own.

use std::collections::BTreeMap;
use std::io::Read;

use raft_core::codec;
use raft_core::node::Outcome;
use raft_core::state_machine::{SnapshotView, StateMachineError};
use raft_core::typed::{At, Machine, Typed, TypedNode};
use serde::{Deserialize, Serialize};

use crate::support::{Book, Cluster, soon};

#[derive(Default)]
struct Accounts {
    balances: BTreeMap<String, i64>,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Deposit { account: String, amount: i64 },
    Balance { account: String },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Response {
    Balance(Option<i64>),
}

impl Machine for Accounts {
    type Command = Command;
    type Response = Response;

    fn apply(&mut self, _: At, command: Command) -> Response {
        match command {
            Command::Deposit { account, amount } => {
                let balance = self.balances.entry(account).or_default();
                *balance += amount;
                Response::Balance(Some(*balance))
            }
            Command::Balance { account } => Response::Balance(self.balances.get(&account).copied()),
        }
    }

    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        let bytes = codec::encode("accounts", &self.balances).map_err(StateMachineError::new)?;
        Ok(SnapshotView::of_bytes(bytes))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        self.balances = codec::decode("accounts", &bytes).map_err(StateMachineError::new)?;
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }
}

fn deposit(amount: i64) -> Command {
    Command::Deposit {
        account: "savings".into(),
        amount,
    }
}

async fn start(cluster: &Cluster) -> TypedNode<Accounts> {
    let node = cluster.builder(1, Typed(Accounts::default())).start().await;
    let node = TypedNode::new(node.unwrap());
    let mut standing = node.watch();
    soon(standing.wait_for(|now| now.leader.is_some()))
        .await
        .unwrap();
    node
}

#[tokio::test(start_paused = true)]
async fn typed_commands_get_typed_responses_before_and_after_a_restart() {
    let mut cluster = Cluster::start(1).await;
    cluster.stop_node(1).await;
    let node = start(&cluster).await;
    let (first, response) = node.propose(&deposit(3)).await.unwrap();
    assert_eq!(response, Response::Balance(Some(3)));
    node.snapshot().await.unwrap();
    let (second, response) = node.propose(&deposit(4)).await.unwrap();
    assert_eq!(response, Response::Balance(Some(7)));
    assert!(second.index > first.index);
    node.shutdown().await.unwrap();
    let node = start(&cluster).await;
    let account = "savings".into();
    let (_, response) = node.propose(&Command::Balance { account }).await.unwrap();
    assert_eq!(response, Response::Balance(Some(7)));
}

/// A command that this version cannot read was proposed by a later one: to skip it would diverge.
#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_decoded_stops_the_node() {
    let mut cluster = Cluster::start_with(1, Default::default(), Book::new).await;
    cluster.stop_node(1).await;
    let node = start(&cluster).await;
    let untyped: &raft_core::node::Node = &node;
    let error = soon(untyped.propose("no such command")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.to_string().contains("malformed command"), "{error}");
}
