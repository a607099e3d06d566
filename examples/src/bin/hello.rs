//! Three nodes in one process add up numbers.
#![expect(clippy::print_stdout, reason = "this program talks to a person")]

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use raft_core::membership::Membership;
use raft_core::memory::{MemoryStores, Network};
use raft_core::node::{Node, ReadMode};
use raft_core::state_machine::{SnapshotView, StateMachineError};
use raft_core::typed::{At, Machine, Typed, TypedNode};

struct Sum(Arc<AtomicU64>); // One replica's state; the program reads it through another handle.

impl Machine for Sum {
    type Command = u64;
    type Response = u64;
    fn apply(&mut self, _: At, number: u64) -> u64 {
        self.0.fetch_add(number, SeqCst) + number
    }
    fn snapshot(&mut self) -> Result<SnapshotView, StateMachineError> {
        Ok(SnapshotView::of_bytes(
            self.0.load(SeqCst).to_le_bytes().to_vec(),
        ))
    }
    fn restore(&mut self, from: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut sum = [0; 8];
        from.read_exact(&mut sum)?;
        self.0.store(u64::from_le_bytes(sum), SeqCst);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (network, mut nodes) = (Network::new(), Vec::new());
    for id in [1, 2, 3] {
        let (replica, stores) = (Arc::new(AtomicU64::new(0)), MemoryStores::new().open());
        let machine = Typed(Sum(Arc::clone(&replica)));
        let node = Node::builder(id, stores, network.transport(id), machine)
            .initial_membership(Membership::of_voters([(1, "a"), (2, "b"), (3, "c")])?)
            .start()
            .await?;
        nodes.push((TypedNode::<Sum>::new(node), replica));
    }
    let mut standing = nodes.first().ok_or("no node")?.0.watch();
    let leader = standing.wait_for(|now| now.leader.is_some()).await?.leader;
    for (node, _) in nodes.iter().filter(|(node, _)| Some(node.id()) == leader) {
        for number in [1, 2, 39] {
            let (entry, sum) = node.propose(&number).await?; // Committed, and applied on this node.
            println!("entry {entry}: the sum is {sum}");
        }
    }
    for (node, replica) in &nodes {
        node.read_barrier(ReadMode::Linearizable).await?; // Then this replica is up to date.
        println!("node {} reads {}", node.id(), replica.load(SeqCst));
    }
    Ok(())
}
